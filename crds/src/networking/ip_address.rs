//! networking.k8s.io/v1 IPAddress: an address and what it belongs to. Its name is the address.
//!
//! Upstream: `pkg/registry/networking/ipaddress/strategy.go`, `pkg/apis/networking/validation/validation.go`.

use crate::{
    cursor::{Cursor, IMMUTABLE},
    facts,
    fill::same,
    network, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("networking.k8s.io", "v1", "IPAddress");
    KindDef::cluster(gvk, "ipaddresses", facts::schema("io.k8s.api.networking.v1.IPAddress"))
        .short(&["ip"])
        .with_table(&[Column::name(), Column::text("ParentRef")], row)
        .with_strategy(Strategy {
            name: |name, _| network::strict_ip(name),
            validate,
            validate_create: declared,
            validate_update: |new, old, errors| {
                if same(&new["spec"]["parentRef"], &old["spec"]["parentRef"]) {
                    return;
                }
                declared(new, errors);
                let root = Cursor::root(new);
                let spec = root.get("spec");
                errors.invalid(spec.get("parentRef").path(), &Value::Null, IMMUTABLE);
            },
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let parent = spec.get("parentRef");
    parent.get("group").opt_named(errors, names::is_dns1123_subdomain);
    for field in ["resource", "name", "namespace"] {
        parent.get(field).opt_named(errors, names::is_path_segment_name);
    }
}

/// What must be there: upstream declares it with the fields, so it comes last.
fn declared(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let parent = spec.get("parentRef");
    if !parent.is_set() {
        return parent.required(errors, "");
    }
    for field in ["resource", "name"] {
        parent.get(field).must_be_set(errors);
    }
}

fn row(object: &Value, _: Timestamp) -> Vec<Value> {
    let parent = &object["spec"]["parentRef"];
    let text = |field: &str| parent[field].as_str().unwrap_or("");
    let shown = if parent.is_object() {
        let resource = match text("group") {
            "" => text("resource").to_lowercase(),
            group => format!("{}.{group}", text("resource")).to_lowercase(),
        };
        let parts = [resource.as_str(), text("namespace"), text("name")];
        parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
    } else {
        "<none>".to_owned()
    };
    vec![table::name(object), shown.into()]
}
