//! TaintNodesByCondition: a new node is tainted until it reports that it is ready.
//!
//! Upstream: `plugin/pkg/admission/nodetaint/admission.go`.

use super::{is_core, items, list_at};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::ApiResult;
use proa_registry::{AdmissionRequest, Mutate, Operation};
use serde_json::{Value, json};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// The plugin.
pub struct TaintNodesByCondition;

fn add_taint(node: &mut Value) {
    let tainted =
        items(&node["spec"]["taints"]).any(|t| t["key"] == NOT_READY && t["effect"] == "NoSchedule");
    if tainted {
        return;
    }
    if node.get("spec").is_none_or(Value::is_null) {
        node["spec"] = json!({});
    }
    if let Some(taints) = list_at(&mut node["spec"], "taints") {
        taints.push(json!({"key": NOT_READY, "effect": "NoSchedule"}));
    }
}

impl Mutate for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation == Operation::Create && is_core(request, "nodes")
    }

    fn admit<'a>(&'a self, _: &'a AdmissionRequest<'a>, node: &'a mut Value) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            if node.is_object() {
                add_taint(node);
            }
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taint_is_added_once() {
        let taint = json!({"key": NOT_READY, "effect": "NoSchedule"});
        let other = json!({"key": NOT_READY, "effect": "NoExecute"});
        for (given, want) in [
            (json!({}), json!([taint])),
            (json!({"spec": {"taints": [taint]}}), json!([taint])),
            (json!({"spec": {"taints": [other]}}), json!([other, taint])),
        ] {
            let mut node = given;
            add_taint(&mut node);
            assert_eq!(node["spec"]["taints"], want);
        }
    }
}
