//! SelfSubjectReview: tells callers who they are.
//!
//! Upstream: `pkg/registry/authentication/selfsubjectreview/rest.go`.

use super::created;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiResult, time::Time};
use proa_registry::{
    Registry,
    request::{Action, ActionRequest, Written},
};
use serde_json::json;
use std::sync::Arc;

/// The action.
pub struct IdentityReview;

impl Action for IdentityReview {
    fn call<'a>(
        &'a self,
        registry: &'a Arc<Registry>,
        request: ActionRequest,
    ) -> BoxFuture<'a, ApiResult<Written>> {
        let gvk = &request.target.kind.def.gvk;
        let review = json!({
            "apiVersion": gvk.api_version(), "kind": gvk.kind,
            "metadata": {"creationTimestamp": Time::new(registry.now()).to_string()},
            "status": {"userInfo": *request.target.user},
        });
        async move { Ok(created(review)) }.boxed()
    }
}
