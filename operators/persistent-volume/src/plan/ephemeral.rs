//! Ephemeral volumes: the claims that are made for one pod, and go with it.
//!
//! Upstream: pkg/controller/volume/ephemeral/controller.go, component-helpers `storage/ephemeral`.

use proa_kit::{
    Action, Announce, Plan, Typed,
    owner::controller_reference,
    storage::ephemeral_name,
    views::{PersistentVolumeClaimView, PodView, pod_spec::Volume},
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) fn volumes(pod: &PodView) -> impl Iterator<Item = &Volume> {
    pod.spec.volumes.iter().filter(|volume| volume.ephemeral.is_some())
}

pub(crate) fn name(pod: &PodView, volume: &Volume) -> String {
    ephemeral_name(&pod.metadata.name, &volume.name)
}

/// The plan for one pod: a claim for each volume that has none.
pub fn plan(pod: &PodView, claims: &[Arc<PersistentVolumeClaimView>]) -> Plan {
    let mut plan = Plan::default();
    if pod.metadata.is_deleting() {
        return plan;
    }
    let about = Arc::new(pod.reference());
    for volume in volumes(pod) {
        let name = name(pod, volume);
        match claims.iter().find(|claim| *claim.metadata.name == *name) {
            Some(claim) if claim.metadata.is_controlled_by(&pod.metadata.uid) => {}
            Some(_) => {
                let (namespace, own) = (&pod.metadata.namespace, &pod.metadata.name);
                let note = format!(
                    "ephemeral volume {}: PVC {namespace}/{name} was not created for pod {namespace}/{own} (pod is not owner)",
                    volume.name
                );
                plan.push(Action::warning(&about, "FailedBinding", note));
            }
            None => {
                let note = format!("ephemeral volume {}: create PVC {name}: {{error}}", volume.name);
                let create = Action::create(
                    PersistentVolumeClaimView::KIND,
                    &pod.metadata.namespace,
                    claim(pod, volume, &name),
                );
                plan.push(create.announced(Announce::about(&about).failure("FailedBinding", &note)));
            }
        }
    }
    plan
}

fn claim(pod: &PodView, volume: &Volume, name: &str) -> Value {
    let template = volume.ephemeral.as_ref().and_then(|own| own.volume_claim_template.as_ref());
    let part = |field: &str| template.and_then(|own| own.value().pointer(field)).cloned();
    let mut claim = json!({
        "metadata": {"name": name, "ownerReferences": [controller_reference(&pod.reference())]},
        "spec": part("/spec").unwrap_or_default(),
    });
    for field in ["labels", "annotations"] {
        if let Some(value) = part(&format!("/metadata/{field}")).filter(|value| !value.is_null()) {
            claim["metadata"][field] = value;
        }
    }
    claim
}
