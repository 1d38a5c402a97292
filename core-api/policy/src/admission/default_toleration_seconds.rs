//! DefaultTolerationSeconds: pods stay 300 seconds on a node that is not ready or unreachable, unless they say else.
//!
//! Upstream: `plugin/pkg/admission/defaulttolerationseconds/admission.go`.

use super::{is_core, items, list_at};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::ApiResult;
use proa_registry::{AdmissionRequest, Mutate, Operation};
use serde_json::{Value, json};

const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
const SECONDS: i64 = 300;

/// The plugin.
pub struct DefaultTolerationSeconds;

/// Adds the tolerations that a pod does not have.
fn add_tolerations(pod: &mut Value) {
    let missing: Vec<_> =
        TAINTS.into_iter().filter(|taint| !tolerates(&pod["spec"]["tolerations"], taint)).collect();
    if missing.is_empty() {
        return;
    }
    let Some(tolerations) = pod.get_mut("spec").and_then(|spec| list_at(spec, "tolerations")) else { return };
    tolerations.extend(missing.into_iter().map(|taint| {
        json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS})
    }));
}

fn tolerates(tolerations: &Value, taint: &str) -> bool {
    let text = |toleration: &Value, field: &str| toleration[field].as_str().unwrap_or_default().to_owned();
    items(tolerations).any(|toleration| {
        let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
        (key.is_empty() || key == taint) && (effect.is_empty() || effect == "NoExecute")
    })
}

impl Mutate for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        matches!(request.operation, Operation::Create | Operation::Update) && is_core(request, "pods")
    }

    fn admit<'a>(&'a self, _: &'a AdmissionRequest<'a>, pod: &'a mut Value) -> BoxFuture<'a, ApiResult<()>> {
        async move {
            add_tolerations(pod);
            Ok(())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_missing_tolerations_are_added() {
        let toleration = |taint: &str| json!({"key": taint, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
        let own =
            json!({"key": TAINTS[0], "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let other_effect = json!({"key": TAINTS[0], "operator": "Exists", "effect": "NoSchedule"});
        let all = json!({"operator": "Exists"});
        for (given, want) in [
            (json!({}), json!({"tolerations": [toleration(TAINTS[0]), toleration(TAINTS[1])]})),
            (json!({"tolerations": [own]}), json!({"tolerations": [own, toleration(TAINTS[1])]})),
            (
                json!({"tolerations": [other_effect]}),
                json!({"tolerations": [other_effect, toleration(TAINTS[0]), toleration(TAINTS[1])]}),
            ),
            (json!({"tolerations": [all]}), json!({"tolerations": [all]})),
        ] {
            let mut pod = json!({ "spec": given });
            add_tolerations(&mut pod);
            assert_eq!(pod["spec"], want);
        }
    }
}
