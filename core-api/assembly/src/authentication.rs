//! Who is asking: client certificates, then service account tokens.

use crate::Settings;
use futures::future::BoxFuture;
use proa_meta::{ApiError, ApiResult, User};
use proa_policy::tokens::{PublicKey, TokenVerifier};
use proa_registry::Registry;
use proa_server::authn::{self, Authenticator, Bearer, ClientCertificate};
use std::sync::Arc;

/// The authenticators in upstream's order, and the verifier that token reviews use.
pub(crate) fn authenticators(
    registry: &Arc<Registry>,
    settings: &Settings,
) -> (Vec<Arc<dyn Authenticator>>, Arc<TokenVerifier>) {
    let issuers = vec![settings.issuer.clone()];
    let keys: Vec<PublicKey> = vec![settings.signing_key.public().clone()];
    // A token whose audience is the issuer is meant for the API server, as upstream's default.
    let verifier = TokenVerifier::new(registry.clone(), issuers.clone(), issuers, keys);
    let tokens: Arc<dyn authn::TokenVerifier> = Arc::new(ServiceAccounts(verifier.clone()));
    let bearer: Arc<dyn Authenticator> = Arc::new(Bearer::new(vec![tokens]));
    (vec![Arc::new(ClientCertificate), bearer], verifier)
}

/// Policy's verifier in the form that the request path asks for.
struct ServiceAccounts(Arc<TokenVerifier>);

impl authn::TokenVerifier for ServiceAccounts {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, ApiResult<Option<User>>> {
        let answer = match self.0.verify(token) {
            Ok(verified) => Ok(Some(verified.user)),
            Err(error) => {
                tracing::debug!(%error, "token refused");
                Err(ApiError::unauthorized())
            }
        };
        Box::pin(std::future::ready(answer))
    }
}
