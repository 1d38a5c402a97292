//! Pods that were to be disrupted and were not: after a while they say so.

use proa_kit::{
    Action, Plan, Timestamp, Typed,
    clock::rfc3339,
    conditions::{self, Condition},
    views::PodView,
};
use serde_json::json;
use std::time::Duration;

const TARGET: &str = "DisruptionTarget";
/// The node's own decision to end a pod is never stale: ending it can take as long as it takes.
const BY_NODE: &str = "TerminationByKubelet";
/// How long a pod may be about to go.
const GOING_WITHIN: Duration = Duration::from_secs(120);

/// The condition of a pod that is to be disrupted and is not going yet.
pub(crate) fn target(pod: &PodView) -> Option<&Condition> {
    let condition = conditions::find(&pod.status.conditions, TARGET)?;
    let stays = !pod.metadata.is_deleting() && !pod.is_terminal();
    (stays && condition.is_true() && &*condition.reason != BY_NODE).then_some(condition)
}

/// Takes the condition back when its time is over.
pub fn plan(pod: &PodView, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(condition) = target(pod) else { return plan };
    let since = condition.last_transition_time.unwrap_or(now);
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    if waited < GOING_WITHIN {
        plan.look_again(GOING_WITHIN.saturating_sub(waited));
        return plan;
    }
    let target = pod.reference().at(pod.metadata.resource_version);
    let status = json!({"conditions": [{"type": TARGET, "status": "False", "reason": null, "message": null,
        "lastTransitionTime": rfc3339(now)}]});
    plan.push(Action::merge_status(target, status));
    plan
}
