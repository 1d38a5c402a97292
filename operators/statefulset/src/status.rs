//! The status of a stateful set: counts of its pods, and its two revisions.

use crate::{build::REVISION, plan::history::History};
use proa_kit::{
    Plan, Timestamp,
    views::{PodView, StatefulSetView, stateful_set::StatefulSetStatus},
};
use serde_json::{Value, json};

/// What the pods and revisions say.
pub(crate) fn status(
    set: &StatefulSetView,
    history: &History<'_>,
    pods: &[&PodView],
    now: Timestamp,
) -> StatefulSetStatus {
    let count = |counts: &dyn Fn(&PodView) -> bool| {
        i32::try_from(pods.iter().filter(|pod| counts(pod)).count()).unwrap_or(i32::MAX)
    };
    let is_ready = |pod: &PodView| &*pod.status.phase == "Running" && pod.is_ready();
    let is_of = |pod: &PodView, revision: &str| {
        !pod.metadata.is_deleting() && pod.metadata.labels.get(REVISION) == Some(revision)
    };
    StatefulSetStatus {
        observed_generation: set.metadata.generation,
        replicas: count(&|_| true),
        ready_replicas: count(&is_ready),
        available_replicas: count(&|pod| is_ready(pod) && pod.is_available(set.spec.min_ready_seconds, now)),
        current_replicas: count(&|pod| is_of(pod, &history.current.name)),
        updated_replicas: count(&|pod| is_of(pod, &history.update.name)),
        current_revision: history.current.name.clone(),
        update_revision: history.update.name.clone(),
        collision_count: Some(set.status.collision_count.unwrap_or(0)),
        conditions: set.status.conditions.clone(),
    }
}

/// Puts the new status into the plan, if it differs. When every pod is updated and ready, the update is complete.
pub(crate) fn report(set: &StatefulSetView, mut new: StatefulSetStatus, plan: &mut Plan) {
    let wanted = set.spec.replicas();
    if [new.updated_replicas, new.ready_replicas, new.replicas] == [wanted; 3] {
        new.current_replicas = new.updated_replicas;
        new.current_revision = new.update_revision.clone();
    }
    if new != set.status {
        plan.status = Some(value(&new));
    }
}

/// The status after a hash collision: the next hash is another.
pub(crate) fn collided(set: &StatefulSetView) -> Value {
    let mut status = set.status.clone();
    status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
    value(&status)
}

fn value(status: &StatefulSetStatus) -> Value {
    let mut value = json!({
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "availableReplicas": status.available_replicas,
    });
    for (field, count) in [
        ("readyReplicas", status.ready_replicas),
        ("currentReplicas", status.current_replicas),
        ("updatedReplicas", status.updated_replicas),
    ] {
        if count != 0 {
            value[field] = json!(count);
        }
    }
    for (field, name) in
        [("currentRevision", &status.current_revision), ("updateRevision", &status.update_revision)]
    {
        if !name.is_empty() {
            value[field] = json!(name);
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
