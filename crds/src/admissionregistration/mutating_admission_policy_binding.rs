//! admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding.
//!
//! Upstream: `pkg/registry/admissionregistration/mutatingadmissionpolicybinding/strategy.go`.

use super::{binding, policy};
use crate::{cursor::Cursor, facts};
use proa_meta::{FieldErrors, Gvk};
use proa_registry::kind::KindDef;
use serde_json::Value;

const SCHEMA: &str = "io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicyBinding";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding");
    KindDef::cluster(gvk, "mutatingadmissionpolicybindings", facts::schema(SCHEMA))
        .categories(&["api-extensions"])
        .with_table(&binding::COLUMNS, binding::row)
        .with_strategy(policy::strategy(binding::default, validate))
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    binding::validate(&spec, errors);
    policy::mutating_operations(&spec.get("matchResources"), errors);
}
