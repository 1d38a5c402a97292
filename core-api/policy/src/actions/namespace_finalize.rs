//! `namespaces/finalize`: changes `spec.finalizers`, and nothing else.
//!
//! Upstream: `pkg/registry/core/namespace/strategy.go` (finalize strategy), `storage/storage.go`.

use futures::{FutureExt, future::BoxFuture};
use proa_meta::{
    ApiError, ApiResult, FieldErrors, FieldPath, GroupKind, GroupResource, names::is_qualified_name,
};
use proa_registry::{
    Registry,
    request::{Action, ActionRequest, Target, Written},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The action.
pub struct NamespaceFinalize;

async fn answer(registry: &Arc<Registry>, request: ActionRequest) -> ApiResult<Written> {
    let body = &request.body;
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    if name != request.target.name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            request.target.name
        )));
    }
    let finalizers = finalizers(body)?;
    let target = Target { subresource: String::new(), ..request.target.clone() };
    let change = |namespace: &mut Value| {
        check_preconditions(namespace, &body["metadata"])?;
        if !namespace["spec"].is_object() {
            namespace["spec"] = json!({});
        }
        namespace["spec"]["finalizers"] = json!(finalizers);
        Ok(())
    };
    registry.modify(&target, &request.options, &change).await
}

/// The wanted finalizers, all of them qualified names.
fn finalizers(body: &Value) -> ApiResult<Vec<String>> {
    let mut errors = FieldErrors::default();
    let spec = FieldPath::root("spec");
    let path = spec.child("finalizers");
    let mut all = Vec::new();
    for (i, finalizer) in crate::admission::items(&body["spec"]["finalizers"]).enumerate() {
        let finalizer = finalizer.as_str().unwrap_or_default();
        let at = path.index(i);
        if finalizer != "kubernetes" {
            let problems = is_qualified_name(finalizer);
            for problem in &problems {
                errors.invalid(&at, &json!(finalizer), problem);
            }
            if problems.is_empty() && !finalizer.contains('/') {
                let problem = "name is neither a standard finalizer name nor is it fully qualified";
                errors.invalid(&at, &json!(finalizer), problem);
            }
        }
        all.push(finalizer.to_owned());
    }
    if errors.is_empty() {
        return Ok(all);
    }
    let name = body["metadata"]["name"].as_str().unwrap_or_default();
    Err(ApiError::invalid(&GroupKind::new("", "Namespace"), name, &errors))
}

fn check_preconditions(namespace: &Value, given: &Value) -> ApiResult<()> {
    let resource = GroupResource::new("", "namespaces");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let present = &namespace["metadata"];
    let (name, uid, revision) =
        (text(&present["name"]), text(&given["uid"]), text(&given["resourceVersion"]));
    if !uid.is_empty() && present["uid"] != uid {
        let found = text(&present["uid"]);
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {found}");
        return Err(ApiError::conflict(&resource, &name, &why));
    }
    if !revision.is_empty() && present["resourceVersion"] != revision {
        return Err(ApiError::modified(&resource, &name));
    }
    Ok(())
}

impl Action for NamespaceFinalize {
    fn call<'a>(
        &'a self,
        registry: &'a Arc<Registry>,
        request: ActionRequest,
    ) -> BoxFuture<'a, ApiResult<Written>> {
        answer(registry, request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finalizers_are_qualified_names() {
        let body =
            |finalizers: &[&str]| json!({"metadata": {"name": "a"}, "spec": {"finalizers": finalizers}});
        assert_eq!(finalizers(&json!({"spec": {}})).unwrap(), [""; 0]);
        assert_eq!(finalizers(&body(&["kubernetes", "a.b/c"])).unwrap(), ["kubernetes", "a.b/c"]);
        for wrong in ["plain", "a b/c", ""] {
            assert_eq!(finalizers(&body(&[wrong])).unwrap_err().code(), 422, "{wrong}");
        }
    }

    #[test]
    fn stale_requests_conflict() {
        let namespace = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}});
        assert!(check_preconditions(&namespace, &json!({"uid": "u", "resourceVersion": "7"})).is_ok());
        assert!(check_preconditions(&namespace, &json!({})).is_ok());
        for stale in [json!({"uid": "v"}), json!({"resourceVersion": "6"})] {
            assert_eq!(check_preconditions(&namespace, &stale).unwrap_err().code(), 409);
        }
    }
}
