//! resource.k8s.io/v1 ResourceClaim: devices that pods ask for, with `/status`, where they are given.
//!
//! Who may give devices, and who may have access to those of others, is asked by admission.
//! Upstream: `pkg/registry/resource/resourceclaim/strategy.go`.

mod status;

use super::{claim_spec, declared, named};
use crate::{
    cursor::Cursor,
    fill::{is_empty, keep_metadata, present, sub},
    table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("ResourceClaim");
    KindDef::namespaced(gvk, "resourceclaims", schema)
        .with_status()
        .with_table(&[Column::name(), Column::text("State"), Column::age()], row)
        .with_strategy(Strategy {
            default: |object| {
                if let Some(spec) = present(object, "spec") {
                    claim_spec::default(spec);
                }
            },
            prepare_create: |object| claim_spec::drop_disabled(sub(object, "spec")),
            prepare_update: |new, _| claim_spec::drop_disabled(sub(new, "spec")),
            prepare_status: |new, old| {
                keep_metadata(new, old);
                status::prepare(new, old);
            },
            validate_create: |object, errors| {
                let root = Cursor::root(object);
                claim_spec::validate(&root.get("spec"), errors);
                declared::validate("ResourceClaim", &root, None, errors);
            },
            validate_update: |new, old, errors| {
                declared::validate("ResourceClaim", &Cursor::root(new), Some(old), errors);
            },
            validate_status: |new: &Value, old: &Value, errors: &mut FieldErrors| {
                status::validate(new, old, errors);
                declared::validate("ResourceClaim", &Cursor::root(new), Some(old), errors);
            },
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let is_deleted = object["metadata"]["deletionTimestamp"].is_string();
    let is_allocated = object["status"]["allocation"].is_object();
    let is_reserved = is_allocated && !is_empty(&object["status"]["reservedFor"]);
    let states = [
        (is_deleted, "deleted"),
        (!is_deleted && !is_allocated, "pending"),
        (is_allocated, "allocated"),
        (is_reserved, "reserved"),
    ];
    let states: Vec<_> = states.iter().filter(|(is, _)| *is).map(|(_, state)| *state).collect();
    vec![table::name(object), states.join(",").into(), table::age(object, now)]
}
