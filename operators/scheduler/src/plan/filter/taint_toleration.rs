//! Taints that keep pods away.
//!
//! Upstream: pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go.

use proa_kit::{
    placement::untolerated_taint,
    views::{NodeView, pod_spec::PodSpec},
};

pub(super) const REASON: &str = "node(s) had untolerated taint(s)";

/// Whether the pod tolerates every taint that keeps pods away.
pub fn fits(spec: &PodSpec, node: &NodeView) -> bool {
    node.spec.taints.is_empty()
        || untolerated_taint(&node.spec.taints, &spec.tolerations, &["NoSchedule", "NoExecute"]).is_none()
}
