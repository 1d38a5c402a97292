//! admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding.
//!
//! Upstream: `pkg/registry/admissionregistration/validatingadmissionpolicybinding/strategy.go`.

use super::{binding, policy};
use crate::{cursor::Cursor, facts};
use proa_meta::{FieldErrors, Gvk};
use proa_registry::kind::KindDef;
use serde_json::Value;
use std::collections::BTreeSet;

const SCHEMA: &str = "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBinding";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding");
    KindDef::cluster(gvk, "validatingadmissionpolicybindings", facts::schema(SCHEMA))
        .categories(&["api-extensions"])
        .with_table(&binding::COLUMNS, binding::row)
        .with_strategy(policy::strategy(binding::default, validate))
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    binding::validate(&spec, errors);
    let actions = spec.get("validationActions");
    let mut seen = BTreeSet::new();
    for action in actions.items() {
        action.enumeration(errors, &["Audit", "Deny", "Warn"]);
        if !seen.insert(action.text()) {
            action.duplicate(errors);
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                   response and headers serves no purpose)";
        actions.invalid(errors, why);
    }
    if seen.is_empty() {
        actions.required(errors, "at least one validation action is required");
    }
}
