//! NamespaceLifecycle: the namespaces that a cluster lives in cannot be deleted.
//!
//! Upstream: apiserver `pkg/admission/plugin/namespace/lifecycle/admission.go`; its other half is in the registry.

use super::{forbidden, is_core};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::ApiResult;
use proa_registry::{AdmissionRequest, Operation, Validate};
use serde_json::Value;

/// Namespaces that stay.
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];

/// The plugin.
pub struct NamespaceLifecycle;

impl Validate for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        "NamespaceLifecycle"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Delete && is_core(request, "namespaces")
    }

    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        _: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        let result = if IMMORTAL.contains(&request.name) {
            Err(forbidden(request, "this namespace may not be deleted"))
        } else {
            Ok(())
        };
        async move { result }.boxed()
    }
}
