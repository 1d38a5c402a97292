//! Spreads the pods of one controller over nodes, if they have no spreads of their own.
//!
//! Simpler than upstream's default spread constraints (pkg/scheduler/framework/plugins/podtopologyspread): it counts
//! pods with the same controller instead of all that the same services select, and knows no zones.

use crate::index::{Candidate, nodes::Node};

/// Number of pods of the same controller.
pub fn raw(pod: &Candidate, node: &Node) -> i64 {
    if !pod.view.spec.topology_spread_constraints.is_empty() {
        return 0;
    }
    pod.controller.and_then(|controller| node.siblings.get(&controller)).copied().map_or(0, i64::from)
}
