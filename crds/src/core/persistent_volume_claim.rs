//! v1 PersistentVolumeClaim, with `/status`.
//!
//! Upstream: `pkg/registry/core/persistentvolumeclaim/strategy.go`, `pkg/api/persistentvolumeclaim/util.go`,
//! `ValidatePersistentVolumeClaim{,Update,StatusUpdate}`.

use super::{
    namespaced,
    persistent_volume::{CLASS, class, old_annotation, phase},
};
use crate::{
    cursor::{Cursor, IMMUTABLE},
    fill::{absent, annotation, is_empty, keep, present, remove, same, set, sub, zero},
    pod_spec::{
        resources,
        update::differences,
        validate::{
            claim_spec,
            persistent_volume::{self, short_modes},
            resource_quantity,
        },
        warnings::claim_sizes,
    },
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names, quantity::Quantity};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::{Value, json};

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Status"),
        Column::text("Volume"),
        Column::text("Capacity"),
        Column::text("Access Modes"),
        Column::text("StorageClass"),
        Column::text("VolumeAttributesClass"),
        Column::age(),
        Column::text("VolumeMode").wide(),
    ];
    namespaced("PersistentVolumeClaim", "persistentvolumeclaims")
        .short(&["pvc"])
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            prepare_create: |object| {
                set(object, "status", json!({"phase": "Pending"}));
                data_sources(sub(object, "spec"), &Value::Null);
            },
            prepare_update: |new, old| data_sources(sub(new, "spec"), &old["spec"]),
            // Of a feature that is off by default.
            prepare_status: |new, _| remove(sub(new, "status"), "healthStatus"),
            validate_create: |object, errors| validate(object, true, errors),
            validate_update,
            validate_status,
            warnings,
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    absent(spec, "volumeMode", "Filesystem");
    if let Some(resources) = present(spec, "resources") {
        for list in ["limits", "requests"] {
            if let Some(list) = present(resources, list) {
                resources::round_up(list);
            }
        }
    }
    let status = sub(object, "status");
    zero(status, "phase", "Pending");
    for list in ["capacity", "allocatedResources"] {
        if let Some(list) = present(status, list) {
            resources::round_up(list);
        }
    }
}

/// The older field takes claims and snapshots only; both say the same, whichever was given. A reference into another
/// namespace is of a feature that is off by default.
fn data_sources(spec: &mut Value, old: &Value) {
    let elsewhere = |reference: &Value| !is_empty(&reference["namespace"]);
    if elsewhere(&spec["dataSourceRef"]) && old["dataSourceRef"].is_null() {
        remove(spec, "dataSourceRef");
    }
    let (source, reference) = (spec["dataSource"].clone(), spec["dataSourceRef"].clone());
    let was_there = !old["dataSource"].is_null() || !old["dataSourceRef"].is_null();
    if !source.is_null() && reference.is_null() {
        let group = source["apiGroup"].as_str().unwrap_or("");
        let is_known = match source["kind"].as_str() {
            Some("PersistentVolumeClaim") => group.is_empty(),
            Some("VolumeSnapshot") => group == "snapshot.storage.k8s.io",
            _ => false,
        };
        match is_known || was_there {
            true => set(spec, "dataSourceRef", source),
            false => remove(spec, "dataSource"),
        }
        return;
    }
    if source.is_null() && !reference.is_null() && !elsewhere(&reference) {
        let mut source = reference;
        remove(&mut source, "namespace");
        set(spec, "dataSource", source);
    }
}

/// Upstream does not look at the groups of sources of a claim that had one.
fn validate(object: &Value, checks_groups: bool, errors: &mut FieldErrors) {
    claim_spec(&Cursor::root(object).get("spec"), checks_groups, errors);
}

fn warnings(object: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if object["metadata"]["annotations"].get(CLASS).is_some() {
        found.push(old_annotation(CLASS, "storageClassName"));
    }
    claim_sizes(&Cursor::root(object).get("spec"), &mut found);
    found
}

fn size(object: &Value, list: &str) -> Quantity {
    let list = match list {
        "requests" => &object["spec"]["resources"]["requests"],
        _ => &object["status"]["capacity"],
    };
    resources::amount(list, "storage").unwrap_or(Quantity::ZERO)
}

