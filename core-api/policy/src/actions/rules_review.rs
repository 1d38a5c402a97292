//! SelfSubjectRulesReview: lists what the caller may do in a namespace.
//!
//! Upstream: `pkg/registry/authorization/selfsubjectrulesreview/rest.go`.

use super::created;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult};
use proa_registry::{
    Authorizer, Registry,
    request::{Action, ActionRequest, Written},
};
use serde_json::json;
use std::sync::Arc;

/// The action.
pub struct RulesReview {
    authorizer: Arc<dyn Authorizer>,
}

impl RulesReview {
    /// Over the whole chain of authorizers.
    pub fn new(authorizer: Arc<dyn Authorizer>) -> Self {
        Self { authorizer }
    }

    async fn answer(&self, request: ActionRequest) -> ApiResult<Written> {
        let namespace = request.body["spec"]["namespace"].as_str().unwrap_or_default();
        if namespace.is_empty() {
            return Err(ApiError::bad_request("no namespace on request"));
        }
        let status = self.authorizer.rules(&request.target.user, namespace).await;
        let gvk = &request.target.kind.def.gvk;
        Ok(created(json!({
            "apiVersion": gvk.api_version(), "kind": gvk.kind, "metadata": {}, "spec": {}, "status": status,
        })))
    }
}

impl Action for RulesReview {
    fn call<'a>(&'a self, _: &'a Arc<Registry>, request: ActionRequest) -> BoxFuture<'a, ApiResult<Written>> {
        self.answer(request).boxed()
    }
}
