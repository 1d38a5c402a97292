//! storage.k8s.io/v1 CSINode.
//!
//! Its status is of a feature that is off by default: it is dropped, and `/status` is not served.
//! Upstream: `pkg/registry/storage/csinode/strategy.go`, `pkg/apis/storage/validation/validation.go`.

use super::{driver_name, named};
use crate::{
    cursor::Cursor,
    fill::{remove, same},
    table,
};
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;
use std::collections::BTreeSet;

const NODE_ID: usize = 256;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("CSINode");
    KindDef::cluster(gvk, "csinodes", schema)
        .with_table(&[Column::name(), Column::of("Drivers", "integer"), Column::age()], |object, now| {
            let drivers = object["spec"]["drivers"].as_array().map_or(0, Vec::len);
            vec![table::name(object), drivers.into(), table::age(object, now)]
        })
        .with_strategy(Strategy {
            prepare_create: |object| remove(object, "status"),
            prepare_update: |new, _| remove(new, "status"),
            validate,
            validate_update,
            unconditional_update: false,
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let mut seen = BTreeSet::new();
    for driver in spec.get("drivers").items() {
        let (name, id) = (driver.get("name"), driver.get("nodeID"));
        driver_name(&name, errors);
        id.must_be_set(errors);
        if id.text().len() > NODE_ID {
            id.invalid(errors, &format!("must be {NODE_ID} characters or less"));
        }
        driver.get("allocatable").get("count").non_negative(errors);
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        topology(&driver, errors);
    }
}

fn topology(driver: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for key in driver.get("topologyKeys").items() {
        let shown = driver.with(key.value());
        if key.is_empty() {
            shown.required(errors, "");
        }
        if !seen.insert(key.text()) {
            shown.duplicate(errors);
        }
        shown.named(errors, names::is_qualified_name);
    }
}

/// What a node says of a driver stays as long as it names the driver, but for how much it takes.
fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    let spec = new.get("spec");
    let drivers = spec.get("drivers");
    for before in old.get("spec").get("drivers").list() {
        for now in drivers.list().iter().filter(|now| now["name"] == before["name"]) {
            let fixed = |driver: &Value| {
                let mut driver = driver.clone();
                remove(&mut driver, "allocatable");
                driver
            };
            if !same(&fixed(now), &fixed(before)) {
                drivers.with(now).invalid(errors, crate::cursor::IMMUTABLE);
            }
        }
    }
}
