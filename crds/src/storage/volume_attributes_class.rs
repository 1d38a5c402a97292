//! storage.k8s.io/v1 VolumeAttributesClass.
//!
//! Upstream: `pkg/registry/storage/volumeattributesclass/strategy.go`, `pkg/apis/storage/validation/validation.go`.

use super::{named, parameters, provisioner};
use crate::{cursor::Cursor, fill::same, table};
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("VolumeAttributesClass");
    KindDef::cluster(gvk, "volumeattributesclasses", schema)
        .short(&["vac"])
        .with_table(&[Column::name(), Column::text("DriverName"), Column::age()], |object, now| {
            vec![table::name(object), table::text_or(&object["driverName"], ""), table::age(object, now)]
        })
        .with_strategy(Strategy {
            validate_create: validate,
            validate_update: |object, old, errors| {
                let (new, old) = (Cursor::root(object), Cursor::root(old));
                for field in ["driverName", "parameters"] {
                    let now = new.get(field);
                    if !same(now.value(), old.get(field).value()) {
                        now.forbidden(errors, &format!("updates to {field} are forbidden."));
                    }
                }
                validate(object, errors);
            },
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    provisioner(&root.get("driverName"), errors);
    let all = root.get("parameters");
    parameters(&all, errors);
    if all.is_empty() {
        all.required(errors, "must contain at least one key/value pair");
    }
}
