//! What TLS clients of the relay show and what they trust. One provider (ring).

use proa_registry::webhook::Access;
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use std::sync::{Arc, LazyLock};

/// Whom this machine trusts, read once.
static NATIVE: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Why the relay cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The text is no PEM of what it should be.
    #[error("cannot read {what} from PEM: {why}")]
    Pem {
        /// What was looked for.
        what: &'static str,
        /// Why it was not found.
        why: String,
    },
    /// Certificate and key do not fit together, or are of an unknown sort.
    #[error("cannot use the client certificate for node agents")]
    Client(#[source] rustls::Error),
    /// The authority is none.
    #[error("cannot use the certificate authority of node agents")]
    Authority(#[source] rustls::Error),
}

/// The configurations of all connections.
pub(crate) struct Trust {
    /// Towards agents.
    pub(crate) agents: Arc<ClientConfig>,
    /// Towards agents whose certificate the user does not want to be verified.
    pub(crate) unverified_agents: Arc<ClientConfig>,
    /// Towards pods and services, whose certificates nobody knows.
    pub(crate) others: Arc<ClientConfig>,
    /// What is shown to other API servers, which then believe whom a request comes from.
    front_proxy: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// Whose certificate is accepted.
#[derive(Clone, Copy)]
pub(crate) enum Trusted<'a> {
    /// Anybody's.
    Anyone,
    /// One that these authorities (PEM) have signed; none: those that this machine trusts.
    Bundle(&'a [u8]),
}

impl Trust {
    pub(crate) fn new(
        certificate: &str,
        key: &str,
        ca: Option<&str>,
        front_proxy: Option<&ClientIdentity>,
    ) -> Result<Self, RelayError> {
        let (chain, key) = identity(certificate, key)?;
        let unverified = config(None)?.with_client_auth_cert(chain.clone(), key.clone_key());
        let unverified_agents = Arc::new(unverified.map_err(RelayError::Client)?);
        let agents = match ca {
            None => Arc::clone(&unverified_agents),
            Some(ca) => {
                let roots = roots(ca)?;
                let verified = config(Some(roots))?.with_client_auth_cert(chain, key);
                Arc::new(verified.map_err(RelayError::Client)?)
            }
        };
        let front_proxy = front_proxy.map(|front| identity(&front.certificate, &front.key)).transpose()?;
        let others = Arc::new(config(None)?.with_no_client_auth());
        Ok(Self { agents, unverified_agents, others, front_proxy })
    }

    /// Towards another API server.
    ///
    /// # Errors
    /// The bundle holds something else.
    pub(crate) fn towards_server(&self, trusted: Trusted<'_>) -> Result<ClientConfig, RelayError> {
        let roots = match trusted {
            Trusted::Anyone => None,
            Trusted::Bundle(bundle) => Some(trusted_by(bundle)?),
        };
        let builder = config(roots)?;
        match &self.front_proxy {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain.clone(), key.clone_key()).map_err(RelayError::Client)
            }
        }
    }
}

/// A client certificate and its key, as PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

fn identity(
    certificate: &str,
    key: &str,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), RelayError> {
    let chain = certificates("a client certificate", certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|e| RelayError::Pem { what: "a private key", why: e.to_string() })?;
    Ok((chain, key))
}

/// Trust in who signed a certificate: the authorities of `bundle` (PEM), or those of this machine when it is empty.
///
/// # Errors
/// The bundle holds something else, or this machine trusts nobody.
pub(crate) fn towards_webhook(bundle: &[u8], access: Option<&Access>) -> Result<ClientConfig, RelayError> {
    let is_unverified = access.is_some_and(|access| access.is_unverified);
    let builder = config(if is_unverified { None } else { Some(trusted_by(bundle)?) })?;
    match access.and_then(|access| access.certificate.as_ref()) {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            let (chain, key) = identity(certificate, key)?;
            builder.with_client_auth_cert(chain, key).map_err(RelayError::Client)
        }
    }
}

fn trusted_by(bundle: &[u8]) -> Result<RootCertStore, RelayError> {
    if !bundle.is_empty() {
        return roots(&String::from_utf8_lossy(bundle));
    }
    Ok(NATIVE.clone())
}

fn certificates(what: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>, RelayError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    let found = found.map_err(|e| RelayError::Pem { what, why: e.to_string() })?;
    if found.is_empty() { Err(RelayError::Pem { what, why: "there is none".to_owned() }) } else { Ok(found) }
}

fn roots(text: &str) -> Result<RootCertStore, RelayError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("a certificate authority", text)? {
        roots.add(certificate).map_err(RelayError::Authority)?;
    }
    Ok(roots)
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

/// With the roots that are trusted; without any, whoever answers is.
fn config(roots: Option<RootCertStore>) -> Result<Builder, RelayError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().map_err(RelayError::Client)?;
    Ok(match roots {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
    })
}

/// Accepts every certificate; its holder must still prove to have the key.
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
