//! v1 PersistentVolumeClaim, with `/status`.
//!
//! Upstream: `pkg/registry/core/persistentvolumeclaim/strategy.go`, `pkg/api/persistentvolumeclaim/util.go`,
//! `ValidatePersistentVolumeClaim{,Update,StatusUpdate}`.

use super::{
    namespaced,
    persistent_volume::{CLASS, class, phase},
};
use crate::{
    cursor::{Cursor, IMMUTABLE},
    fill::{absent, annotation, is_empty, keep, remove, same, set, sub},
    pod_spec::{
        resources,
        update::differences,
        validate::{claim_spec, persistent_volume::short_modes, resource_quantity},
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
            default: |object| absent(sub(object, "spec"), "volumeMode", "Filesystem"),
            prepare_create: |object| {
                set(object, "status", json!({"phase": "Pending"}));
                data_sources(sub(object, "spec"));
            },
            prepare_update: |new, _| data_sources(sub(new, "spec")),
            validate,
            validate_update,
            validate_status,
            ..Strategy::default()
        })
}

/// The older field takes claims and snapshots only; both say the same, whichever was given.
fn data_sources(spec: &mut Value) {
    let (source, reference) = (spec["dataSource"].clone(), spec["dataSourceRef"].clone());
    if !source.is_null() && reference.is_null() {
        let group = source["apiGroup"].as_str().unwrap_or("");
        let is_known = match source["kind"].as_str() {
            Some("PersistentVolumeClaim") => group.is_empty(),
            Some("VolumeSnapshot") => group == "snapshot.storage.k8s.io",
            _ => false,
        };
        match is_known {
            true => set(spec, "dataSourceRef", source),
            false => remove(spec, "dataSource"),
        }
        return;
    }
    let is_elsewhere = reference["namespace"].as_str().is_some_and(|namespace| !namespace.is_empty());
    if source.is_null() && !reference.is_null() && !is_elsewhere {
        let mut source = reference;
        remove(&mut source, "namespace");
        set(spec, "dataSource", source);
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    claim_spec(&spec, errors);
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    for at in [source, reference].iter().filter(|at| at.is_set()) {
        data_source(at, errors);
    }
    if !source.is_set() || !reference.is_set() {
        return;
    }
    let namespace = reference.get("namespace");
    let shown = "spec.dataSource".into();
    let shown = spec.with(&shown);
    if !namespace.is_empty() {
        namespace.named(errors, names::is_dns1123_label);
        shown.invalid(errors, "may not be specified when dataSourceRef.namespace is specified");
    } else if ["apiGroup", "kind", "name"].iter().any(|f| source.text_of(f) != reference.text_of(f)) {
        shown.invalid(errors, "must match dataSourceRef");
    }
}

fn data_source(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (kind, group) = (at.get("kind"), at.get("apiGroup"));
    at.get("name").must_be_set(errors);
    kind.must_be_set(errors);
    if group.is_empty() && kind.text() != "PersistentVolumeClaim" {
        let text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        at.with(kind.value()).invalid(errors, text);
    }
    group.opt_named(errors, names::is_dns1123_subdomain);
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
    let root = Cursor::root(new);
    let spec = root.get("spec");
    let (mut now, mut before) = (new["spec"].clone(), old["spec"].clone());
    if before["volumeName"].as_str().is_none_or(str::is_empty) {
        keep(&mut before, &now, "volumeName");
    }
    if annotation(new, CLASS) != annotation(old, CLASS) {
        let metadata = root.get("metadata");
        metadata.key(CLASS).with(&annotation(new, CLASS).into()).invalid(errors, IMMUTABLE);
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
    for list in ["capacity", "allocatedResources"] {
        for (name, entry) in status.get(list).entries() {
            resource_quantity(&entry, name, errors);
        }
    }
    for (_, state) in status.get("allocatedResourceStatuses").entries() {
        state.enumeration(errors, &STATES);
    }
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
