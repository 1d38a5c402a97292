//! resource.k8s.io/v1 DeviceClass: devices that are asked for by one name.
//!
//! Upstream: `pkg/registry/resource/deviceclass/strategy.go`.

use super::{configuration, declared, few, named, selectors};
use crate::{cursor::Cursor, table};
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("DeviceClass");
    KindDef::cluster(gvk, "deviceclasses", schema)
        .with_table(&[Column::name(), Column::age()], |object, now| {
            vec![table::name(object), table::age(object, now)]
        })
        .with_strategy(Strategy {
            // It is declared, and of a name that was made it is the result that counts.
            name: |_, _| Vec::new(),
            validate,
            validate_create: |object, errors| {
                declared::validate("DeviceClass", &Cursor::root(object), None, errors);
            },
            validate_update: |new, old, errors| {
                declared::validate("DeviceClass", &Cursor::root(new), Some(old), errors);
            },
            generation: Generation::Spec,
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    selectors(&spec.get("selectors"), errors);
    few(&spec.get("config"), super::CONFIGURATIONS).for_each(|one| configuration(&one, errors));
}
