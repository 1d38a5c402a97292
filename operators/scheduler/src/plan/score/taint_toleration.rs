//! Avoids nodes that would rather not have the pod.
//!
//! Upstream: pkg/scheduler/framework/plugins/tainttoleration/taint_toleration.go (Score).

use crate::index::{Candidate, nodes::Node};

/// Number of `PreferNoSchedule` taints that the pod does not tolerate.
pub fn raw(pod: &Candidate, node: &Node) -> i64 {
    let taints = node.view.as_ref().map_or(&[][..], |view| &view.spec.taints);
    let tolerations = &pod.view.spec.tolerations;
    let disliked = taints.iter().filter(|taint| {
        &*taint.effect == "PreferNoSchedule"
            && !tolerations.iter().any(|toleration| toleration.tolerates(taint))
    });
    i64::try_from(disliked.count()).unwrap_or(i64::MAX)
}
