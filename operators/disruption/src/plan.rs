//! The decision: how many pods may go.

pub mod stale;

use crate::{
    observe::{Observed, Scale},
    status::{self, Counts},
};
use proa_kit::{
    Action, Plan, Timestamp, Typed,
    rollout::{IntOrPercent, Round},
    views::{PodDisruptionBudgetView, PodView},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long a pod that an eviction took may stay before it counts again.
const GONE_WITHIN: Duration = Duration::from_secs(120);

/// The plan for one budget.
pub fn plan(budget: &PodDisruptionBudgetView, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let wanted = observed.scale.clone().and_then(|scale| expected(budget, observed, &scale));
    let about = Arc::new(budget.reference());
    let (expected, desired) = match wanted {
        Ok(wanted) => wanted,
        Err(why) => {
            plan.status = status::failed(budget, &why, now);
            if plan.status.is_some() {
                let note = format!("Failed to calculate the number of expected pods: {why}");
                plan.push(Action::warning(&about, "CalculateExpectedPodCountFailed", note));
            }
            return plan;
        }
    };
    let disrupted = disrupted(budget, &observed.pods, now);
    let counts = Counts {
        healthy: healthy(&observed.pods, &disrupted.pending),
        desired,
        expected,
        disrupted: disrupted.pending,
    };
    plan.status = status::changed(budget, &counts, now);
    for pod in disrupted.stayed {
        let (namespace, about) = (&budget.metadata.namespace, Arc::new(pod.reference()));
        let note = format!(
            "Pod was expected by PDB {namespace}/{} to be deleted but it wasn't",
            budget.metadata.name
        );
        plan.push(Action::warning(&about, "NotDeleted", note));
    }
    if plan.status.is_some() {
        plan.actions.extend(remarks(observed, &about));
    }
    if let Some(wait) = disrupted.next {
        plan.look_again(wait);
    }
    plan
}

/// What people should know about the pods.
fn remarks(observed: &Observed, about: &Arc<proa_kit::ObjectRef>) -> Vec<Action> {
    let mut remarks = Vec::new();
    if observed.pods.is_empty() {
        remarks.push(Action::normal(about, "NoPods", "No matching pods found"));
    }
    if observed.scale.as_ref().is_ok_and(|scale| !scale.unmanaged.is_empty()) {
        let note = "Some of the pods have no controller. The budget cannot be calculated correctly from their scale; \
                    set .spec.minAvailable to a number to account for such pods.";
        remarks.push(Action::warning(about, "UnmanagedPods", note));
    }
    remarks
}

/// How many pods there should be, and how many must be healthy.
fn expected(
    budget: &PodDisruptionBudgetView,
    observed: &Observed,
    scale: &Scale,
) -> Result<(i32, i32), String> {
    let of_scale = |limit: &IntOrPercent| {
        let share = limit.scaled(scale.expected, Round::Up);
        share.ok_or_else(|| {
            "invalid value for IntOrString: invalid type: string is not a percentage".to_owned()
        })
    };
    match (&budget.spec.max_unavailable, &budget.spec.min_available) {
        (Some(most), _) => Ok((scale.expected, scale.expected.saturating_sub(of_scale(most)?).max(0))),
        (None, Some(IntOrPercent::Int(least))) => {
            Ok((i32::try_from(observed.pods.len()).unwrap_or(i32::MAX), *least))
        }
        (None, Some(least)) => Ok((scale.expected, of_scale(least)?)),
        (None, None) => Ok((0, 0)),
    }
}

/// What became of the pods that evictions took.
struct Disrupted<'a> {
    /// They are expected to go.
    pending: BTreeMap<Box<str>, Timestamp>,
    /// They should have gone by now.
    stayed: Vec<&'a PodView>,
    /// When the first of those that are expected to go should have.
    next: Option<Duration>,
}

fn disrupted<'a>(
    budget: &PodDisruptionBudgetView,
    pods: &'a [Arc<PodView>],
    now: Timestamp,
) -> Disrupted<'a> {
    let mut found = Disrupted { pending: BTreeMap::new(), stayed: Vec::new(), next: None };
    for pod in pods.iter().filter(|pod| !pod.metadata.is_deleting()) {
        let name = &pod.metadata.name;
        let Some(taken) = budget.status.disrupted_pods.get(name) else { continue };
        let waited = Duration::try_from(now.duration_since(*taken)).unwrap_or_default();
        if waited > GONE_WITHIN {
            found.stayed.push(pod);
            continue;
        }
        let left = GONE_WITHIN.saturating_sub(waited) + Duration::from_millis(1);
        found.next = Some(found.next.map_or(left, |next| next.min(left)));
        found.pending.insert(name.clone(), *taken);
    }
    found
}

fn healthy(pods: &[Arc<PodView>], disrupted: &BTreeMap<Box<str>, Timestamp>) -> i32 {
    let counts = |pod: &&Arc<PodView>| {
        !pod.metadata.is_deleting() && !disrupted.contains_key(&pod.metadata.name) && pod.is_ready()
    };
    i32::try_from(pods.iter().filter(counts).count()).unwrap_or(i32::MAX)
}
