//! resource.k8s.io/v1 ResourceClaimTemplate: from which each pod gets a claim of its own.
//!
//! Upstream: `pkg/registry/resource/resourceclaimtemplate/strategy.go`.

use super::{claim_spec, declared, named};
use crate::{
    cursor::Cursor,
    fill::{present, sub},
    pod_spec::template,
    table,
};
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("ResourceClaimTemplate");
    KindDef::namespaced(gvk, "resourceclaimtemplates", schema)
        .with_table(&[Column::name(), Column::age()], |object, now| {
            vec![table::name(object), table::age(object, now)]
        })
        .with_strategy(Strategy {
            default: |object| {
                if let Some(spec) = present(object, "spec").and_then(|spec| present(spec, "spec")) {
                    claim_spec::default(spec);
                }
            },
            prepare_create: |object| claim_spec::drop_disabled(sub(sub(object, "spec"), "spec")),
            prepare_update: |new, _| claim_spec::drop_disabled(sub(sub(new, "spec"), "spec")),
            validate,
            validate_create: |object, errors| {
                declared::validate("ResourceClaimTemplate", &Cursor::root(object), None, errors);
            },
            validate_update: |new, old, errors| {
                Cursor::root(new).get("spec").immutable(&Cursor::root(old).get("spec"), errors);
                declared::validate("ResourceClaimTemplate", &Cursor::root(new), Some(old), errors);
            },
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    template::metadata(&spec.get("metadata"), errors);
    claim_spec::validate(&spec.get("spec"), errors);
}
