//! Prefers nodes with labels that the pod would like.
//!
//! Upstream: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go (Score).

use crate::index::{Candidate, nodes::Node};

/// Sum of the weights of the preferences that the node satisfies.
pub fn raw(pod: &Candidate, node: &Node) -> i64 {
    let preferred = pod
        .view
        .spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .map_or(&[][..], |affinity| &affinity.preferred_during_scheduling_ignored_during_execution);
    let Some(view) = node.view.as_ref().filter(|_| !preferred.is_empty()) else { return 0 };
    let liked = preferred.iter().filter(|term| term.preference.matches(view));
    liked.map(|term| i64::from(term.weight)).sum()
}
