//! Volumes that say by their labels in which zone or region they are.
//!
//! Upstream: pkg/scheduler/framework/plugins/volumezone/volume_zone.go.

use crate::index::storage::PodClaims;
use proa_kit::views::{NodeView, PersistentVolumeView};

pub(super) const REASON: &str = "node(s) had no available volume zone";

/// Labels, with what nodes may call them instead.
const LABELS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"),
    ("topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"),
];
/// Between several zones of one volume.
const SEPARATOR: &str = "__";

/// Whether the node is where all bound volumes are. A node without any such label is anywhere.
pub fn fits(claims: &PodClaims, node: &NodeView) -> bool {
    if claims.bound.is_empty() {
        return true;
    }
    let labels = &node.metadata.labels;
    let has_zones = LABELS.iter().any(|(label, _)| labels.get(label).is_some());
    !has_zones || claims.bound.iter().flatten().all(|volume| is_near(volume, node))
}

fn is_near(volume: &PersistentVolumeView, node: &NodeView) -> bool {
    let labels = &node.metadata.labels;
    LABELS.iter().all(|(label, other)| {
        let Some(zones) = volume.metadata.labels.get(label) else { return true };
        let own = labels.get(label).or_else(|| labels.get(other));
        own.is_some_and(|own| zones.split(SEPARATOR).any(|zone| zone == own))
    })
}
