//! resource.k8s.io/v1 DeviceTaintRule: a taint of all devices that a selector names, with `/status`.
//!
//! When a taint was added is set by admission, which knows the time.
//! Upstream: `pkg/registry/resource/devicetaintrule/strategy.go`.

use super::{declared, driver, is_short, named, pool, taint};
use crate::{conditions, cursor::Cursor, fill::keep_metadata, table};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

const CONDITIONS: usize = 8;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("DeviceTaintRule");
    let columns = [
        Column::name(),
        Column::text("Key"),
        Column::text("Value"),
        Column::text("Effect"),
        Column::text("TimeAdded"),
        Column::age(),
    ];
    KindDef::cluster(gvk, "devicetaintrules", schema).with_status().with_table(&columns, row).with_strategy(
        Strategy {
            prepare_status: keep_metadata,
            validate,
            validate_create: |object, errors| {
                declared::validate("DeviceTaintRule", &Cursor::root(object), None, errors);
            },
            validate_update: |new, old, errors| {
                declared::validate("DeviceTaintRule", &Cursor::root(new), Some(old), errors);
            },
            validate_status: |new, _, errors| {
                let root = Cursor::root(new);
                let status = root.get("status");
                let list = status.get("conditions");
                conditions::validate(&list, errors);
                is_short(&list, CONDITIONS, errors);
            },
            generation: Generation::Spec,
            unconditional_update: false,
            ..Strategy::default()
        },
    )
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let selector = spec.get("deviceSelector");
    if let Some(name) = selector.present("driver") {
        driver(&name, errors);
    }
    if let Some(name) = selector.present("pool") {
        pool(&name, errors);
    }
    if let Some(name) = selector.present("device") {
        name.named(errors, names::is_dns1123_label);
    }
    taint::taint(&spec.get("taint"), errors);
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let taint = &object["spec"]["taint"];
    vec![
        table::name(object),
        table::text_or(&taint["key"], ""),
        table::text_or(&taint["value"], ""),
        table::text_or(&taint["effect"], ""),
        table::since(&taint["timeAdded"], now).into(),
        table::age(object, now),
    ]
}
