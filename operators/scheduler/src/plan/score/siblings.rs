//! Spreads the pods of one controller over nodes.
//!
//! Simpler than upstream's default spread constraints (pkg/scheduler/framework/plugins/podtopologyspread): it counts
//! pods with the same controller instead of all that the same services select, and knows no zones.

use crate::index::{Candidate, nodes::Node};

/// Number of pods of the same controller.
pub fn raw(pod: &Candidate, node: &Node) -> i64 {
    pod.controller.and_then(|controller| node.siblings.get(&controller)).copied().map_or(0, i64::from)
}
