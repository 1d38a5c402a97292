//! A cluster of toys and the two ways to it.

use crate::toys::{Docs, Echoing, Rules, registry};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Request, StatusCode};
use http_body_util::BodyExt;
use kube::{Config, client::Body, config::AuthInfo};
use proa_edge::{EdgeConfig, Identity, Running};
use proa_meta::User;
use proa_server::{
    Api, ApiConfig, Bearer, ClientCertificate, RequestHeaders, TokenVerifier, connect::Connectors,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Certificates of one test.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("self signed");
        Self { certificate, issuer: Issuer::new(params, key) }
    }
    /// Another, which this one vouches for until the year 3000.
    fn between(&self) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "between");
        params.not_after = rcgen::date_time_ymd(3000, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Self { certificate, issuer: Issuer::new(params, key) }
    }
    fn issue(&self, name: &str, groups: &[&str], hosts: &[&str]) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params =
            CertificateParams::new(hosts.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        for group in groups {
            params.distinguished_name.push(DnType::OrganizationName, *group);
        }
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }
}

struct Tokens;

impl TokenVerifier for Tokens {
    fn verify<'a>(&'a self, token: &'a str) -> futures::future::BoxFuture<'a, proa_meta::ApiResult<User>> {
        let user = (token == "right").then(|| User::new("robot", &["robots"]));
        Box::pin(std::future::ready(user.ok_or_else(proa_meta::ApiError::unauthorized)))
    }
}

/// A server, reached one way or the other.
pub(crate) struct Cluster {
    pub(crate) api: Api,
    network: Option<(Running, Authority)>,
    /// Who signs the certificates of front proxies.
    fronts: Authority,
}

/// An answer as it came.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
    pub(crate) fn message(&self) -> (u16, String) {
        (self.status.as_u16(), self.json()["message"].as_str().unwrap_or_default().to_owned())
    }
}

impl Cluster {
    fn api(change: impl FnOnce(&mut ApiConfig)) -> Api {
        let runtime = tokio::runtime::Handle::current();
        let mut config = ApiConfig::new(registry(), Arc::new(Rules), runtime);
        let headers = Arc::new(RequestHeaders {
            allowed_names: vec!["front".to_owned()],
            usernames: vec![HeaderName::from_static("x-remote-user")],
            ..RequestHeaders::default()
        });
        let bearer = Arc::new(Bearer::new(Arc::new(Tokens)));
        config.authenticators = vec![headers.clone(), Arc::new(ClientCertificate), bearer];
        config.request_headers = Some(headers);
        config.docs = Arc::new(Docs);
        config.connectors = Connectors::default().with("toy.example", "toys", "tunnel", Arc::new(Echoing));
        change(&mut config);
        Api::new(config)
    }
    async fn ready(self) -> Self {
        let namespace = json!({"metadata": {"name": "d"}});
        let made = self.send("POST", "/api/v1/namespaces", &[], namespace.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.text());
        self
    }
    pub(crate) async fn in_process() -> Self {
        Self { api: Self::api(|_| {}), network: None, fronts: Authority::new() }.ready().await
    }
    pub(crate) async fn over_tls() -> Self {
        Self::over_tls_with(|_| {}).await
    }
    /// With a configuration of the test's own.
    pub(crate) async fn over_tls_with(change: impl FnOnce(&mut ApiConfig)) -> Self {
        let (authority, fronts) = (Authority::new(), Authority::new());
        let (certificate, key) = authority.issue("server", &[], &["127.0.0.1"]);
        let api = Self::api(change);
        let running = proa_edge::serve(EdgeConfig {
            address: "127.0.0.1:0".parse().expect("an address"),
            tls: Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("own PEM"),
            client_ca: vec![authority.certificate.der().clone()],
            front_proxy_ca: vec![fronts.certificate.der().clone()],
            api: api.clone(),
            workers: 2,
        })
        .expect("the port is free");
        Self { api, network: Some((running, authority)), fronts }.ready().await
    }
    pub(crate) fn is_network(&self) -> bool {
        self.network.is_some()
    }

    /// A client with the identity, by certificate or by decree.
    pub(crate) fn client(&self, user: &str) -> kube::Client {
        let Some((running, authority)) = &self.network else {
            return proa_local::client(&self.api, User::new(user, &["testers"]));
        };
        self.certified(running, authority, authority, user)
    }

