//! Volumes of claims: those that are bound must be reached from the node, the others must get one there.
//!
//! Upstream: pkg/scheduler/framework/plugins/volumebinding/{volume_binding,binder}.go.

use super::Rejection;
use crate::index::storage::{PodClaims, Unbound};
use proa_kit::{
    Action, Typed,
    storage::{NO_PROVISIONER, SELECTED_NODE, best_match, give},
    views::{NodeView, PersistentVolumeClaimView, PersistentVolumeView},
};
use serde_json::json;
use std::sync::Arc;

pub(super) const OUT_OF_REACH: &str = "node(s) didn't match PersistentVolume's node affinity";
pub(super) const NONE_TO_BIND: &str = "node(s) didn't find available persistent volumes to bind";
pub(super) const GONE: &str = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)";

/// What a claim gets on a node.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The claim.
    pub claim: Arc<PersistentVolumeClaimView>,
    /// A volume that is there; none when one shall be made.
    pub volume: Option<Arc<PersistentVolumeView>>,
}

/// Whether the pod's volumes are or can be had on the node.
pub fn fits(claims: &PodClaims, node: &NodeView) -> Result<(), Rejection> {
    for volume in &claims.bound {
        match volume {
            None => return Err(Rejection::VolumeGone),
            Some(volume) if !volume.is_reached_from(node) => return Err(Rejection::VolumeOutOfReach),
            Some(_) => {}
        }
    }
    if claims.unbound.is_empty() { Ok(()) } else { choices(claims, node).map(drop) }
}

/// What each claim without a volume gets on a node.
pub fn choices(claims: &PodClaims, node: &NodeView) -> Result<Vec<Choice>, Rejection> {
    let mut choices: Vec<Choice> = Vec::new();
    for own in &claims.unbound {
        let is_free = |volume: &&Arc<PersistentVolumeView>| {
            !choices.iter().any(|other| other.volume.as_ref().is_some_and(|taken| Arc::ptr_eq(taken, volume)))
        };
        if own.node.as_ref().is_some_and(|chosen| *chosen != node.metadata.name) {
            return Err(Rejection::VolumeToBind);
        }
        let volume = best_match(&own.claim, own.volumes.iter().filter(is_free), Some(node), true).cloned();
        if volume.is_none() && !can_be_made(own, node) {
            return Err(Rejection::VolumeToBind);
        }
        choices.push(Choice { claim: own.claim.clone(), volume });
    }
    Ok(choices)
}

fn can_be_made(own: &Unbound, node: &NodeView) -> bool {
    let provisioner = &*own.class.provisioner;
    !provisioner.is_empty() && provisioner != NO_PROVISIONER && own.class.allows(node)
}

/// The writes that have others bind what was chosen.
pub fn writes(choices: &[Choice], node: &str) -> Vec<Action> {
    choices.iter().filter_map(|choice| write(choice, node)).collect()
}

fn write(Choice { claim, volume }: &Choice, node: &str) -> Option<Action> {
    let Some(volume) = volume else {
        let target = claim.reference().at(claim.metadata.resource_version);
        let patch = json!({"metadata": {"annotations": {SELECTED_NODE: node}}});
        return (claim.selected_node() != Some(node)).then(|| Action::merge(target, patch));
    };
    Some(give(volume, claim))
}
