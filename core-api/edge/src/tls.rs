//! TLS: one provider (ring), TLS 1.2 and 1.3, client certificates optional and verified when given.

use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A certificate chain and its key.
#[derive(Debug)]
pub struct Identity {
    /// Leaf first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Private key of the leaf.
    pub key: PrivateKeyDer<'static>,
}

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text is no PEM.
    #[error("cannot read {what} from PEM: {why}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Why it was not found.
        why: String,
    },
    /// Certificate and key do not fit together, or are of an unknown sort.
    #[error("cannot use the serving certificate")]
    Serving(#[source] rustls::Error),
    /// The client CA is no certificate authority.
    #[error("cannot use the client CA: {0}")]
    ClientCa(String),
}

impl Identity {
    /// From PEM texts.
    ///
    /// # Errors
    /// One of them holds no certificate or key.
    pub fn from_pem(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let pem = |what, why: String| TlsError::Pem { what, why };
        let certificates = certificates_from_pem(certificates)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|e| pem("a private key", e.to_string()))?;
        Ok(Self { certificates, key })
    }
}

/// All certificates of a PEM text.
///
/// # Errors
/// There is none, or one is malformed.
pub fn certificates_from_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let pem = |why: String| TlsError::Pem { what: "a certificate", why };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|e| pem(e.to_string()))?;
    if found.is_empty() { Err(pem("there is none".to_owned())) } else { Ok(found) }
}

/// What accepts connections: HTTP/2 is preferred, client certificates are optional.
pub(crate) fn acceptor(
    identity: Identity,
    client_ca: Vec<CertificateDer<'static>>,
) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Serving)?;
    let builder = if client_ca.is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in client_ca {
            roots.add(certificate).map_err(|e| TlsError::ClientCa(e.to_string()))?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .allow_unauthenticated()
            .build()
            .map_err(|e| TlsError::ClientCa(e.to_string()))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config =
        builder.with_single_cert(identity.certificates, identity.key).map_err(TlsError::Serving)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}
