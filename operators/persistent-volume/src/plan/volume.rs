//! The decision about a volume: its phase, and that it is free again or to be cleared.
//!
//! Upstream: pkg/controller/volume/persistentvolume/pv_controller.go (syncVolume, unbindVolume, reclaimVolume).

use crate::observe::volume::Observed;
use proa_kit::{
    Action, Plan, Timestamp, Typed,
    clock::rfc3339,
    storage::{BOUND_BY_CONTROLLER, PROVISIONED_BY, is_marked},
    views::{PersistentVolumeClaimView, PersistentVolumeView},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The plan for one volume.
pub fn plan(volume: &PersistentVolumeView, observed: &Observed, now: Timestamp) -> Plan {
    let is_bound = volume.spec.claim_ref.as_ref().is_some_and(|own| !own.uid.is_empty());
    let actions = match &observed.claim {
        _ if !is_bound => phase(volume, "Available", now),
        None => release(volume, now),
        Some(claim) if claim.spec.volume_name == volume.metadata.name => phase(volume, "Bound", now),
        Some(claim) if claim.spec.volume_name.is_empty() => awaited(volume, claim),
        Some(_) if is_marked(&volume.metadata, PROVISIONED_BY) && policy(volume) == "Delete" => {
            release(volume, now)
        }
        Some(_) => unbind(volume, now),
    };
    Plan { actions, ..Plan::default() }
}

fn policy(volume: &PersistentVolumeView) -> &str {
    &volume.spec.persistent_volume_reclaim_policy
}

/// The claim will take it, which the claim's own plan does.
fn awaited(volume: &PersistentVolumeView, claim: &PersistentVolumeClaimView) -> Vec<Action> {
    if !volume.differs_in_mode(claim) {
        return Vec::new();
    }
    let (own, other) = (&volume.metadata.name, &claim.metadata.name);
    vec![
        Action::warning(
            &Arc::new(volume.reference()),
            "VolumeMismatch",
            format!(
                "Cannot bind PersistentVolume to requested PersistentVolumeClaim {other:?} due to incompatible volumeMode."
            ),
        ),
        Action::warning(
            &Arc::new(claim.reference()),
            "VolumeMismatch",
            format!(
                "Cannot bind PersistentVolume {own:?} to requested PersistentVolumeClaim due to incompatible volumeMode."
            ),
        ),
    ]
}

/// Its claim took another volume: it is free again, or still reserved if a user reserved it.
fn unbind(volume: &PersistentVolumeView, now: Timestamp) -> Vec<Action> {
    let patch = if is_marked(&volume.metadata, BOUND_BY_CONTROLLER) {
        json!({"spec": {"claimRef": null}, "metadata": {"annotations": {BOUND_BY_CONTROLLER: null}}})
    } else {
        json!({"spec": {"claimRef": {"uid": null}}})
    };
    let freed = Action::merge(volume.reference().at(volume.metadata.resource_version), patch);
    [freed].into_iter().chain(phase(volume, "Available", now)).collect()
}

/// Its claim is gone: it stays as it is, or is cleared by who made it. What nobody made, nobody here can clear.
fn release(volume: &PersistentVolumeView, now: Timestamp) -> Vec<Action> {
    let has_failed = &*volume.status.phase == "Failed";
    let name = &volume.metadata.name;
    let failure = match policy(volume) {
        "Delete" if !is_cleared_by_others(volume) => Some((
            "VolumeFailedDelete",
            format!(
                "error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched"
            ),
        )),
        "Recycle" => Some(("VolumeFailedRecycle", "No recycler plugin found for the volume!".to_owned())),
        _ => None,
    };
    match failure {
        _ if has_failed => Vec::new(),
        None => phase(volume, "Released", now),
        Some((reason, note)) => {
            let status = json!({"phase": "Failed", "message": note, "lastPhaseTransitionTime": rfc3339(now)});
            let failed = Action::merge_status(volume.reference(), status);
            let said = Action::warning(&Arc::new(volume.reference()), reason, note);
            phase(volume, "Released", now).into_iter().chain([failed, said]).collect()
        }
    }
}

fn is_cleared_by_others(volume: &PersistentVolumeView) -> bool {
    let maker = volume.metadata.annotations.get(PROVISIONED_BY).unwrap_or_default();
    volume.spec.csi.is_some() || !maker.is_empty() && !maker.starts_with("kubernetes.io/")
}

/// Moves it to a phase, and says since when it is there.
pub(super) fn phase(volume: &PersistentVolumeView, phase: &str, now: Timestamp) -> Vec<Action> {
    if &*volume.status.phase == phase {
        return Vec::new();
    }
    let status = json!({"phase": phase, "message": Value::Null, "lastPhaseTransitionTime": rfc3339(now)});
    vec![Action::merge_status(volume.reference(), status)]
}
