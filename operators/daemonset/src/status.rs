//! The status of a daemon set: counts of nodes.

use crate::{build::is_updated, plan::Places};
use proa_kit::{
    Plan, Timestamp,
    views::{DaemonSetView, daemon_set::DaemonSetStatus},
};
use serde_json::{Value, json};

/// Puts the new status into the plan, if it differs, and when to look again for pods that become available.
pub(crate) fn report(set: &DaemonSetView, places: &Places<'_>, hash: &str, now: Timestamp, plan: &mut Plan) {
    let new = status(set, places, hash, now);
    if set.spec.min_ready_seconds > 0 && new.number_ready != new.number_available {
        for pod in places.values().flat_map(|place| &place.pods) {
            plan.look_again(pod.available_in(set.spec.min_ready_seconds, now));
        }
    }
    if new != set.status {
        plan.status = Some(value(&new));
    }
}

fn status(set: &DaemonSetView, places: &Places<'_>, hash: &str, now: Timestamp) -> DaemonSetStatus {
    let mut status = DaemonSetStatus {
        observed_generation: set.metadata.generation,
        collision_count: set.status.collision_count,
        conditions: set.status.conditions.clone(),
        ..DaemonSetStatus::default()
    };
    for place in places.values().filter(|place| place.fit.is_some()) {
        // The oldest bound pod speaks for its node.
        let pod = place.pods.first();
        if !place.runs() {
            status.number_misscheduled += i32::from(pod.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = pod else { continue };
        status.current_number_scheduled += 1;
        status.number_ready += i32::from(pod.is_ready());
        status.number_available += i32::from(pod.is_available(set.spec.min_ready_seconds, now));
        status.updated_number_scheduled += i32::from(is_updated(set, &pod.metadata.labels, hash));
    }
    status.number_unavailable = status.desired_number_scheduled - status.number_available;
    status
}

/// The status after a hash collision: the next hash is another.
pub(crate) fn collided(set: &DaemonSetView) -> Value {
    let mut status = set.status.clone();
    status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
    value(&status)
}

fn value(status: &DaemonSetStatus) -> Value {
    let mut value = json!({
        "currentNumberScheduled": status.current_number_scheduled,
        "numberMisscheduled": status.number_misscheduled,
        "desiredNumberScheduled": status.desired_number_scheduled,
        "numberReady": status.number_ready,
        "observedGeneration": status.observed_generation,
    });
    for (field, count) in [
        ("updatedNumberScheduled", status.updated_number_scheduled),
        ("numberAvailable", status.number_available),
        ("numberUnavailable", status.number_unavailable),
    ] {
        if count != 0 {
            value[field] = json!(count);
        }
    }
    if let Some(count) = status.collision_count {
        value["collisionCount"] = json!(count);
    }
    if !status.conditions.is_empty() {
        value["conditions"] = json!(status.conditions);
    }
    value
}
