//! storagemigration.k8s.io/v1 StorageVersionMigration: that all objects of a resource be stored anew, with `/status`.
//!
//! Upstream: `pkg/registry/storagemigration/storagemigration/strategy.go`,
//! `pkg/apis/storagemigration/validation/validation.go`.

use crate::{
    conditions,
    cursor::{Cursor, IMMUTABLE},
    facts,
    fill::keep_metadata,
    table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("storagemigration.k8s.io", "v1", "StorageVersionMigration");
    let schema = facts::schema("io.k8s.api.storagemigration.v1.StorageVersionMigration");
    let columns = [Column::of("Name", "string"), Column::text("Resource"), Column::text("Status")];
    KindDef::cluster(gvk, "storageversionmigrations", schema)
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            prepare_status: keep_metadata,
            validate,
            validate_update: |new, old, errors| {
                Cursor::root(new).get("spec").immutable(&Cursor::root(old).get("spec"), errors);
            },
            validate_status,
            unconditional_update: false,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let of = spec.get("resource");
    let (resource, group) = (of.get("resource"), of.get("group"));
    let all = |at: &Cursor<'_, '_>, problems: Vec<String>, errors: &mut FieldErrors| {
        if !problems.is_empty() {
            at.invalid(errors, &problems.join(","));
        }
    };
    if resource.is_empty() {
        resource.required(errors, "resource is required to be set");
    } else {
        all(&resource, names::is_dns1035_label(resource.text()), errors);
    }
    if !group.is_empty() {
        all(&group, names::is_dns1123_subdomain(group.text()), errors);
    }
}

fn validate_status(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let status = root.get("status");
    let (version, list) = (status.get("resourceVersion"), status.get("conditions"));
    if !is_version(version.text()) {
        version.invalid(errors, &format!("resource version is not well formed: {}", version.text()));
    }
    conditions::validate(&list, errors);
    let before = old["status"]["resourceVersion"].as_str().unwrap_or("");
    if !before.is_empty() && before != version.text() {
        version.invalid(errors, IMMUTABLE);
    }
    let is = |object: &Value, kind: &str| table::condition(object, kind) == "True";
    let wrong = |text: &str, errors: &mut FieldErrors| errors.invalid(list.path(), list.value(), text);
    if is(new, "Succeeded") && is(new, "Failed") {
        wrong("Both success and failed conditions cannot be true at the same time", errors);
    }
    if is(old, "Succeeded") && !is(new, "Succeeded") {
        wrong("Success condition cannot be set to false once it is true", errors);
    }
    if is(old, "Failed") && !is(new, "Failed") {
        wrong("Failed condition cannot be set to false once it is true", errors);
    }
}

/// Digits that do not begin with a zero, or nothing at all.
fn is_version(text: &str) -> bool {
    !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit())
}

fn row(object: &Value, _: Timestamp) -> Vec<Value> {
    let of = &object["spec"]["resource"];
    let text = |field: &str| of[field].as_str().unwrap_or("");
    let shown = match text("group") {
        "" => text("resource").to_owned(),
        group => format!("{}.{group}", text("resource")),
    };
    let list = object["status"]["conditions"].as_array().into_iter().flatten();
    let is_told = |kind: &&str| matches!(*kind, "Running" | "Failed" | "Succeeded");
    let mut held = list.filter(|c| c["status"] == "True").filter_map(|c| c["type"].as_str()).filter(is_told);
    vec![table::name(object), shown.into(), held.next_back().unwrap_or("Unknown").into()]
}
