//! A server to test, and clients of it.

use super::{StubPods, StubRuntime, streaming};
use crate::{
    AgentConfig, ServerConfig,
    server::{Serving, serve},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use proa_kit::testing::server::{Received, Seen, recording};
use proa_runtime_shim::Runtime;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, client::IntoClientRequest},
};
use tokio_util::sync::CancellationToken;

/// A certificate and its key, PEM.
type Identity = (String, String);

/// A server with one pod.
pub(crate) struct TestServer<R = StubRuntime> {
    pub(crate) runtime: R,
    pub(crate) seen: Seen,
    pub(crate) serving: Serving,
    /// Kept for as long as the server runs.
    directories: Vec<tempfile::TempDir>,
    shutdown: CancellationToken,
    authority: Authority,
}

/// How a client shows who it is.
#[derive(Clone, Copy)]
pub(crate) enum As<'a> {
    /// Not at all.
    Anonymous,
    /// With a certificate of this user in this group.
    Certificate(&'a str, &'a str),
    /// With a token.
    Token(&'a str),
}

/// The usual client.
pub(crate) const ADMIN: As<'_> = As::Certificate("admin", "system:masters");

struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    fn sign(&self, names: &[&str], user: &str, group: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params =
            CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

/// The API: knows the token `good`, lets `ann` read logs and metrics.
fn review(_: usize, request: &Received) -> (u16, Value) {
    let mut answer = request.body.clone();
    let spec = &request.body["spec"];
    answer["status"] = if request.path.starts_with("/apis/authentication") {
        json!({"authenticated": spec["token"] == "good", "user": {"username": "ann", "groups": ["people"]}})
    } else {
        let attributes = &spec["resourceAttributes"];
        let may = ["log", "metrics", "healthz"].iter().any(|s| attributes["subresource"] == *s);
        json!({"allowed": spec["user"] == "ann" && attributes["name"] == "n1" && may})
    };
    (201, answer)
}

impl TestServer {
    /// With a runtime that does as told.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("0.log");
        std::fs::write(&log, "").unwrap();
        let runtime = StubRuntime::new(&log, streaming::start().await);
        let pods = StubPods { log, container: "c1".to_owned(), sandbox: "s1".to_owned() };
        let mut server = Self::with(runtime, pods).await;
        server.directories.push(directory);
        server
    }
}

impl<R: Runtime> TestServer<R> {
    /// With a runtime.
    pub(crate) async fn with(runtime: R, pods: StubPods) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let (certificate, key) = authority.sign(&["127.0.0.1"], "system:node:n1", "system:nodes");
        let config = AgentConfig {
            node: "n1".to_owned(),
            address: [127, 0, 0, 1].into(),
            labels: vec![],
            root: directory.path().to_owned(),
            pod_logs: directory.path().to_owned(),
            pod_cidr: "10.0.0.0/24".to_owned(),
            cluster_dns: vec![],
            cluster_domain: "cluster.local".to_owned(),
            resolv_conf: "/etc/resolv.conf".into(),
            cgroup_parent: "/test".to_owned(),
            max_pods: 110,
            eviction_hard: crate::EvictionHard::default(),
            server: ServerConfig {
                listen: ([127, 0, 0, 1], 0).into(),
                certificate: certificate.into(),
                key: key.into(),
                client_ca: authority.certificate.clone().into(),
            },
        };
        let seen = Seen::default();
        let shutdown = CancellationToken::new();
        let api = recording(seen.clone(), review);
        let serving = serve(api, runtime.clone(), config, pods, shutdown.clone()).await.unwrap();
        Self { runtime, seen, serving, directories: vec![directory], shutdown, authority }
    }

    /// Ends it and waits until it has ended.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.serving.ended().await;
    }

    async fn connect(&self, who: As<'_>) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate.as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = if let As::Certificate(user, group) = who {
            let (certificate, key) = self.authority.sign(&[], user, group);
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            builder
                .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
                .unwrap()
        } else {
            builder.with_no_client_auth()
        };
        let stream = TcpStream::connect(self.serving.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Sends a request and returns the answer's head.
    pub(crate) async fn send(
        &self,
        who: As<'_>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect(who).await)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder().method(method).uri(path).header("host", "127.0.0.1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let As::Token(token) = who {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
    }

    /// The code and text of an answer.
    pub(crate) async fn ask(&self, who: As<'_>, method: &str, path: &str) -> (u16, String) {
        text(self.send(who, method, path, &[]).await).await
    }

    /// Opens a WebSocket; an error is the code of the refusal.
    pub(crate) async fn socket(
        &self,
        path: &str,
        protocol: &str,
    ) -> Result<WebSocketStream<TlsStream<TcpStream>>, u16> {
        let mut request = format!("ws://127.0.0.1{path}").into_client_request().unwrap();
        if !protocol.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        match client_async(request, self.connect(ADMIN).await).await {
            Ok((socket, response)) => {
                let agreed = response.headers().get("sec-websocket-protocol");
                assert_eq!(agreed.map_or("", |v| v.to_str().unwrap()), protocol);
                Ok(socket)
            }
            Err(tungstenite::Error::Http(refusal)) => Err(refusal.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }
}

/// The code and text of an answer.
pub(crate) async fn text(response: Response<Incoming>) -> (u16, String) {
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}
