//! node.k8s.io/v1 RuntimeClass.
//!
//! Upstream: `pkg/registry/node/runtimeclass/strategy.go`, `pkg/apis/node/validation/validation.go`.

use crate::{
    cursor::Cursor,
    facts,
    pod_spec::{validate as spec_rules, warnings},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;
use std::collections::BTreeSet;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("node.k8s.io", "v1", "RuntimeClass");
    let columns = [Column::name(), Column::text("Handler"), Column::age()];
    KindDef::cluster(gvk, "runtimeclasses", facts::schema("io.k8s.api.node.v1.RuntimeClass"))
        .with_table(&columns, row)
        .with_strategy(Strategy {
            validate_create: |object, errors| {
                validate(object, errors);
                let root = Cursor::root(object);
                let handler = root.get("handler");
                if handler.must_be_set(errors) {
                    handler.named(errors, names::is_dns1123_label_of_bytes);
                }
            },
            validate_update: |object, old, errors| {
                let (new, old) = (Cursor::root(object), Cursor::root(old));
                let (handler, before) = (new.get("handler"), old.get("handler"));
                if handler.text() != before.text() {
                    handler.opt_named(errors, names::is_dns1123_label);
                }
                validate(object, errors);
                handler.declared_immutable(&before, errors);
                handler.must_be_set(errors);
            },
            warnings: |object| {
                let root = Cursor::root(object);
                let scheduling = root.get("scheduling");
                warnings::old_node_labels(&scheduling.get("nodeSelector"))
            },
            unconditional_update: false,
            create_on_update: true,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let overhead = root.get("overhead");
    spec_rules::resource_limits(&overhead.get("podFixed"), &overhead, errors);
    let scheduling = root.get("scheduling");
    selector::labels(&scheduling.get("nodeSelector"), errors);
    let tolerations = scheduling.get("tolerations");
    spec_rules::tolerations(&tolerations, errors);
    let mut seen = BTreeSet::new();
    for toleration in tolerations.items() {
        if !seen.insert(["key", "operator", "value", "effect"].map(|field| toleration.text_of(field))) {
            toleration.duplicate(errors);
        }
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![table::name(object), object["handler"].clone(), table::age(object, now)]
}
