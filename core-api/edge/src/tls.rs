//! TLS: one provider (ring), TLS 1.2 and 1.3, client certificates optional and verified when given.

use bytes::Bytes;
use proa_server::Peer;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};
use std::{net::SocketAddr, sync::Arc};
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

/// Who vouches for clients.
#[derive(Clone, Debug)]
pub(crate) struct Vouching {
    /// The client CA, asked only where front proxies have an authority of their own.
    clients: Option<Arc<dyn ClientCertVerifier>>,
    front_proxies: Option<Arc<dyn ClientCertVerifier>>,
}

impl Vouching {
    /// The client at the other end of a connection, whose chain one of the authorities has signed.
    pub(crate) fn peer(&self, address: SocketAddr, chain: &[CertificateDer<'_>]) -> Peer {
        let bytes = || chain.iter().map(|c| Bytes::copy_from_slice(c)).collect();
        let Some((leaf, between)) = chain.split_first() else { return Peer::new(address, Vec::new()) };
        let Some(front_proxies) = &self.front_proxies else { return Peer::new(address, bytes()) };
        let now = UnixTime::now();
        let vouches = |of: &Arc<dyn ClientCertVerifier>| of.verify_client_cert(leaf, between, now).is_ok();
        let known = if self.clients.as_ref().is_some_and(vouches) { bytes() } else { Vec::new() };
        if vouches(front_proxies) { Peer::front(address, known, chain) } else { Peer::new(address, known) }
    }
}

/// What accepts connections: HTTP/2 is preferred, client certificates are optional.
pub(crate) fn acceptor(
    identity: Identity,
    client_ca: &[CertificateDer<'static>],
    front_proxy_ca: &[CertificateDer<'static>],
) -> Result<(TlsAcceptor, Vouching), TlsError> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(TlsError::Serving)?;
    let builder = match verifier(&[client_ca, front_proxy_ca].concat())? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let vouching = match verifier(front_proxy_ca)? {
        None => Vouching { clients: None, front_proxies: None },
        front_proxies => Vouching { clients: verifier(client_ca)?, front_proxies },
    };
    let mut config =
        builder.with_single_cert(identity.certificates, identity.key).map_err(TlsError::Serving)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config).into(), vouching))
}

/// Verifies certificates that these authorities have signed; none without authorities.
fn verifier(
    authorities: &[CertificateDer<'static>],
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if authorities.is_empty() {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    for certificate in authorities {
        roots.add(certificate.clone()).map_err(|e| TlsError::ClientCa(e.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(default_provider()))
        .allow_unauthenticated()
        .build()
        .map(Some)
        .map_err(|e| TlsError::ClientCa(e.to_string()))
}
