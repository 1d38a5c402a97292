//! Certificates: by the name that a client asks for, and none of backends, whose certificates are not verified.
//!
//! As ingress-nginx, connections for names without a certificate get the default one, which nobody signed, and pods are
//! spoken to by TLS without asking who they are.

use super::Published;
use crate::{index::views::TlsSecretView, render::routes::look_up};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    io,
    net::IpAddr,
    sync::{Arc, OnceLock},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Certificates by host; a wildcard is `*.` and the rest, and the empty text is for all others.
pub(crate) type Certificates = imbl::HashMap<Box<str>, Certificate>;

/// A certificate, and the secret that it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The secret.
    pub(crate) secret: Arc<TlsSecretView>,
    /// Nothing when the secret cannot be used; the default certificate serves then.
    pub(crate) key: Option<Arc<CertifiedKey>>,
}

impl Certificate {
    pub(crate) fn read(secret: &Arc<TlsSecretView>) -> Self {
        let key = certified(secret);
        if let Err(why) = &key {
            tracing::warn!(secret = %secret.metadata.name, namespace = %secret.metadata.namespace, why, "certificate cannot be used");
        }
        Self { secret: secret.clone(), key: key.ok().map(Arc::new) }
    }
}

/// The certificate and key of a secret.
///
/// # Errors
/// What is wrong with them, for people.
pub(crate) fn certified(secret: &TlsSecretView) -> Result<CertifiedKey, String> {
    let decode = |text: &str, what: &str| STANDARD.decode(text).map_err(|_| format!("{what} is not base64"));
    let (chain, key) = (decode(&secret.data.certificate, "tls.crt")?, decode(&secret.data.key, "tls.key")?);
    let chain = CertificateDer::pem_slice_iter(&chain).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|_| "tls.crt holds what is no certificate")?;
    if chain.is_empty() {
        return Err("tls.crt holds no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|_| "tls.key holds no private key")?;
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| format!("certificate and key: {error}"))
}

/// How connections from clients are served.
///
/// # Errors
/// The default certificate cannot be made.
pub(crate) fn server(published: Published) -> io::Result<Arc<ServerConfig>> {
    let default = Arc::new(self_signed().map_err(io::Error::other)?);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.with_no_client_auth();
    let mut config = builder.with_cert_resolver(Arc::new(Resolver { published, default }));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn self_signed() -> Result<CertifiedKey, Box<dyn std::error::Error + Send + Sync>> {
    let mut params = rcgen::CertificateParams::new(vec!["ingress.local".to_owned()])?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "Proa Ingress Default Certificate");
    let key = rcgen::KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    Ok(CertifiedKey::from_der(vec![certificate.der().clone()], key, &ring::default_provider())?)
}

/// Finds the certificate for a connection in the table of now.
#[derive(Debug)]
struct Resolver {
    published: Published,
    default: Arc<CertifiedKey>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.published.load();
        let find = |host: &str| table.certificates.get(host).and_then(|found| found.key.as_ref());
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let found = name.as_deref().and_then(|name| look_up(name, find)).or_else(|| find(""));
        Some(found.unwrap_or(&self.default).clone())
    }
}

/// TLS to a pod.
///
/// # Errors
/// It does not speak TLS.
pub(crate) async fn to_backend(
    stream: TcpStream,
    address: IpAddr,
    is_h2: bool,
) -> io::Result<TlsStream<TcpStream>> {
    static CLIENTS: OnceLock<Option<[Arc<ClientConfig>; 2]>> = OnceLock::new();
    let configs = CLIENTS.get_or_init(|| Some([client(b"http/1.1")?, client(b"h2")?]));
    let config = configs.as_ref().ok_or_else(|| io::Error::other("TLS to backends cannot be set up"))?;
    let connector = TlsConnector::from(config[usize::from(is_h2)].clone());
    connector.connect(ServerName::IpAddress(address.into()), stream).await
}

fn client(alpn: &[u8]) -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = Arc::new(Anybody(provider.clone()));
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let mut config = builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Some(Arc::new(config))
}

/// Takes any certificate.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A client that takes any certificate.
#[cfg(test)]
pub(crate) fn client_for_tests() -> Arc<ClientConfig> {
    client(b"http/1.1").unwrap()
}
