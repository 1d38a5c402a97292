//! The decision about a claim: the volume that it gets, or what it waits for, or that it is lost.
//!
//! Upstream: pkg/controller/volume/persistentvolume/pv_controller.go (syncUnboundClaim, syncBoundClaim, bind).

use super::volume;
use crate::observe::claim::Observed;
use proa_kit::{
    Action, Plan, Timestamp, Typed,
    storage::{
        BETA_PROVISIONER, BIND_COMPLETED, BOUND_BY_CONTROLLER, PROVISIONER, best_match, give, is_marked,
        misfit,
    },
    views::{PersistentVolumeClaimView, PersistentVolumeView, StorageClassView},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// The plan for one claim.
pub fn plan(claim: &PersistentVolumeClaimView, observed: &Observed, now: Timestamp) -> Plan {
    let actions = match is_marked(&claim.metadata, BIND_COMPLETED) {
        true => bound(claim, observed.volume.as_deref(), now),
        false if claim.spec.volume_name.is_empty() => unbound(claim, observed, now),
        false => named(claim, observed.volume.as_deref(), now),
    };
    Plan { actions, ..Plan::default() }
}

/// It once had a volume: it still has that, or it is lost.
fn bound(
    claim: &PersistentVolumeClaimView,
    volume: Option<&PersistentVolumeView>,
    now: Timestamp,
) -> Vec<Action> {
    let Some(volume) = volume else {
        let lost = if claim.spec.volume_name.is_empty() {
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        } else {
            "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
        };
        return lose(claim, "ClaimLost", lost);
    };
    match &volume.spec.claim_ref {
        Some(own) if own.uid != claim.metadata.uid => lose(
            claim,
            "ClaimMisbound",
            "Two claims are bound to the same volume, this one is bound incorrectly",
        ),
        Some(_) | None => bind(volume, claim, now),
    }
}

fn lose(claim: &PersistentVolumeClaimView, reason: &str, note: &str) -> Vec<Action> {
    if &*claim.status.phase == "Lost" {
        return Vec::new();
    }
    let mut actions = phase(claim, "Lost", None);
    actions.push(warning(claim, reason, note));
    actions
}

/// It asks for one volume by name.
fn named(
    claim: &PersistentVolumeClaimView,
    volume: Option<&PersistentVolumeView>,
    now: Timestamp,
) -> Vec<Action> {
    let Some(volume) = volume else { return phase(claim, "Pending", None) };
    if volume.is_for(claim) {
        return bind(volume, claim, now);
    }
    let name = &volume.metadata.name;
    let said = if volume.spec.claim_ref.is_some() {
        warning(claim, "FailedBinding", &format!("volume {name:?} already bound to a different claim."))
    } else if let Some(why) = misfit(volume, claim) {
        warning(claim, "VolumeMismatch", &format!("Cannot bind to requested volume {name:?}: {why}"))
    } else {
        return bind(volume, claim, now);
    };
    [said].into_iter().chain(phase(claim, "Pending", None)).collect()
}

fn unbound(claim: &PersistentVolumeClaimView, observed: &Observed, now: Timestamp) -> Vec<Action> {
    let class = observed.class.as_deref();
    let waits = class.is_some_and(StorageClassView::waits);
    if let Some(volume) = best_match(claim, observed.candidates.iter(), None, waits) {
        return bind(volume, claim, now);
    }
    if claim.named_class().is_none()
        && let Some(default) = &observed.default_class
    {
        let target = claim.reference().at(claim.metadata.resource_version);
        return vec![Action::merge(target, json!({"spec": {"storageClassName": default}}))];
    }
    let said = match (waits && claim.selected_node().is_none(), claim.class()) {
        (true, _) => waiting(claim, observed),
        (false, "") => normal(
            claim,
            "FailedBinding",
            "no persistent volumes available for this claim and no storage class is set",
        ),
        (false, name) => return provision(claim, name, class),
    };
    [said].into_iter().chain(phase(claim, "Pending", None)).collect()
}

fn waiting(claim: &PersistentVolumeClaimView, observed: &Observed) -> Action {
    let (reason, note) = match &*observed.waiting {
        [] => ("WaitForFirstConsumer", "waiting for first consumer to be created before binding".to_owned()),
        [pod] => ("WaitForPodScheduled", format!("waiting for pod {pod} to be scheduled")),
        pods => ("WaitForPodScheduled", format!("waiting for pods {} to be scheduled", pods.join(","))),
    };
    normal(claim, reason, &note)
}

/// Somebody else shall make the volume.
fn provision(claim: &PersistentVolumeClaimView, name: &str, class: Option<&StorageClassView>) -> Vec<Action> {
    let Some(class) = class else {
        let note = format!("storageclass.storage.k8s.io {name:?} not found");
        return vec![warning(claim, "ProvisioningFailed", &note)];
    };
    let provisioner = &*class.provisioner;
    if provisioner.starts_with("kubernetes.io/") {
        let note = format!("no volume plugin matched name: {provisioner}");
        return vec![warning(claim, "ProvisioningFailed", &note)];
    }
    let mut actions = Vec::new();
    if claim.metadata.annotations.get(PROVISIONER) != Some(provisioner) {
        let annotations = json!({PROVISIONER: provisioner, BETA_PROVISIONER: provisioner});
        let target = claim.reference().at(claim.metadata.resource_version);
        actions.push(Action::merge(target, json!({"metadata": {"annotations": annotations}})));
    }
    let note = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the system \
         administrator. If volume creation is delayed, please verify that the provisioner is running and correctly \
         registered."
    );
    actions.push(normal(claim, "ExternalProvisioning", &note));
    actions
}

