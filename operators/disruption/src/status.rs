//! The status of a budget.

use proa_kit::{
    Timestamp,
    clock::rfc3339,
    conditions::{self, Condition},
    views::pod_disruption_budget::{PodDisruptionBudgetStatus, PodDisruptionBudgetView},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const ALLOWED: &str = "DisruptionAllowed";

/// What was counted.
#[derive(Clone, Debug)]
pub(crate) struct Counts {
    pub(crate) healthy: i32,
    pub(crate) desired: i32,
    pub(crate) expected: i32,
    pub(crate) disrupted: BTreeMap<Box<str>, Timestamp>,
}

/// The new status, if it differs from the old one. A budget that expects no pods allows nothing: its first pods may
/// come before they are counted.
pub(crate) fn changed(budget: &PodDisruptionBudgetView, counts: &Counts, now: Timestamp) -> Option<Value> {
    let surplus = counts.healthy.saturating_sub(counts.desired);
    let allowed = if counts.expected <= 0 { 0 } else { surplus.max(0) };
    let generation = budget.metadata.generation;
    let (status, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let is_current = |condition: &Condition| &*condition.status == status && &*condition.reason == reason;
    let old = &budget.status;
    let mut new = PodDisruptionBudgetStatus {
        observed_generation: generation,
        disrupted_pods: counts.disrupted.clone(),
        disruptions_allowed: allowed,
        current_healthy: counts.healthy,
        desired_healthy: counts.desired,
        expected_pods: counts.expected,
        conditions: old.conditions.clone(),
    };
    if new == *old && conditions::find(&old.conditions, ALLOWED).is_some_and(is_current) {
        return None;
    }
    set(&mut new, status, reason, "", generation, now);
    Some(value(&new))
}

/// The status of a budget whose pods cannot be counted, if it differs from the old one.
pub(crate) fn failed(budget: &PodDisruptionBudgetView, why: &str, now: Timestamp) -> Option<Value> {
    let mut new = PodDisruptionBudgetStatus { disruptions_allowed: 0, ..budget.status.clone() };
    let observed = new.observed_generation;
    set(&mut new, "False", "SyncFailed", why, observed, now);
    (new != budget.status).then(|| value(&new))
}

fn set(
    status: &mut PodDisruptionBudgetStatus,
    value: &str,
    reason: &str,
    message: &str,
    observed: i64,
    now: Timestamp,
) {
    let mut condition = Condition::new(ALLOWED, value, reason, message, now);
    // The API leaves out a zero, and what is read back must be what was written.
    condition.observed_generation = Some(observed).filter(|generation| *generation != 0);
    let mut list = status.conditions.to_vec();
    conditions::set(&mut list, condition);
    status.conditions = list.into();
}

fn value(status: &PodDisruptionBudgetStatus) -> Value {
    let mut all = json!({
        "observedGeneration": status.observed_generation,
        "disruptionsAllowed": status.disruptions_allowed,
        "currentHealthy": status.current_healthy,
        "desiredHealthy": status.desired_healthy,
        "expectedPods": status.expected_pods,
        "conditions": status.conditions.iter().map(condition).collect::<Vec<_>>(),
    });
    if !status.disrupted_pods.is_empty() {
        let times = status.disrupted_pods.iter().map(|(pod, time)| (pod.to_string(), rfc3339(*time).into()));
        all["disruptedPods"] = Value::Object(times.collect());
    }
    all
}

/// The message belongs to every condition, also an empty one.
fn condition(condition: &Condition) -> Value {
    let mut value = serde_json::to_value(condition).unwrap_or_default();
    value["message"] = json!(condition.message);
    value
}
