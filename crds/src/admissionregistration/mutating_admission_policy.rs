//! admissionregistration.k8s.io/v1 MutatingAdmissionPolicy.
//!
//! Upstream: `pkg/registry/admissionregistration/mutatingadmissionpolicy/strategy.go`.

use super::{expressions, policy};
use crate::{cursor::Cursor, facts};
use proa_meta::{FieldErrors, Gvk};
use proa_registry::kind::{Column, KindDef};
use proa_schema::policy::{Compiler, Role};
use serde_json::Value;

const SCHEMA: &str = "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy";
/// Types of patches: name, field, role of its expression.
const PATCHES: [(&str, &str, Role); 2] = [
    ("ApplyConfiguration", "applyConfiguration", Role::ApplyConfiguration),
    ("JSONPatch", "jsonPatch", Role::JsonPatch),
];

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy");
    let columns =
        [Column::name(), Column::of("Mutations", "integer"), Column::text("ParamKind"), Column::age()];
    KindDef::cluster(gvk, "mutatingadmissionpolicies", facts::schema(SCHEMA))
        .categories(&["api-extensions"])
        .with_table(&columns, |object, now| policy::row(object, "mutations", now))
        .with_strategy(policy::strategy(policy::default, validate))
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    policy::validate_head(&spec, errors);
    policy::mutating_operations(&spec.get("matchConstraints"), errors);
    let has_params = spec.get("paramKind").is_set();
    expressions::conditions(&spec.get("matchConditions"), has_params, errors);
    let mut compiler = Compiler::new(has_params);
    expressions::variables(&spec.get("variables"), &mut compiler, errors);
    let mutations = spec.get("mutations");
    if mutations.is_empty() {
        mutations.required(errors, "mutations must contain at least one item");
    }
    mutations.items().for_each(|at| mutation(&at, &compiler, errors));
    spec.get("reinvocationPolicy").one_of(errors, &["IfNeeded", "Never"]);
}

fn mutation(at: &Cursor<'_, '_>, compiler: &Compiler, errors: &mut FieldErrors) {
    let patch = at.get("patchType");
    if !patch.one_of(errors, &["ApplyConfiguration", "JSONPatch"]) {
        return;
    }
    for (name, field, role) in PATCHES.iter().filter(|(name, ..)| *name == patch.text()) {
        let given = at.get(field);
        if given.is_set() {
            expressions::trimmed_compiles(&given.get("expression"), *role, compiler, errors);
        } else {
            given.required(errors, &format!("must be specified when patchType is {name}"));
        }
    }
    for (_, field, _) in PATCHES.iter().filter(|(name, ..)| *name != patch.text()) {
        let other = at.get(field);
        if other.is_set() {
            let shown = format!("{{{field}}}").into();
            other
                .with(&shown)
                .invalid(errors, &format!("must not be specified when patchType is {}", patch.text()));
        }
    }
}
