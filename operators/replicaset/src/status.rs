//! The status of a replica set: counts of its pods, and whether pods cannot be created or deleted.

use crate::{
    PodSet,
    observe::Observed,
    plan::{Claimed, claimed, claims},
};
use proa_kit::{
    Error, Plan, Results, Timestamp,
    conditions::{self, Condition},
    views::{PodView, replica_set::ReplicaSetStatus},
};
use serde_json::{Value, json};

const REPLICA_FAILURE: &str = "ReplicaFailure";

/// The status after the writes: as planned, unless pods could not be created or deleted.
pub(crate) fn settle(
    set: &impl PodSet,
    observed: &Observed,
    plan: &Plan,
    results: &Results,
    now: Timestamp,
) -> Option<Value> {
    let managing = results.0.iter().skip(claims(set, observed));
    let failure = managing
        .filter_map(|result| result.as_ref().err())
        .find(|error| !matches!(error, Error::Skipped) && !error.is_namespace_terminating());
    match failure {
        None => plan.status.clone(),
        Some(error) => changed(set, &claimed(set, observed), Some(&error.message()), now),
    }
}

/// The new status, if it differs from the old one.
pub(crate) fn changed(
    set: &impl PodSet,
    claimed: &Claimed<'_>,
    failure: Option<&str>,
    now: Timestamp,
) -> Option<Value> {
    let new = status(set, claimed, failure, now);
    (new != *set.status()).then(|| value(&new))
}

fn status(
    set: &impl PodSet,
    claimed: &Claimed<'_>,
    failure: Option<&str>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let labels = set.spec().template.labels();
    let count =
        |counts: &dyn Fn(&PodView) -> bool| number(claimed.active.iter().filter(|pod| counts(pod)).count());
    ReplicaSetStatus {
        replicas: number(claimed.active.len()),
        fully_labeled_replicas: count(&|pod| labels.is_subset_of(&pod.metadata.labels)),
        ready_replicas: count(&PodView::is_ready),
        available_replicas: count(&|pod| pod.is_available(set.spec().min_ready_seconds, now)),
        terminating_replicas: set.counts_terminating().then(|| number(claimed.terminating)),
        observed_generation: set.meta().generation,
        conditions: failure_condition(set, claimed, failure, now),
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// Set at the first failure and kept as it is until the first pass without one.
fn failure_condition(
    set: &impl PodSet,
    claimed: &Claimed<'_>,
    failure: Option<&str>,
    now: Timestamp,
) -> Box<[Condition]> {
    let mut list = set.status().conditions.to_vec();
    match failure {
        None => conditions::remove(&mut list, REPLICA_FAILURE),
        Some(message) if conditions::find(&list, REPLICA_FAILURE).is_none() => {
            let few = number(claimed.active.len()) < set.spec().replicas();
            let reason = if few { "FailedCreate" } else { "FailedDelete" };
            conditions::set_by_reason(
                &mut list,
                Condition::new(REPLICA_FAILURE, "True", reason, message, now),
            );
        }
        Some(_) => {}
    }
    list.into()
}

fn value(status: &ReplicaSetStatus) -> Value {
    let mut value = json!({"replicas": status.replicas, "observedGeneration": status.observed_generation});
    for (field, count) in [
        ("fullyLabeledReplicas", status.fully_labeled_replicas),
        ("readyReplicas", status.ready_replicas),
        ("availableReplicas", status.available_replicas),
    ] {
        if count != 0 {
            value[field] = json!(count);
        }
    }
    if let Some(terminating) = status.terminating_replicas {
        value["terminatingReplicas"] = json!(terminating);
    }
    if !status.conditions.is_empty() {
        value["conditions"] = json!(status.conditions);
    }
    value
}
