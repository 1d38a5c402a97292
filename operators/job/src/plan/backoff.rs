//! How long to wait after failures before the next pod, computed from the pods that ended.
//!
//! Upstream: pkg/controller/job/backoff_utils.go, which remembers counts in memory instead.

use crate::plan::indexes::{failures_before, ignored_before};
use proa_kit::{Timestamp, clock::elapsed, views::PodView};
use std::time::Duration;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// When a pod ended, as well as it can be known.
pub fn finished_at(pod: &PodView) -> Timestamp {
    from_containers(pod)
        .or_else(|| {
            let ready = pod.ready_condition().filter(|ready| &*ready.status == "False")?;
            ready.last_transition_time
        })
        .or_else(|| {
            let grace = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            let grace = Duration::from_secs(u64::try_from(grace).unwrap_or(0));
            pod.metadata.deletion_timestamp?.checked_sub(grace).ok()
        })
        .or(pod.metadata.creation_timestamp)
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The end of the last container; `None` unless all ended.
fn from_containers(pod: &PodView) -> Option<Timestamp> {
    let is_sidecar = |name: &str| {
        let mut init = pod.spec.init_containers.iter();
        init.any(|container| {
            &*container.name == name && container.restart_policy.as_deref() == Some("Always")
        })
    };
    let sidecars = pod.status.init_container_statuses.iter().filter(|status| is_sidecar(&status.name));
    let mut latest = None;
    for status in pod.status.container_statuses.iter().chain(sidecars) {
        latest = latest.max(Some(status.state.terminated.as_ref()?.finished_at?));
    }
    latest
}

/// Time left after the failures since the last success.
pub fn remaining(succeeded: &[&PodView], failed: &[&PodView], now: Timestamp) -> Duration {
    let last_success = succeeded.iter().map(|pod| finished_at(pod)).max();
    let later: Vec<Timestamp> =
        failed.iter().map(|pod| finished_at(pod)).filter(|at| Some(*at) > last_success).collect();
    let Some(last) = later.iter().max() else { return Duration::ZERO };
    after(later.len(), *last, now)
}

/// Time left for an index after the failure of its last pod.
pub fn remaining_of_index(last_failed: Option<&PodView>, now: Timestamp) -> Duration {
    let Some(pod) = last_failed else { return Duration::ZERO };
    let failures = failures_before(pod) + ignored_before(pod) + 1;
    after(usize::try_from(failures).unwrap_or(1), finished_at(pod), now)
}

fn after(failures: usize, last: Timestamp, now: Timestamp) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let delay = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    delay.saturating_sub(elapsed(last, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ended(second: u32) -> PodView {
        let at = format!("2026-01-01T00:00:{second:02}Z");
        let status = json!({"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 1, "finishedAt": at}}}]});
        serde_json::from_value(json!({ "status": status })).unwrap()
    }

    #[test]
    fn only_failures_after_the_last_success_count() {
        let now: Timestamp = "2026-01-01T00:00:35Z".parse().unwrap();
        let pods: Vec<PodView> = [10, 20, 30].map(ended).into();
        let [a, b, c] = [&pods[0], &pods[1], &pods[2]];
        assert_eq!(remaining(&[], &[a], now), Duration::ZERO);
        assert_eq!(remaining(&[], &[a, c], now), Duration::from_secs(15));
        assert_eq!(remaining(&[b], &[a, c], now), Duration::from_secs(5));
        assert_eq!(remaining(&[c], &[a, b], now), Duration::ZERO);
        assert_eq!(after(40, now, now), LONGEST);
    }
}
