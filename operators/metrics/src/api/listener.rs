//! Accepts connections and serves each. Certificates are made anew at each start; the APIService says by which authority.

use super::{Api, front_proxy::FrontProxy};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use proa_meta::{ApiError, User};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use serde_json::Value;
use std::{convert::Infallible, error::Error, io, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// How long a client may take to introduce itself.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(180);
/// Pause when no connection can be accepted, which is when there are too many.
const PAUSE: Duration = Duration::from_millis(200);

/// What the server is known by.
pub(super) struct Identity {
    /// PEM of the authority.
    pub(super) authority: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// Of a server of this name.
    pub(super) fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name.push(DnType::CommonName, format!("{name}-ca"));
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let authority_key = KeyPair::generate()?;
        let pem = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);
        let mut server = CertificateParams::new(vec![name.to_owned()])?;
        server.distinguished_name.push(DnType::CommonName, name);
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = server.signed_by(&key, &issuer)?;
        Ok(Self { authority: pem, certificate: certificate.der().clone(), key: key.serialize_der() })
    }

    /// TLS for clients that the front proxy's authority signed. Others are told that they are not known.
    fn tls(&self, authority: &str) -> Result<ServerConfig, Box<dyn Error + Send + Sync>> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate?)?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()?;
        let key = PrivateKeyDer::try_from(self.key.clone())?;
        let mut tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![self.certificate.clone()], key)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(tls)
    }
}

/// A port of this machine.
pub(super) struct Listener {
    /// Which.
    pub(super) port: u16,
    socket: TcpListener,
}

impl Listener {
    /// Any free one; only this machine reaches it.
    pub(super) async fn bind() -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { port: socket.local_addr()?.port(), socket })
    }

    /// Serves; `believed` is the front proxy that counts now.
    pub(super) async fn accept(
        self,
        identity: &Identity,
        believed: impl Fn() -> Option<FrontProxy>,
        api: Arc<Api>,
    ) {
        let mut connections = JoinSet::new();
        let mut known: Option<(Arc<FrontProxy>, TlsAcceptor)> = None;
        loop {
            let stream = match self.socket.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            while connections.try_join_next().is_some() {}
            let now = believed();
            if known.as_ref().map(|(proxy, _)| &**proxy) != now.as_ref() {
                known = now.and_then(|proxy| acceptor(identity, proxy));
            }
            // Nobody can be believed, so nobody is answered.
            let Some((proxy, acceptor)) = known.clone() else { continue };
            connections.spawn(serve(stream, acceptor, proxy, api.clone()));
        }
    }
}

fn acceptor(identity: &Identity, proxy: FrontProxy) -> Option<(Arc<FrontProxy>, TlsAcceptor)> {
    match identity.tls(&proxy.authority) {
        Ok(tls) => Some((Arc::new(proxy), TlsAcceptor::from(Arc::new(tls)))),
        Err(error) => {
            tracing::warn!(%error, "the front proxy's authority cannot be used");
            None
        }
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, proxy: Arc<FrontProxy>, api: Arc<Api>) {
    let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return,
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let is_proxy = chain.first().is_some_and(|certificate| proxy.is(certificate));
    let service = service_fn(move |request: Request<Incoming>| {
        let user = if is_proxy { proxy.user(request.headers()) } else { None };
        let api = api.clone();
        async move { Ok::<_, Infallible>(respond(&api, request, user).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

async fn respond(api: &Api, request: Request<Incoming>, user: Option<User>) -> Response<Full<Bytes>> {
    let (code, answer) = match user {
        Some(user) => api.answer(request.method(), request.uri(), request.headers(), &user).await,
        None => (StatusCode::UNAUTHORIZED, ApiError::unauthorized().to_status()),
    };
    json(code, &answer)
}

fn json(code: StatusCode, answer: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.to_string())));
    *response.status_mut() = code;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_its_authority() {
        let identity = Identity::new("proa-metrics.kube-system.svc").unwrap();
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(identity.authority.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let verify = |name: &str| {
            use rustls::client::danger::ServerCertVerifier;
            let name = name.to_owned().try_into().unwrap();
            verifier.verify_server_cert(
                &identity.certificate,
                &[],
                &name,
                &[],
                rustls::pki_types::UnixTime::now(),
            )
        };
        assert!(verify("proa-metrics.kube-system.svc").is_ok());
        assert!(verify("other.kube-system.svc").is_err());
        assert!(identity.tls(&identity.authority).is_ok());
        assert!(identity.tls("").is_err());
    }
}
