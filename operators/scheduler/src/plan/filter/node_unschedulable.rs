//! Nodes that are closed for new pods (cordoned).
//!
//! Upstream: pkg/scheduler/framework/plugins/nodeunschedulable/node_unschedulable.go.

use proa_kit::views::{NodeView, node::Taint, pod_spec::PodSpec};

pub(super) const REASON: &str = "node(s) were unschedulable";

/// Whether the node is open, or the pod tolerates that it is not.
pub fn fits(spec: &PodSpec, node: &NodeView) -> bool {
    if !node.spec.unschedulable {
        return true;
    }
    let closed = Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    };
    spec.tolerations.iter().any(|toleration| toleration.tolerates(&closed))
}
