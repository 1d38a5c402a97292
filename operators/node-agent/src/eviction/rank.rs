//! Which pod goes first. Pure.
//!
//! Upstream: `rankMemoryPressure`, `rankDiskPressureFunc`, `rankPIDPressure` in `pkg/kubelet/eviction/helpers.go`.

use super::{
    thresholds::{Resource, Signal},
    usage::{Parts, Usage, pod_request},
};
use k8s_openapi::api::core::v1::Pod;
use std::{cmp::Reverse, sync::Arc};

/// Priorities from here on belong to pods that the system cannot do without.
const SYSTEM_CRITICAL: i32 = 2_000_000_000;

/// A pod and what it uses; nothing when it could not be measured.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) pod: Arc<Pod>,
    pub(super) usage: Option<Usage>,
}

/// Which parts of a pod's usage count for a signal; `dedicated`: images have a file system of their own.
pub(super) fn parts(signal: Signal, dedicated: bool) -> Parts {
    if dedicated {
        Parts { root: signal.is_of_images(), logs_and_volumes: !signal.is_of_images() }
    } else {
        Parts::ALL
    }
}

/// Sorts the pods that may be evicted: those first that use more than they asked for, then by priority, then by how
/// much more. Shortage of process ids asks for priority and number only.
pub(super) fn rank(candidates: &mut [Candidate], signal: Signal, dedicated: bool) {
    let parts = parts(signal, dedicated);
    candidates.sort_by_cached_key(|candidate| key(candidate, signal.resource(), parts));
}

type Key = (bool, bool, i32, Reverse<i128>);

/// Pods that could not be measured go first, `false` before `true`.
fn key(candidate: &Candidate, resource: Resource, parts: Parts) -> Key {
    let priority = priority(&candidate.pod);
    let Some(usage) = &candidate.usage else { return (false, false, priority, Reverse(0)) };
    let used = i128::from(usage.of(resource, parts));
    let asked = i128::from(asked(&candidate.pod, resource));
    // Pods do not ask for inodes; upstream compares the order of those with the request for space all the same.
    let exceeds = resource != Resource::Pids && used > if resource == Resource::Inodes { 0 } else { asked };
    (true, !exceeds, priority, Reverse(used - asked))
}

fn asked(pod: &Pod, resource: Resource) -> i64 {
    match resource {
        Resource::Memory => pod_request(pod, "memory").value(),
        Resource::Storage | Resource::Inodes => pod_request(pod, "ephemeral-storage").value(),
        Resource::Pids => 0,
    }
}

fn priority(pod: &Pod) -> i32 {
    pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0)
}

/// Whether the pod must stay whatever happens.
pub(super) fn is_critical(pod: &Pod) -> bool {
    let annotations = pod.metadata.annotations.as_ref();
    let is_static = annotations.is_some_and(|all| all.contains_key("kubernetes.io/config.mirror"));
    is_static || priority(pod) >= SYSTEM_CRITICAL
}

#[cfg(test)]
mod tests {
    use super::{
        super::usage::{ContainerUsage, Space},
        *,
    };
    use serde_json::json;

    const MIB: u64 = 1 << 20;

    fn candidate(name: &str, priority: i32, asked: &str, used: u64) -> Candidate {
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"priority": priority, "containers": [{"name": "c",
                "resources": {"requests": {"memory": asked, "ephemeral-storage": asked}}}]},
        }))
        .unwrap();
        let container = ContainerUsage {
            memory: used,
            root: Space { bytes: used, inodes: used },
            logs: Space { bytes: 1, inodes: 1 },
        };
        let usage =
            Usage { containers: [("c".to_owned(), container)].into(), processes: used, ..Usage::default() };
        Candidate { pod: Arc::new(pod), usage: Some(usage) }
    }

    fn order(mut candidates: Vec<Candidate>, signal: Signal, dedicated: bool) -> Vec<String> {
        rank(&mut candidates, signal, dedicated);
        candidates.iter().map(|candidate| candidate.pod.metadata.name.clone().unwrap()).collect()
    }

    fn some() -> Vec<Candidate> {
        vec![
            candidate("within", -10, "100Mi", 50 * MIB),
            candidate("little over", 0, "100Mi", 120 * MIB),
            candidate("much over", 0, "100Mi", 300 * MIB),
            candidate("important", 1000, "10Mi", 900 * MIB),
        ]
    }

    #[test]
    fn those_over_their_request_go_first() {
        let expected = ["much over", "little over", "important", "within"];
        assert_eq!(order(some(), Signal::MemoryAvailable, false), expected);
        assert_eq!(order(some(), Signal::NodeFsAvailable, false), expected);
        assert_eq!(order(some(), Signal::ImageFsAvailable, true), expected);
    }

    #[test]
    fn a_pod_without_measurement_goes_first() {
        let mut pods = some();
        pods[0].usage = None;
        assert_eq!(order(pods, Signal::MemoryAvailable, false)[0], "within");
    }

    #[test]
    fn process_ids_go_by_priority_and_number() {
        let expected = ["within", "much over", "little over", "important"];
        assert_eq!(order(some(), Signal::PidAvailable, false), expected);
    }

    #[test]
    fn a_dedicated_file_system_counts_only_what_is_on_it() {
        // Only a byte of logs each: none is over its request.
        let expected = ["within", "important", "little over", "much over"];
        let mut pods = some();
        pods[1] = candidate("little over", 1, "200Mi", 0);
        pods[2] = candidate("much over", 2, "100Mi", 0);
        pods[3] = candidate("important", 0, "10Mi", 0);
        assert_eq!(order(pods, Signal::NodeFsAvailable, true), expected);
    }

    #[test]
    fn critical_pods_stay() {
        assert!(is_critical(&candidate("c", 2_000_000_000, "1", 1).pod));
        assert!(!is_critical(&candidate("c", 1_999_999_999, "1", 1).pod));
    }
}
