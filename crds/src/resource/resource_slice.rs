//! resource.k8s.io/v1 ResourceSlice: devices that a driver offers, a part of a pool.
//!
//! When a taint was added is set by admission, which knows the time.
//! Upstream: `pkg/registry/resource/resourceslice/strategy.go`.

mod capacity;
mod device;

use super::{declared, driver, few, is_short, named, pool, text};
use crate::{
    cursor::Cursor,
    fill::{items, present, remove},
    pod_spec::validate::node_selector,
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, Generation, KindDef, Selectable, Strategy};
use serde_json::Value;

const DEVICES: usize = 128;
/// Most devices of a slice of which one has taints, or takes from counters.
const ADVANCED_DEVICES: usize = 64;
const COUNTER_SETS: usize = 8;
const COUNTERS: usize = 32;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("ResourceSlice");
    let columns =
        [Column::name(), Column::text("Node"), Column::text("Driver"), Column::text("Pool"), Column::age()];
    KindDef::cluster(gvk, "resourceslices", schema)
        .selectable(&[
            Selectable::indexed("spec.nodeName"),
            Selectable::new("spec.driver"),
            Selectable::new("spec.pool.name"),
        ])
        .with_table(&columns, row)
        .with_strategy(Strategy {
            prepare_create: drop_disabled,
            prepare_update: |new, _| drop_disabled(new),
            validate_create: |object, errors| validate(object, None, errors),
            validate_update: |new, old, errors| validate(new, Some(old), errors),
            warnings,
            generation: Generation::Spec,
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn drop_disabled(object: &mut Value) {
    let Some(spec) = present(object, "spec") else { return };
    for field in ["partitionTypeAttribute", "skipNodeOperations"] {
        remove(spec, field);
    }
    items(spec, "devices").for_each(device::drop_disabled);
}

fn validate(object: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    driver(&spec.get("driver"), errors);
    let of = spec.get("pool");
    pool(&of.get("name"), errors);
    of.get("resourceSliceCount").positive(errors);
    let generation = of.get("generation");
    if generation.int() < 0 {
        generation.invalid(errors, "must be greater than or equal to zero");
    }
    if let Some(before) = old.map(Cursor::root) {
        let before = before.get("spec");
        spec.get("pool").get("name").immutable(&before.get("pool").get("name"), errors);
        for field in ["driver", "nodeName"] {
            spec.get(field).immutable(&before.get(field), errors);
        }
    }
    placement(&spec, errors);
    if !spec.get("sharedCounters").list().is_empty() && !spec.get("devices").list().is_empty() {
        errors.invalid(spec.path(), &"".into(), "only one of `sharedCounters` or `devices` is allowed");
    }
    devices(&spec, old.unwrap_or(&Value::Null), errors);
    for set in few(&spec.get("sharedCounters"), COUNTER_SETS) {
        is_short(&set.get("counters"), COUNTERS, errors);
    }
    declared::validate("ResourceSlice", &root, old, errors);
}

/// Where the devices are: exactly one way of saying it.
fn placement(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const EITHER: &str =
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
    let mut set = Vec::new();
    if let Some(name) = spec.present("nodeName") {
        if name.is_empty() {
            name.invalid(errors, "must be either unset or set to a non-empty string");
        } else {
            set.push("`nodeName`");
            name.named(errors, names::is_dns1123_subdomain);
        }
    }
    if let Some(selector) = spec.present("nodeSelector") {
        set.push("`nodeSelector`");
        node_selector(&selector, errors);
        let terms = selector.get("nodeSelectorTerms");
        if terms.list().len() != 1 {
            errors.invalid(terms.path(), terms.value(), "must have exactly one node selector term");
        }
    }
    for (field, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        let Some(flag) = spec.present(field) else { continue };
        if flag.is_true() {
            set.push(shown);
        } else {
            flag.invalid(errors, "must be either unset or set to true");
        }
    }
    match set.len() {
        0 => spec.required(errors, EITHER),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", ")).into();
            spec.with(&shown).invalid(errors, &format!("{EITHER}, but multiple fields are set"));
        }
    }
}

/// Devices; what has not changed in one is not looked at again.
fn devices(spec: &Cursor<'_, '_>, old: &Value, errors: &mut FieldErrors) {
    let list = spec.get("devices");
    let is_advanced = |one: &Value| ["taints", "consumesCounters"].iter().any(|field| one[field].is_array());
    let most = if list.list().iter().any(is_advanced) { ADVANCED_DEVICES } else { DEVICES };
    if !is_short(&list, most, errors) {
        return;
    }
    let before = old["spec"]["devices"].as_array().map_or(&[][..], Vec::as_slice);
    for one in list.items() {
        let old = before.iter().find(|old| old["name"] == one.value()["name"]);
        device::validate(&one, old, spec.get("perDeviceNodeSelection").is_true(), errors);
    }
    let mut seen = std::collections::BTreeSet::new();
    for one in list.items().filter(|one| !seen.insert(one.text_of("name"))) {
        one.with(&one.text_of("name").into()).duplicate(errors);
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let driver = text(&object["spec"], "driver");
    let is_upper = driver != driver.to_lowercase();
    let warning =
        format!("spec.driver: driver names should be lowercase; {driver:?} contains uppercase characters");
    is_upper.then_some(warning).into_iter().collect()
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        table::name(object),
        table::text_or(&spec["nodeName"], ""),
        table::text_or(&spec["driver"], ""),
        table::text_or(&spec["pool"]["name"], ""),
        table::age(object, now),
    ]
}
