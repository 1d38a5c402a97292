//! What PodDisruptionBudgets say about evicting a pod.
//!
//! Pure. Owns: whether a pod may be evicted, and what the eviction takes from its budget. Upstream:
//! `pkg/registry/core/pod/storage/eviction.go`.

use jiff::Timestamp;
use proa_meta::{
    ApiError, ApiResult, GroupResource, Reason,
    selector::LabelSelector,
    status::{Cause, Details},
    time::Time,
};
use serde::Deserialize;
use serde_json::{Value, json};

const RESOURCE: GroupResource = GroupResource::new("policy", "poddisruptionbudget");
/// Pods that a budget may list as being disrupted.
const MAX_DISRUPTED: usize = 2000;
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";

/// What is read of a PodDisruptionBudget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Budget {
    metadata: Metadata,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Metadata {
    name: String,
    generation: i64,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    selector: Option<LabelSelector>,
    unhealthy_pod_eviction_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
    disruptions_allowed: i64,
    current_healthy: i64,
    desired_healthy: i64,
    disrupted_pods: serde_json::Map<String, Value>,
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

/// What an eviction has to do about budgets.
#[derive(Debug, PartialEq, Eq)]
pub enum Claim {
    /// No budget guards the pod.
    None,
    /// The pod is unhealthy and counts for nothing: it may go, if it is still as it was looked at.
    Unhealthy(String),
    /// The named budget must give one disruption.
    Take(String),
}

impl Budget {
    /// Whether the budget guards a pod.
    pub fn guards(&self, pod: &Value) -> bool {
        let selector = LabelSelector::compile_option(self.spec.selector.as_ref());
        selector.is_ok_and(|selector| selector.matches_json(pod["metadata"]["labels"].as_object()))
    }

    /// Whether the pod may go although it is not ready.
    fn lets_unhealthy_go(&self) -> bool {
        let Status { current_healthy, desired_healthy, .. } = self.status;
        self.spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow")
            || (current_healthy >= desired_healthy && desired_healthy > 0)
    }
}

/// Whether a pod is disrupted or not running yet, so that no budget counts it.
pub fn is_beyond_budgets(pod: &Value) -> bool {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    matches!(phase, "Succeeded" | "Failed" | "Pending") || !pod["metadata"]["deletionTimestamp"].is_null()
}

/// What the budgets that guard the pod ask for.
///
/// # Errors
/// 500 when there are several.
pub fn claim(pod: &Value, budgets: &[Budget]) -> ApiResult<Claim> {
    let budget = match budgets {
        [] => return Ok(Claim::None),
        [one] => one,
        _ => {
            let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
            return Err(ApiError::new(Reason::Unknown, text));
        }
    };
    let name = budget.metadata.name.clone();
    let unhealthy = !is_ready(pod) && budget.lets_unhealthy_go();
    Ok(if unhealthy { Claim::Unhealthy(name) } else { Claim::Take(name) })
}

fn is_ready(pod: &Value) -> bool {
    let ready = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
    crate::admission::items(&pod["status"]["conditions"]).any(ready)
}

/// 429: try again later.
pub fn too_many(cause: String, retry_after: u32) -> ApiError {
    let cause = Cause { reason: "DisruptionBudget".to_owned(), message: cause, ..Cause::default() };
    let details = Details { causes: vec![cause], retry_after_seconds: retry_after, ..Details::default() };
    ApiError::new(Reason::TooManyRequests, REFUSED).with_details(details)
}

/// 429 of a budget that is behind.
pub fn still_processed(name: &str) -> ApiError {
    too_many(format!("The disruption budget {name} is still being processed by the server."), 10)
}

/// Takes one disruption for `pod` from a budget, in place.
///
/// # Errors
/// 429 when there is none to take, 403 when the budget's status makes no sense.
pub fn take(object: &mut Value, pod: &str, now: Timestamp) -> ApiResult<()> {
    let budget = Budget::deserialize(&*object).map_err(ApiError::internal)?;
    let Budget { metadata: Metadata { name, generation }, status, .. } = &budget;
    let forbid = |why: &str| Err(ApiError::forbidden(&RESOURCE, name, why));
    if status.observed_generation < *generation {
        return Err(still_processed(name));
    }
    if status.disruptions_allowed < 0 {
        return forbid("pdb disruptions allowed is negative");
    }
    if status.disrupted_pods.len() > MAX_DISRUPTED {
        return forbid("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if status.disruptions_allowed == 0 {
        return Err(too_many(exhausted(name, status), 0));
    }
    let allowed = status.disruptions_allowed - 1;
    object["status"]["disruptionsAllowed"] = json!(allowed);
    if let Some(pods) = crate::admission::map_at(&mut object["status"], "disruptedPods") {
        pods.insert(pod.to_owned(), json!(Time::new(now).to_string()));
    }
    if allowed == 0 {
        refuse_further(&mut object["status"], *generation, now);
    }
    Ok(())
}

fn refuse_further(status: &mut Value, generation: i64, now: Timestamp) {
    let condition = json!({"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods",
        "message": "", "observedGeneration": generation});
    super::set_condition(status, &condition, now);
}

/// Why a budget has nothing to give.
fn exhausted(name: &str, status: &Status) -> String {
    let refusing = status.conditions.iter().find(|c| c.r#type == "DisruptionAllowed" && c.status == "False");
    let refusing = refusing.filter(|c| !c.message.is_empty());
    match refusing {
        Some(condition) if condition.reason == "SyncFailed" => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            condition.message
        ),
        _ if status.current_healthy <= status.desired_healthy => format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            status.desired_healthy, status.current_healthy
        ),
        Some(condition) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({}): {}",
            condition.reason, condition.message
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(status: &Value) -> Value {
        json!({"metadata": {"name": "b", "generation": 2}, "status": status,
               "spec": {"selector": {"matchLabels": {"app": "web"}}}})
    }

    fn view(status: &Value) -> Budget {
        Budget::deserialize(&budget(status)).unwrap()
    }

    #[test]
    fn budgets_guard_by_selector() {
        let pod = |app: &str| json!({"metadata": {"labels": {"app": app}}});
        assert!(view(&json!({})).guards(&pod("web")));
        assert!(!view(&json!({})).guards(&pod("db")));
        assert!(!Budget::default().guards(&pod("web")), "no selector guards nothing");
    }

    #[test]
    fn unhealthy_pods_go_when_nothing_is_lost() {
        let pod = |ready: &str| json!({"status": {"conditions": [{"type": "Ready", "status": ready}]}});
        let take = Claim::Take("b".into());
        let healthy = view(&json!({"currentHealthy": 2, "desiredHealthy": 2}));
        let short = view(&json!({"currentHealthy": 1, "desiredHealthy": 2}));
        assert_eq!(claim(&pod("True"), std::slice::from_ref(&healthy)), Ok(take));
        assert_eq!(claim(&pod("False"), std::slice::from_ref(&healthy)), Ok(Claim::Unhealthy("b".into())));
        assert_eq!(claim(&pod("False"), &[short]), Ok(Claim::Take("b".into())));
        assert_eq!(claim(&pod("True"), &[]), Ok(Claim::None));
        assert_eq!(claim(&pod("True"), &[healthy.clone(), healthy]).unwrap_err().code(), 500);
    }

    #[test]
    fn a_disruption_is_taken_or_refused() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let mut object = budget(&json!({"observedGeneration": 2, "disruptionsAllowed": 1}));
        take(&mut object, "web-1", now).unwrap();
        assert_eq!(object["status"]["disruptionsAllowed"], 0);
        assert_eq!(object["status"]["disruptedPods"]["web-1"], "2001-09-09T01:46:40Z");
        assert_eq!(object["status"]["conditions"][0]["reason"], "InsufficientPods");
        for (status, code, text) in [
            (json!({"observedGeneration": 1}), 429, "still being processed"),
            (json!({"observedGeneration": 2, "disruptionsAllowed": -1}), 403, ""),
            (
                json!({"observedGeneration": 2, "currentHealthy": 1, "desiredHealthy": 2}),
                429,
                "needs 2 healthy pods and has 1 currently",
            ),
            (
                json!({"observedGeneration": 2, "currentHealthy": 3, "desiredHealthy": 2}),
                429,
                "The disruption budget b does not allow evicting pods currently",
            ),
        ] {
            let error = take(&mut budget(&status), "web-1", now).unwrap_err();
            assert_eq!(error.code(), code, "{status}");
            let causes = error.details().map(|d| d.causes.clone()).unwrap_or_default();
            assert!(causes.first().is_none_or(|cause| cause.message.contains(text)), "{causes:?}");
        }
    }
}
