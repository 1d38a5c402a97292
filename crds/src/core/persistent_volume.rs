//! v1 PersistentVolume, with `/status`.
//!
//! Deliberately absent: the time of a change of phase after the first one.
//! Upstream: `pkg/registry/core/persistentvolume/strategy.go`, `ValidatePersistentVolume{,Update}`.

use super::cluster;
use crate::{
    cursor::Cursor,
    fill::{absent, annotation, items, present, remove, same, set, sub, zero},
    pod_spec::{
        resources,
        update::differences,
        validate::persistent_volume::{self as rules, Use, short_modes},
        warnings as pod_warnings,
    },
    table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::{Value, json};

/// The annotation that named the class before there was a field.
pub(super) const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// The same for mount options.
const OPTIONS: &str = "volume.beta.kubernetes.io/mount-options";
/// Sources whose mount options an annotation may give.
const MOUNTED: [&str; 13] = [
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "glusterfs",
    "nfs",
    "rbd",
    "quobyte",
    "iscsi",
    "cinder",
    "cephfs",
    "azureFile",
    "vsphereVolume",
    "azureDisk",
    "photonPersistentDisk",
];
/// Sources that upstream no longer serves, how it names them, and since when.
const GONE: [(&str, &str, &str); 6] = [
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
];

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
                if let Some(capacity) = present(spec, "capacity") {
                    resources::round_up(capacity);
                }
                zero(sub(object, "status"), "phase", "Pending");
            },
            prepare_create: |object| {
                let since = object["metadata"]["creationTimestamp"].clone();
                set(object, "status", json!({"phase": "Pending", "lastPhaseTransitionTime": since}));
            },
            prepare_status: |new, old| {
                if new["status"]["phase"] == old["status"]["phase"] {
                    let since = &old["status"]["lastPhaseTransitionTime"];
                    let status = sub(new, "status");
                    if status["lastPhaseTransitionTime"].is_null() && !since.is_null() {
                        set(status, "lastPhaseTransitionTime", since.clone());
                    }
                }
            },
            validate,
            validate_update,
            warnings,
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    rules::spec(&spec, Use::Object, errors);
    let iscsi = spec.get("iscsi");
    let names = root.get("metadata").text_of("name").len() + iscsi.text_of("targetPortal").len() + 1;
    if iscsi.get("initiatorName").is_set() && names > 64 {
        let text = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if \
                    iscsi.initiatorName is specified.";
        // The path is upstream's.
        iscsi.get("targetportal").with(iscsi.get("targetPortal").value()).invalid(errors, text);
    }
    let annotations = &object["metadata"]["annotations"];
    if annotations.get(OPTIONS).is_some() && !MOUNTED.iter().any(|source| spec.get(source).is_set()) {
        let metadata = root.get("metadata");
        let text = "may not specify mount options for this volume type";
        metadata.get("annotations").get(OPTIONS).forbidden(errors, text);
    }
}

fn warnings(object: &Value) -> Vec<String> {
    const RECYCLE: &str = "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the \
                           recommended approach is to use dynamic provisioning.";
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let annotations = &object["metadata"]["annotations"];
    let old = [(CLASS, "storageClassName"), (OPTIONS, "mountOptions")];
    let mut found: Vec<String> = old
        .iter()
        .filter(|(annotation, _)| annotations.get(annotation).is_some())
        .map(|(annotation, field)| old_annotation(annotation, field))
        .collect();
    if spec.text_of("persistentVolumeReclaimPolicy") == "Recycle" {
        found.push(RECYCLE.to_owned());
    }
    let affinity = spec.get("nodeAffinity");
    let required = affinity.get("required");
    for term in required.get("nodeSelectorTerms").items() {
        pod_warnings::node_term(&term, false, &mut found);
    }
    let gone = GONE.iter().filter(|(source, ..)| spec.get(source).is_set());
    found.extend(gone.map(|(_, shown, text)| format!("spec.{shown}: {text}")));
    found
}

/// What is said of an annotation that a field has replaced.
pub(super) fn old_annotation(annotation: &str, field: &str) -> String {
    let since = if field == "mountOptions" { "v1.31" } else { "v1.8" };
    format!("metadata.annotations[{annotation}]: deprecated since {since}; use \"{field}\" attribute instead")
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
    if affinity.is_set() && !same_affinity(present_affinity.value(), affinity.value()) {
        let text = "field is immutable, except for updating from beta label to GA";
        // The path is upstream's.
        errors.invalid(root.get("nodeAffinity").path(), present_affinity.value(), text);
    }
    let class = spec.get("volumeAttributesClassName");
    if old_spec.get("volumeAttributesClassName").is_set() && !class.is_set() {
        class.forbidden(errors, "update from non-nil value to nil is forbidden");
    }
}

/// The same, or what the label was renamed to; upstream takes an empty key for a new name of any other.
fn same_affinity(new: &Value, old: &Value) -> bool {
    let mut renamed = old.clone();
    let terms = renamed["required"]["nodeSelectorTerms"].as_array_mut().into_iter().flatten();
    for (index, term) in terms.enumerate() {
        for list in ["matchExpressions", "matchFields"] {
            let now = &new["required"]["nodeSelectorTerms"][index][list];
            for (at, requirement) in items(term, list).enumerate() {
                let key = now[at]["key"].as_str().unwrap_or("");
                let instead = pod_warnings::new_label(requirement["key"].as_str().unwrap_or(""));
                if key == instead.unwrap_or("") {
                    set(requirement, "key", key);
                }
            }
        }
    }
    same(new, &renamed)
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
