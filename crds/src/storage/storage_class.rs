//! storage.k8s.io/v1 StorageClass.
//!
//! Upstream: `pkg/registry/storage/storageclass/strategy.go`,
//! `pkg/apis/storage/{v1/defaults,validation/validation}.go`.

use super::{named, parameters, provisioner};
use crate::{
    cursor::Cursor,
    fill::{absent, annotation},
    pod_spec::warnings as pod_warnings,
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("StorageClass");
    let columns = [
        Column::name(),
        Column::text("Provisioner"),
        Column::text("ReclaimPolicy"),
        Column::text("VolumeBindingMode"),
        Column::text("AllowVolumeExpansion"),
        Column::age(),
    ];
    KindDef::cluster(gvk, "storageclasses", schema).short(&["sc"]).with_table(&columns, row).with_strategy(
        Strategy {
            default: |object| {
                absent(object, "reclaimPolicy", "Delete");
                absent(object, "volumeBindingMode", "Immediate");
            },
            validate,
            warnings,
            validate_update: |new, old, errors| {
                let (new, old) = (Cursor::root(new), Cursor::root(old));
                for field in ["provisioner", "parameters", "reclaimPolicy", "volumeBindingMode"] {
                    new.get(field).declared_immutable(&old.get(field), errors);
                }
            },
            returns_deleted: true,
            ..Strategy::default()
        },
    )
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    provisioner(&root.get("provisioner"), errors);
    parameters(&root.get("parameters"), errors);
    let policy = root.get("reclaimPolicy");
    if !policy.is_empty() {
        policy.enumeration(errors, &["Delete", "Retain"]);
    }
    root.get("volumeBindingMode").enumeration(errors, &["Immediate", "WaitForFirstConsumer"]);
    topologies(&root.get("allowedTopologies"), errors);
}

/// Terms of which no two are the same.
fn topologies(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen: BTreeSet<BTreeMap<&str, BTreeSet<&str>>> = BTreeSet::new();
    for term in list.items() {
        let expressions = term.get("matchLabelExpressions");
        let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for expression in expressions.items() {
            let (key, values) = (expression.get("key"), expression.get("values"));
            let mut all = BTreeSet::new();
            values.must_be_set(errors);
            for value in values.items() {
                if !all.insert(value.text()) {
                    value.duplicate(errors);
                }
            }
            key.named(errors, names::is_qualified_name);
            if keys.insert(key.text(), all).is_some() {
                key.duplicate(errors);
            }
        }
        // Upstream compares with empty terms from the start.
        if keys.is_empty() || !seen.insert(keys) {
            expressions.with(&"".into()).duplicate(errors);
        }
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let root = Cursor::root(object);
    let mut found = Vec::new();
    for term in root.get("allowedTopologies").items() {
        for expression in term.get("matchLabelExpressions").items() {
            let key = expression.get("key");
            found.extend(
                pod_warnings::renamed_label(key.text()).map(|text| format!("{}: {text}", key.path())),
            );
        }
    }
    found
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let name =
        if annotation(object, IS_DEFAULT) == "true" { format!("{name} (default)") } else { name.to_owned() };
    vec![
        name.into(),
        table::text_or(&object["provisioner"], ""),
        table::text_or(&object["reclaimPolicy"], "Delete"),
        table::text_or(&object["volumeBindingMode"], "Immediate"),
        (object["allowVolumeExpansion"] == true).into(),
        table::age(object, now),
    ]
}
