//! Bearer tokens.
//!
//! Which tokens are valid is a [`TokenVerifier`]'s knowledge; a token that no verifier knows is refused, never ignored.
//! Upstream: apiserver `pkg/authentication/request/bearertoken`.

use super::{Authenticator, authenticated};
use crate::api::Request;
use futures::future::BoxFuture;
use http::header;
use proa_meta::{ApiError, ApiResult, User};
use std::sync::Arc;

/// Knows some tokens.
pub trait TokenVerifier: Send + Sync {
    /// The token's user; `None` when the token is not of this verifier's sort; an error when it is and is not valid.
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, ApiResult<Option<User>>>;
}

/// Authenticates by `Authorization: Bearer`.
#[derive(Default)]
pub struct Bearer(Vec<Arc<dyn TokenVerifier>>);

impl Bearer {
    /// Asks these verifiers in order.
    pub fn new(verifiers: Vec<Arc<dyn TokenVerifier>>) -> Self {
        Self(verifiers)
    }

    async fn verify(&self, token: &str) -> ApiResult<Option<Arc<User>>> {
        let mut refused = ApiError::unauthorized();
        for verifier in &self.0 {
            match verifier.verify(token).await {
                Ok(Some(user)) => return Ok(Some(Arc::new(authenticated(user)))),
                Ok(None) => {}
                Err(why) => refused = why,
            }
        }
        Err(refused)
    }
}

impl Authenticator for Bearer {
    fn authenticate<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, ApiResult<Option<Arc<User>>>> {
        Box::pin(async move {
            match token(request) {
                Some(token) => self.verify(token).await,
                None => Ok(None),
            }
        })
    }
}

/// The token of the request; none without one or with an empty one.
fn token(request: &Request) -> Option<&str> {
    let value = request.headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
