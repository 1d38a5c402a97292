//! TLS without a check of the server's certificate: what answers is what counts.
//!
//! Upstream: `InsecureSkipVerify` in `pkg/probe/http/http.go`.

use super::Fault;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, InvalidMessage, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use std::{
    io,
    sync::{Arc, LazyLock},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("the provider has the suites of the default versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    Arc::new(config)
});

pub(super) async fn connect(stream: TcpStream, host: &str) -> Result<TlsStream<TcpStream>, Fault> {
    let name = ServerName::try_from(host.to_owned()).map_err(|error| Fault::from(error.to_string()))?;
    TlsConnector::from(CONFIG.clone()).connect(name, stream).await.map_err(|error| fault(&error))
}

fn fault(error: &io::Error) -> Fault {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    if matches!(tls, Some(Error::InvalidMessage(InvalidMessage::InvalidContentType))) {
        let why = "http: server gave HTTP response to HTTPS client".to_owned();
        return Fault { why, is_plain_http: true };
    }
    Fault::from(format!("tls: {error}"))
}

/// Takes every certificate, but still checks that the server has its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
