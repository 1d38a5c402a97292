//! coordination.k8s.io/v1 Lease: who leads, and which node lives.
//!
//! Upstream: `pkg/registry/coordination/lease/strategy.go`, `pkg/apis/coordination/validation/validation.go`.

use crate::{
    cursor::Cursor,
    facts,
    fill::{is_empty, remove, sub},
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("coordination.k8s.io", "v1", "Lease");
    KindDef::namespaced(gvk, "leases", facts::schema("io.k8s.api.coordination.v1.Lease"))
        .with_table(&[Column::name(), Column::text("Holder"), Column::age()], row)
        .with_strategy(Strategy {
            prepare_create: |lease| drop_disabled(lease, &Value::Null),
            prepare_update: drop_disabled,
            validate,
            unconditional_update: false,
            create_on_update: true,
            ..Strategy::default()
        })
}

/// Fields of coordinated leader election, which is off by default: upstream drops them where they are new.
fn drop_disabled(lease: &mut Value, old: &Value) {
    for field in ["strategy", "preferredHolder"] {
        if is_empty(&old["spec"][field]) {
            remove(sub(lease, "spec"), field);
        }
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let duration = spec.get("leaseDurationSeconds");
    if duration.opt_int().is_some_and(|seconds| seconds <= 0) {
        duration.invalid(errors, "must be greater than 0");
    }
    spec.get("leaseTransitions").non_negative(errors);
    let strategy = spec.get("strategy");
    match strategy.text() {
        "" | "OldestEmulationVersion" => {}
        custom if custom.contains('/') => {
            strategy.named(errors, names::is_qualified_name);
        }
        _ => strategy.unsupported(errors, &["OldestEmulationVersion"]),
    }
    if !spec.get("preferredHolder").is_empty() && strategy.is_empty() {
        let text = "may only be specified if `strategy` is defined";
        spec.get("preferredHolder").forbidden(errors, text);
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let holder = table::text_or(&object["spec"]["holderIdentity"], "");
    vec![table::name(object), holder, table::age(object, now)]
}
