//! TokenReview: tells whom a token stands for.
//!
//! Upstream: `pkg/registry/authentication/tokenreview/storage.go`.

use super::created;
use crate::tokens::Tokens;
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
    tokens: Arc<Tokens>,
}

impl TokenReview {
    /// Over the tokens that also authenticate requests.
    pub fn new(tokens: Arc<Tokens>) -> Self {
        Self { tokens }
    }

    async fn answer(&self, request: ActionRequest) -> ApiResult<Written> {
        let mut review = request.body;
        let token = review["spec"]["token"].as_str().unwrap_or_default();
        if token.is_empty() {
            return Err(ApiError::bad_request("token is required for TokenReview in authentication"));
        }
        let audiences: Vec<String> = crate::admission::items(&review["spec"]["audiences"])
            .filter_map(|audience| audience.as_str().map(str::to_owned))
            .collect();
        let audiences = if audiences.is_empty() { self.tokens.audiences() } else { &audiences };
        let status: Value = match self.tokens.verify(token, audiences).await {
            Ok(verified) => {
                let mut status = json!({"authenticated": true, "user": verified.user});
                if !verified.audiences.is_empty() {
                    status["audiences"] = json!(verified.audiences);
                }
                status
            }
            Err(error) => json!({"user": {}, "error": error.to_string()}),
        };
        review["status"] = status;
        Ok(created(review))
    }
}

impl Action for TokenReview {
    fn call<'a>(&'a self, _: &'a Arc<Registry>, request: ActionRequest) -> BoxFuture<'a, ApiResult<Written>> {
        self.answer(request).boxed()
    }
}
