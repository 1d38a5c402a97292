//! Who is asking: client certificates, then service account tokens; and how others verify such tokens.

use crate::Settings;
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use proa_meta::{ApiError, ApiResult, User};
use proa_policy::tokens::{PublicKey, TokenVerifier, discovery};
use proa_registry::Registry;
use proa_server::{
    Body, Document, Response,
    authn::{self, Authenticator, Bearer, ClientCertificate},
};
use std::{collections::BTreeMap, sync::Arc};

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

/// The plain paths by which others verify service account tokens.
pub(crate) fn documents(settings: &Settings, public_address: &str) -> BTreeMap<String, Document> {
    let keys = discovery::keys(std::slice::from_ref(settings.signing_key.public()));
    let keys_uri = format!("https://{public_address}{}", discovery::KEYS_PATH);
    let configuration = discovery::configuration(&settings.issuer, &keys_uri);
    BTreeMap::from([
        (discovery::CONFIGURATION_PATH.to_owned(), document("application/json", &configuration)),
        (discovery::KEYS_PATH.to_owned(), document(discovery::KEYS_MEDIA_TYPE, &keys)),
    ])
}

fn document(media_type: &'static str, content: &serde_json::Value) -> Document {
    let content = Bytes::from(content.to_string());
    Arc::new(move || {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(discovery::CACHE_CONTROL));
        Response { status: StatusCode::OK, headers, body: Body::Whole(content.clone()) }
    })
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
