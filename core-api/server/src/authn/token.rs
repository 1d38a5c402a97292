//! Bearer tokens.
//!
//! Which tokens are valid is the [`TokenVerifier`]'s knowledge; a token that it does not know is refused, never ignored.
//! Upstream: apiserver `pkg/authentication/request/bearertoken`.

use super::Authenticator;
use crate::api::Request;
use futures::future::BoxFuture;
use http::header;
use jiff::Timestamp;
use proa_meta::{ApiResult, User};
use std::sync::Arc;

/// Knows tokens.
pub trait TokenVerifier: Send + Sync {
    /// The token's user.
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, ApiResult<User>>;
}

/// Authenticates by `Authorization: Bearer`.
pub struct Bearer(Arc<dyn TokenVerifier>);

impl Bearer {
    /// Asks this verifier.
    pub fn new(verifier: Arc<dyn TokenVerifier>) -> Self {
        Self(verifier)
    }
}

impl Authenticator for Bearer {
    fn authenticate<'a>(
        &'a self,
        request: &'a Request,
        _: Timestamp,
    ) -> BoxFuture<'a, ApiResult<Option<Arc<User>>>> {
        Box::pin(async move {
            let Some(token) = token(request) else { return Ok(None) };
            Ok(Some(Arc::new(self.0.verify(token).await?.authenticated())))
        })
    }
}

/// The token of the request; none without one or with an empty one.
fn token(request: &Request) -> Option<&str> {
    let value = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