/// A claim is for one volume once and for all; a bound one may ask for more room, and for another class of attributes.
fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let had_group =
        ["dataSource", "dataSourceRef"].iter().any(|source| !old["spec"][source]["apiGroup"].is_null());
    validate(new, !had_group, errors);
    let root = Cursor::root(new);
    let spec = root.get("spec");
    let (mut now, mut before) = (new["spec"].clone(), old["spec"].clone());
    if before["volumeName"].as_str().is_none_or(str::is_empty) {
        keep(&mut before, &now, "volumeName");
    }
    if from_annotation(new, old) {
        keep(&mut now, &before, "storageClassName");
    } else if annotation(new, CLASS) != annotation(old, CLASS) {
        let metadata = root.get("metadata");
        let annotations = metadata.get("annotations");
        annotations.get(CLASS).with(&annotation(new, CLASS).into()).invalid(errors, IMMUTABLE);
    }
    if before["storageClassName"].is_null() && annotation(old, CLASS).is_empty() {
        // A claim that named no class may be given one.
        keep(&mut now, &before, "storageClassName");
    }
    if new["status"]["phase"] == "Bound" {
        if now["resources"]["requests"].is_object() {
            keep(sub(sub(&mut now, "resources"), "requests"), &before["resources"]["requests"], "storage");
        }
        keep(&mut now, &before, "volumeAttributesClassName");
    }
    if !same(&now, &before) {
        let difference = differences(&before, &now);
        let text = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
             claims\n{difference}"
        );
        spec.forbidden(errors, &text);
    }
    if size(new, "requests") < size(old, "requests") && size(new, "requests") <= size(old, "capacity") {
        let resources = spec.get("resources");
        let requests = resources.get("requests");
        requests.get("storage").forbidden(errors, "field can not be less than status.capacity");
    }
    let mode = spec.get("volumeMode");
    root.get("volumeMode")
        .with(mode.value())
        .immutable(&Cursor::root(&old["spec"]).get("volumeMode"), errors);
    let attributes = spec.get("volumeAttributesClassName");
    let is_applied = !old["status"]["currentVolumeAttributesClassName"].is_null();
    if is_applied && attributes.is_empty() && !is_empty(&old["spec"]["volumeAttributesClassName"]) {
        let what = if attributes.is_set() { "empty string" } else { "nil" };
        let text =
            format!("update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil");
        attributes.forbidden(errors, &text);
    }
}

/// Whether the class moves from the annotation to the field.
fn from_annotation(new: &Value, old: &Value) -> bool {
    let class = annotation(old, CLASS);
    let is_kept = ["", class].contains(&annotation(new, CLASS));
    old["metadata"]["annotations"].get(CLASS).is_some()
        && old["spec"]["storageClassName"].is_null()
        && new["spec"]["storageClassName"] == class
        && is_kept
}

fn validate_status(new: &Value, _: &Value, errors: &mut FieldErrors) {
    const STATES: [&str; 5] = [
        "ControllerResizeInProgress",
        "ControllerResizeInfeasible",
        "NodeResizeInProgress",
        "NodeResizeInfeasible",
        "NodeResizePending",
    ];
    let root = Cursor::root(new);
    let status = root.get("status");
    for (_, entry) in status.get("capacity").entries() {
        persistent_volume::not_negative(&entry, errors);
    }
    let states = status.get("allocatedResourceStatuses");
    for (name, state) in states.entries() {
        key(&states, name, errors);
        if !STATES.contains(&state.text()) {
            states.with(&name.into()).unsupported(errors, &STATES);
        }
    }
    let allocated = status.get("allocatedResources");
    for (name, entry) in allocated.entries() {
        let known = errors.len();
        if !key(&allocated, name, errors) {
            continue;
        }
        persistent_volume::not_negative(&entry, errors);
        if errors.len() == known {
            resource_quantity(&entry, "storage", errors);
        }
    }
}

/// Of unqualified names there is only one.
fn key(list: &Cursor<'_, '_>, name: &str, errors: &mut FieldErrors) -> bool {
    let value = name.into();
    let shown = list.with(&value);
    if !shown.named(errors, names::is_qualified_name) {
        return false;
    }
    let is_native = !name.contains('/') || name.contains("kubernetes.io/");
    if is_native && name != "storage" {
        shown.unsupported(errors, &["storage"]);
        return false;
    }
    true
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let is_bound = spec["volumeName"].as_str().is_some_and(|name| !name.is_empty());
    let (capacity, modes) = match is_bound {
        true => (table::text_or(&status["capacity"]["storage"], "0"), short_modes(&status["accessModes"])),
        false => ("".into(), String::new()),
    };
    vec![
        table::name(object),
        phase(object),
        table::text_or(&spec["volumeName"], ""),
        capacity,
        modes.into(),
        class(object).into(),
        table::text_or(&spec["volumeAttributesClassName"], "<unset>"),
        table::age(object, now),
        table::text_or(&spec["volumeMode"], "<unset>"),
    ]
}
