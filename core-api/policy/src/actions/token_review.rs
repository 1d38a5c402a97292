//! TokenReview: tells whom a token stands for.
//!
//! Upstream: `pkg/registry/authentication/tokenreview/storage.go`.

use super::created;
use crate::tokens::verifier::TokenVerifier;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult};
use proa_registry::{
    Registry,
    request::{Action, ActionRequest, Written},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The action.
pub struct TokenReview {
    verifier: Arc<TokenVerifier>,
}

impl TokenReview {
    /// Over the verifier that also authenticates requests.
    pub fn new(verifier: Arc<TokenVerifier>) -> Self {
        Self { verifier }
    }

    fn answer(&self, request: ActionRequest) -> ApiResult<Written> {
        let mut review = request.body;
        let token = review["spec"]["token"].as_str().unwrap_or_default();
        if token.is_empty() {
            return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
        }
        let audiences: Vec<String> = crate::admission::items(&review["spec"]["audiences"])
            .filter_map(|audience| audience.as_str().map(str::to_owned))
            .collect();
        let audiences = if audiences.is_empty() { self.verifier.audiences() } else { &audiences };
        let status: Value = match self.verifier.verify_for(token, audiences) {
            Ok(verified) => {
                json!({"authenticated": true, "user": verified.user, "audiences": verified.audiences})
            }
            Err(error) => json!({"user": {}, "error": error.to_string()}),
        };
        review["status"] = status;
        Ok(created(review))
    }
}

impl Action for TokenReview {
    fn call<'a>(&'a self, _: &'a Arc<Registry>, request: ActionRequest) -> BoxFuture<'a, ApiResult<Written>> {
        async move { self.answer(request) }.boxed()
    }
}
