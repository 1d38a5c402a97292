//! Who is asking: client certificates, then tokens; and how others verify service account tokens.

use crate::{Access, Settings};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use proa_meta::{ApiError, ApiResult, User};
use proa_policy::tokens::{
    PublicKey, TokenVerifier, Tokens, bootstrap::BootstrapTokens, chain::Verify, discovery,
    webhook::WebhookTokens,
};
use proa_registry::{Registry, webhook::CallWebhook};
use proa_server::{
    Body, Document, RequestHeaders, Response,
    authn::{self, Authenticator, Bearer, ClientCertificate},
};
use std::{collections::BTreeMap, sync::Arc};

/// Who knows tokens, for requests and for reviews, in upstream's order; and whose tokens are signed here.
pub(crate) fn tokens(
    registry: &Arc<Registry>,
    settings: &Settings,
    access: &Access,
    webhooks: &Arc<dyn CallWebhook>,
) -> (Arc<Tokens>, Arc<TokenVerifier>) {
    let issuers = vec![settings.issuer.clone()];
    let keys: Vec<PublicKey> = vec![settings.signing_key.public().clone()];
    // A token whose audience is the issuer is meant for the API server, as upstream's default.
    let verifier = TokenVerifier::new(registry.clone(), issuers.clone(), issuers.clone(), keys);
    let bootstrap = BootstrapTokens::new(registry.clone(), issuers.clone());
    let mut sorts: Vec<Arc<dyn Verify>> = vec![verifier.clone(), Arc::new(bootstrap)];
    sorts.extend(access.issuers.iter().map(|issuer| issuer.clone() as Arc<dyn Verify>));
    sorts.extend(access.token_webhook.as_ref().map(|hook| -> Arc<dyn Verify> {
        Arc::new(WebhookTokens::new(hook.clone(), webhooks.clone(), issuers.clone()))
    }));
    (Tokens::new(sorts, issuers), verifier)
}

/// The authenticators in upstream's order.
pub(crate) fn authenticators(
    request_headers: Option<&Arc<RequestHeaders>>,
    tokens: Arc<Tokens>,
) -> Vec<Arc<dyn Authenticator>> {
    let headers = request_headers.map(|headers| headers.clone() as Arc<dyn Authenticator>);
    let bearer: Arc<dyn Authenticator> = Arc::new(Bearer::new(Arc::new(BearerTokens(tokens))));
    headers.into_iter().chain([Arc::new(ClientCertificate) as Arc<dyn Authenticator>, bearer]).collect()
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

/// Policy's verifiers in the form that the request path asks for.
struct BearerTokens(Arc<Tokens>);

impl authn::TokenVerifier for BearerTokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, ApiResult<User>> {
        Box::pin(async move {
            match self.0.verify(token, self.0.audiences()).await {
                Ok(verified) => Ok(verified.user),
                Err(error) => {
                    tracing::debug!(%error, "token refused");
                    Err(ApiError::unauthorized())
                }
            }
        })
    }
}