/// What is missing of a binding, the volume's side first.
fn bind(volume: &PersistentVolumeView, claim: &PersistentVolumeClaimView, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    let uid = volume.spec.claim_ref.as_ref().map(|own| &own.uid);
    if uid != Some(&claim.metadata.uid) {
        actions.push(give(volume, claim));
    }
    actions.extend(volume::phase(volume, "Bound", now));
    let mut patch = Map::new();
    let mut annotations = Map::new();
    if claim.spec.volume_name != volume.metadata.name {
        patch.insert("spec".to_owned(), json!({"volumeName": volume.metadata.name}));
        if !is_marked(&claim.metadata, BOUND_BY_CONTROLLER) {
            annotations.insert(BOUND_BY_CONTROLLER.to_owned(), json!("yes"));
        }
    }
    if !is_marked(&claim.metadata, BIND_COMPLETED) {
        annotations.insert(BIND_COMPLETED.to_owned(), json!("yes"));
    }
    if !annotations.is_empty() {
        patch.insert("metadata".to_owned(), json!({"annotations": annotations}));
    }
    if !patch.is_empty() {
        let target = claim.reference().at(claim.metadata.resource_version);
        actions.push(Action::merge(target, Value::Object(patch)));
    }
    actions.extend(phase(claim, "Bound", Some(volume)));
    actions
}

/// The claim's status, if it is not so already.
fn phase(
    claim: &PersistentVolumeClaimView,
    phase: &str,
    volume: Option<&PersistentVolumeView>,
) -> Vec<Action> {
    let own = &claim.status;
    let mut status = Map::new();
    let mut set = |field: &str, value: Value| drop(status.insert(field.to_owned(), value));
    let moves = &*own.phase != phase;
    if moves {
        set("phase", json!(phase));
    }
    match volume {
        Some(volume) => {
            if own.access_modes != volume.spec.access_modes {
                set("accessModes", json!(volume.spec.access_modes));
            }
            if moves && own.capacity != volume.spec.capacity {
                set("capacity", json!(volume.spec.capacity));
            }
            let class = &volume.spec.volume_attributes_class_name;
            if moves && own.current_volume_attributes_class_name != *class {
                set("currentVolumeAttributesClassName", json!(class));
            }
        }
        None => {
            for (field, is_set) in [
                ("accessModes", !own.access_modes.is_empty()),
                ("capacity", !own.capacity.is_empty()),
                ("currentVolumeAttributesClassName", own.current_volume_attributes_class_name.is_some()),
            ] {
                if is_set {
                    set(field, Value::Null);
                }
            }
        }
    }
    if status.is_empty() {
        return Vec::new();
    }
    vec![Action::merge_status(claim.reference(), Value::Object(status))]
}

fn normal(claim: &PersistentVolumeClaimView, reason: &str, note: &str) -> Action {
    Action::normal(&Arc::new(claim.reference()), reason, note)
}

fn warning(claim: &PersistentVolumeClaimView, reason: &str, note: &str) -> Action {
    Action::warning(&Arc::new(claim.reference()), reason, note)
}
