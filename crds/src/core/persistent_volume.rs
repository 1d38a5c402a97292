//! v1 PersistentVolume, with `/status`.
//!
//! Deliberately absent: the time of a change of phase after the first one, and the change of a node affinity from beta
//! labels to stable ones, which upstream allows.
//! Upstream: `pkg/registry/core/persistentvolume/strategy.go`, `ValidatePersistentVolume{,Update}`.

use super::cluster;
use crate::{
    cursor::Cursor,
    fill::{absent, annotation, present, remove, same, set, sub, zero},
    pod_spec::{
        update::differences,
        validate::persistent_volume::{self as rules, Use, short_modes},
    },
    table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::{Value, json};

/// The annotation that named the class before there was a field.
pub(super) const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Capacity"),
        Column::text("Access Modes"),
        Column::text("Reclaim Policy"),
        Column::text("Status"),
        Column::text("Claim"),
        Column::text("StorageClass"),
        Column::text("VolumeAttributesClass"),
        Column::text("Reason"),
        Column::age(),
        Column::text("VolumeMode").wide(),
    ];
    cluster("PersistentVolume", "persistentvolumes")
        .short(&["pv"])
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default: |object| {
                let spec = sub(object, "spec");
                zero(spec, "persistentVolumeReclaimPolicy", "Retain");
                absent(spec, "volumeMode", "Filesystem");
                if let Some(path) = present(spec, "hostPath") {
                    absent(path, "type", "");
                }
            },
            prepare_create: |object| {
                let since = object["metadata"]["creationTimestamp"].clone();
                set(object, "status", json!({"phase": "Pending", "lastPhaseTransitionTime": since}));
            },
            validate: |object, errors| {
                rules::spec(&Cursor::root(object).get("spec"), Use::Object, errors);
            },
            validate_update,
            ..Strategy::default()
        })
}

fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (root, before) = (Cursor::root(new), Cursor::root(old));
    let (spec, old_spec) = (root.get("spec"), before.get("spec"));
    let source = |spec: &Value| -> Value {
        rules::sources().filter_map(|field| Some((field.to_owned(), spec.get(field)?.clone()))).collect()
    };
    let (mut now, before) = (source(spec.value()), source(old_spec.value()));
    if before["csi"].get("controllerExpandSecretRef").is_none()
        && let Some(csi) = now.get_mut("csi")
    {
        remove(csi, "controllerExpandSecretRef");
    }
    if !same(&now, &before) {
        let difference = differences(&before, &now);
        let text = format!("spec.persistentvolumesource is immutable after creation\n{difference}");
        spec.get("persistentvolumesource").forbidden(errors, &text);
    }
    let mode = spec.get("volumeMode");
    root.get("volumeMode").with(mode.value()).immutable(&old_spec.get("volumeMode"), errors);
    let affinity = old_spec.get("nodeAffinity");
    let present_affinity = spec.get("nodeAffinity");
    if affinity.is_set() && !same(present_affinity.value(), affinity.value()) {
        // The path is upstream's.
        let place = root.get("nodeAffinity").with(present_affinity.value());
        place.invalid(errors, "field is immutable, except for updating from beta label to GA");
    }
    let class = spec.get("volumeAttributesClassName");
    if old_spec.get("volumeAttributesClassName").is_set() && !class.is_set() {
        class.forbidden(errors, "update from non-nil value to nil is forbidden");
    }
}

/// The class of a volume or claim.
pub(super) fn class(object: &Value) -> &str {
    match object["metadata"]["annotations"].get(CLASS) {
        Some(_) => annotation(object, CLASS),
        None => object["spec"]["storageClassName"].as_str().unwrap_or(""),
    }
}

/// The phase; one that is being deleted is `Terminating`.
pub(super) fn phase(object: &Value) -> Value {
    let is_going = !object["metadata"]["deletionTimestamp"].is_null();
    if is_going { "Terminating".into() } else { table::text_or(&object["status"]["phase"], "") }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let claim = &spec["claimRef"];
    let claim = if claim.is_null() {
        String::new()
    } else {
        format!("{}/{}", text(&claim["namespace"]), text(&claim["name"]))
    };
    vec![
        table::name(object),
        table::text_or(&spec["capacity"]["storage"], "0"),
        short_modes(&spec["accessModes"]).into(),
        table::text_or(&spec["persistentVolumeReclaimPolicy"], ""),
        phase(object),
        claim.into(),
        class(object).into(),
        table::text_or(&spec["volumeAttributesClassName"], "<unset>"),
        table::text_or(&object["status"]["reason"], ""),
        table::age(object, now),
        table::text_or(&spec["volumeMode"], "<unset>"),
    ]
}
