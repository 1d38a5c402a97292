//! v1 Namespace. It is deleted by emptying it: the `kubernetes` finalizer in its spec keeps it until then.
//!
//! Upstream: `pkg/registry/core/namespace/{strategy.go,storage/storage.go}`.

use crate::{
    core::{cluster, named},
    cursor::Cursor,
    fill::{keep, remove, set, sub},
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, KindDef, Selectable, Strategy, SubresourceDef};
use serde_json::{Value, json};

const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let (gvk, schema) = named("Namespace");
    cluster("Namespace", "namespaces")
        .short(&["ns"])
        .with_status()
        .without_delete_collection()
        .with_subresource(SubresourceDef {
            name: "finalize",
            gvk,
            schema,
            verbs: &["update"],
            paths: false,
            query: None,
        })
        .selectable(&[Selectable::new("status.phase")])
        .with_table(&[Column::name(), Column::text("Status"), Column::age()], row)
        .with_strategy(Strategy {
            default,
            prepare_create,
            prepare_update: |new, old| keep(sub(new, "spec"), &old["spec"], "finalizers"),
            validate,
            validate_status,
            name: names::name_is_dns_label,
            mark_deleted: |object| {
                // A namespace has no grace of its own: it ends when it is empty.
                remove(sub(object, "metadata"), "deletionGracePeriodSeconds");
                set(sub(object, "status"), "phase", "Terminating");
            },
            blocks_deletion: |object| !crate::fill::is_empty(&object["spec"]["finalizers"]),
            returns_deleted: true,
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    let name = object["metadata"]["name"].as_str().unwrap_or("").to_owned();
    if !name.is_empty() {
        set(sub(sub(object, "metadata"), "labels"), NAME_LABEL, name);
    }
    crate::fill::zero(sub(object, "status"), "phase", "Active");
}

fn prepare_create(object: &mut Value) {
    default(object);
    set(object, "status", json!({"phase": "Active"}));
    let finalizers = sub(sub(object, "spec"), "finalizers");
    match finalizers.as_array_mut() {
        Some(list) if list.iter().any(|one| one == "kubernetes") => {}
        Some(list) => list.push("kubernetes".into()),
        None => *finalizers = json!(["kubernetes"]),
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let list = spec.get("finalizers");
    for finalizer in list.items() {
        let shown = list.with(finalizer.value());
        shown.named(errors, names::is_qualified_name);
        let name = finalizer.text();
        if !name.contains('/') && !matches!(name, "kubernetes" | "orphan" | "foregroundDeletion") {
            shown.invalid(errors, "name is neither a standard finalizer name nor is it fully qualified");
        }
    }
}

fn validate_status(new: &Value, _: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let status = root.get("status");
    let phase = status.get("Phase");
    let phase = phase.with(status.get("phase").value());
    let deleting = new["metadata"]["deletionTimestamp"].is_string();
    match (deleting, phase.text()) {
        (false, "Active") | (true, "Terminating") => {}
        (false, _) => phase.invalid(errors, "may only be 'Active' if `deletionTimestamp` is empty"),
        (true, _) => phase.invalid(errors, "may only be 'Terminating' if `deletionTimestamp` is not empty"),
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![table::name(object), table::text_or(&object["status"]["phase"], ""), table::age(object, now)]
}
