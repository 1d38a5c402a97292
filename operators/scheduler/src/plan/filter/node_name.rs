//! Pods that name their node.
//!
//! Upstream: pkg/scheduler/framework/plugins/nodename/node_name.go.

use proa_kit::views::{NodeView, pod_spec::PodSpec};

pub(super) const REASON: &str = "node(s) didn't match the requested node name";

/// Whether the pod names this node or none.
pub fn fits(spec: &PodSpec, node: &NodeView) -> bool {
    spec.node_name.is_empty() || spec.node_name == node.metadata.name
}