    /// A client with a certificate of the front proxies' authority.
    pub(crate) fn front_client(&self, name: &str) -> Option<kube::Client> {
        let (running, authority) = self.network.as_ref()?;
        Some(self.certified(running, authority, &self.fronts, name))
    }

    /// A client whose certificate is of an authority between, which ends before it and which the client sends along.
    pub(crate) fn indirect_client(&self, name: &str) -> kube::Client {
        let (running, authority) = self.network.as_ref().expect("over TLS");
        let between = authority.between();
        let (certificate, key) = between.issue(name, &["testers"], &[]);
        self.network_client(running, authority, auth(&(certificate + &between.certificate.pem()), &key))
    }

    fn certified(
        &self,
        running: &Running,
        authority: &Authority,
        by: &Authority,
        name: &str,
    ) -> kube::Client {
        let (certificate, key) = by.issue(name, &["testers"], &[]);
        self.network_client(running, authority, auth(&certificate, &key))
    }

    /// A bare connection with a client certificate.
    pub(crate) async fn connection(&self, user: &str, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let (running, authority) = self.network.as_ref().expect("over TLS");
        let (certificate, key) = authority.issue(user, &["testers"], &[]);
        let identity = Identity::from_pem(certificate.as_bytes(), key.as_bytes()).expect("own PEM");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(authority.certificate.der().clone()).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring's versions")
            .with_root_certificates(roots)
            .with_client_auth_cert(identity.certificates, identity.key)
            .expect("certificate and key");
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let socket = TcpStream::connect(running.addr()).await.expect("listening");
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect("127.0.0.1".try_into().expect("an address"), socket).await.expect("TLS")
    }

    /// A client without a certificate.
    pub(crate) fn bare_client(&self) -> Option<kube::Client> {
        let (running, authority) = self.network.as_ref()?;
        Some(self.network_client(running, authority, AuthInfo::default()))
    }

    fn network_client(&self, running: &Running, authority: &Authority, auth: AuthInfo) -> kube::Client {
        let url = format!("https://{}", running.addr()).parse().expect("a URL");
        let mut config = Config::new(url);
        config.root_cert = Some(vec![authority.certificate.der().to_vec()]);
        config.auth_info = auth;
        config.default_retry = false;
        kube::Client::try_from(config).expect("a client")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }
    pub(crate) async fn get_as(&self, accept: &str, path: &str) -> Answer {
        self.send("GET", path, &[("accept", accept)], "").await
    }
    pub(crate) async fn create_toy(&self, object: Value) -> Answer {
        let path = "/apis/toy.example/v1/namespaces/d/toys?fieldManager=test";
        let answer = self.send("POST", path, &[], object.to_string()).await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        answer
    }
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        send(&self.client("tester"), method, path, headers, body).await
    }
    pub(crate) fn stop(self) {
        if let Some((running, _)) = self.network {
            running.stop();
        }
    }
}

fn auth(certificates: &str, key: &str) -> AuthInfo {
    AuthInfo {
        client_certificate_data: Some(base64(certificates.as_bytes())),
        client_key_data: Some(base64(key.as_bytes()).into()),
        ..AuthInfo::default()
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |n, b| (n << 8) | u32::from(*b)) << (8 * (3 - chunk.len()));
        for i in 0..=chunk.len() {
            out.push(char::from(ALPHABET[(group >> (18 - 6 * i)) as usize & 63]));
        }
        out.extend(std::iter::repeat_n('=', 3 - chunk.len()));
    }
    out
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path);
    let builder = headers.iter().fold(builder, |b, (name, value)| b.header(*name, *value));
    builder.body(Body::from(body.into().to_vec())).expect("a request")
}

pub(crate) async fn send(
    client: &kube::Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Answer {
    let response = client.send(request(method, path, headers, body)).await.expect("an answer");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a whole body").to_bytes();
    Answer { status: parts.status, headers: parts.headers, bytes }
}

/// Runs a test both ways.
#[macro_export]
macro_rules! both_ways {
    ($($name:ident),* $(,)?) => {
        $(mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn in_process() {
                let cluster = $crate::support::Cluster::in_process().await;
                super::super::$name(&cluster).await;
                cluster.stop();
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_tls() {
                let cluster = $crate::support::Cluster::over_tls().await;
                super::super::$name(&cluster).await;
                tokio::task::spawn_blocking(move || cluster.stop()).await.expect("stops");
            }
        })*
    };
}
