//! What workloads ask about pods: active, ready, available, and which to delete first.
//!
//! Upstream: pkg/api/v1/pod/util.go, pkg/controller/controller_utils.go (ActivePodsWithRanks).

use crate::{
    clock::elapsed,
    conditions::{self, Condition},
    views::PodView,
};
use jiff::Timestamp;
use std::{cmp::Ordering, time::Duration};

/// Annotation by which users say which pods are cheapest to delete.
pub const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";

impl PodView {
    /// Neither ended nor going.
    pub fn is_active(&self) -> bool {
        !self.is_terminal() && !self.metadata.is_deleting()
    }
    /// Succeeded or failed.
    pub fn is_terminal(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }
    /// Going, but not ended yet.
    pub fn is_terminating(&self) -> bool {
        !self.is_terminal() && self.metadata.is_deleting()
    }
    /// The `Ready` condition.
    pub fn ready_condition(&self) -> Option<&Condition> {
        conditions::find(&self.status.conditions, "Ready")
    }
    /// Whether it is ready.
    pub fn is_ready(&self) -> bool {
        self.ready_condition().is_some_and(Condition::is_true)
    }
    /// Whether it has been ready for so many seconds.
    pub fn is_available(&self, min_ready_seconds: i32, now: Timestamp) -> bool {
        self.is_ready() && self.available_in(min_ready_seconds, now).is_zero()
    }
    /// How long until a ready pod is available; zero for one that is not ready, since only an event can change that.
    pub fn available_in(&self, min_ready_seconds: i32, now: Timestamp) -> Duration {
        let Some(ready) = self.ready_condition().filter(|ready| ready.is_true()) else {
            return Duration::ZERO;
        };
        let Ok(wanted) = u64::try_from(min_ready_seconds) else { return Duration::ZERO };
        let since = ready.last_transition_time.map_or(Duration::ZERO, |since| elapsed(since, now));
        Duration::from_secs(wanted).saturating_sub(since)
    }
    fn restarts(&self) -> (i32, i32) {
        let most = |statuses: &[crate::views::pod::ContainerStatus], sidecars: bool| {
            let sidecar = |name: &str| {
                self.spec
                    .init_containers
                    .iter()
                    .any(|c| &*c.name == name && c.restart_policy.as_deref() == Some("Always"))
            };
            statuses
                .iter()
                .filter(|status| !sidecars || sidecar(&status.name))
                .map(|status| status.restart_count)
                .max()
                .unwrap_or(0)
        };
        (most(&self.status.container_statuses, false), most(&self.status.init_container_statuses, true))
    }
}

/// A pod that may be deleted, with what ranks it.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a PodView,
    /// Related pods on the same node; more means it goes earlier.
    pub rank: usize,
    /// The user's cost of deleting it; less means it goes earlier.
    pub cost: i32,
}

/// Sorts so that the pods to delete first come first.
pub fn sort_for_deletion(candidates: &mut [Candidate<'_>], now: Timestamp) {
    candidates.sort_by(|a, b| deletion_order(a, b, now));
}

fn deletion_order(a: &Candidate<'_>, b: &Candidate<'_>, now: Timestamp) -> Ordering {
    let assigned = |c: &Candidate<'_>| !c.pod.spec.node_name.is_empty();
    let phase = |c: &Candidate<'_>| match &*c.pod.status.phase {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let ready = |c: &Candidate<'_>| c.pod.is_ready();
    assigned(a)
        .cmp(&assigned(b))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| ready(a).cmp(&ready(b)))
        .then_with(|| a.cost.cmp(&b.cost))
        .then_with(|| b.rank.cmp(&a.rank))
        .then_with(|| newest_ready_first(a, b, now))
        .then_with(|| b.pod.restarts().cmp(&a.pod.restarts()))
        .then_with(|| newest_first(a.pod.metadata.creation_timestamp, b.pod.metadata.creation_timestamp, now))
        .then_with(|| a.pod.metadata.uid.cmp(&b.pod.metadata.uid))
}

fn newest_ready_first(a: &Candidate<'_>, b: &Candidate<'_>, now: Timestamp) -> Ordering {
    let since = |c: &Candidate<'_>| c.pod.ready_condition().and_then(|ready| ready.last_transition_time);
    if a.pod.is_ready() && b.pod.is_ready() { newest_first(since(a), since(b), now) } else { Ordering::Equal }
}

/// The younger first, in powers of two of their age, so that near ages do not decide. Unknown counts as youngest.
fn newest_first(a: Option<Timestamp>, b: Option<Timestamp>, now: Timestamp) -> Ordering {
    let age = |time: Option<Timestamp>| time.map(|time| elapsed(time, now).as_nanos().checked_ilog2());
    age(a).cmp(&age(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(json: serde_json::Value) -> PodView {
        serde_json::from_value(json).unwrap()
    }

    fn ready(name: &str, since: &str, restarts: i32) -> PodView {
        pod(
            json!({"metadata": {"name": name, "uid": name, "creationTimestamp": since}, "spec": {"nodeName": "n"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}],
            "containerStatuses": [{"name": "c", "restartCount": restarts}]}}),
        )
    }

    #[test]
    fn availability_counts_from_the_ready_transition() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let pod = ready("a", "2026-01-01T00:00:50Z", 0);
        assert!(pod.is_available(0, now) && pod.is_available(10, now) && !pod.is_available(11, now));
        assert_eq!(pod.available_in(15, now), Duration::from_secs(5));
        assert!(!PodView::default().is_available(0, now));
    }

    #[test]
    fn deletion_takes_the_least_useful_first() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let pods = [
            ready("old", "2026-01-01T00:00:00Z", 0),
            ready("young", "2026-01-01T23:59:00Z", 0),
            ready("restarted", "2026-01-01T00:00:00Z", 5),
            pod(
                json!({"metadata": {"name": "pending"}, "spec": {"nodeName": "n"}, "status": {"phase": "Pending"}}),
            ),
            pod(json!({"metadata": {"name": "unassigned"}, "status": {"phase": "Pending"}})),
            ready("cheap", "2026-01-01T00:00:00Z", 0),
            ready("crowded", "2026-01-01T00:00:00Z", 0),
        ];
        let mut candidates: Vec<_> = pods
            .iter()
            .map(|pod| Candidate {
                pod,
                rank: usize::from(&*pod.metadata.name == "crowded"),
                cost: if &*pod.metadata.name == "cheap" { -1 } else { 0 },
            })
            .collect();
        sort_for_deletion(&mut candidates, now);
        let names: Vec<_> = candidates.iter().map(|c| &*c.pod.metadata.name).collect();
        assert_eq!(names, ["unassigned", "pending", "cheap", "crowded", "young", "restarted", "old"]);
    }
}
