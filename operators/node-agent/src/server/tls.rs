//! TLS of the server: its certificate, and whose client certificates count.

use super::ServerError;
use crate::ServerConfig;
use rustls::{
    RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{fmt::Display, sync::Arc};

/// Settings of TLS. A client may come without a certificate: then it needs a token.
pub(super) fn server_config(config: &ServerConfig) -> Result<Arc<rustls::ServerConfig>, ServerError> {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&config.client_ca)? {
        roots.add(certificate).map_err(unusable)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(&config.key).map_err(unusable)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&config.certificate)?, key)
        .map_err(unusable)?;
    // Streams need the upgrades of HTTP/1.1.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(unusable)
}

fn unusable(why: impl Display) -> ServerError {
    ServerError::Tls(why.to_string())
}
