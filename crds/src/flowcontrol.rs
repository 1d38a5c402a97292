//! Kinds of the group `flowcontrol.apiserver.k8s.io`, `v1`: how many requests of whom are served at once.
//!
//! Deliberately absent: whatever acts on them. The server's own limits do not come from these objects.

pub(crate) mod flow_schema;
pub(crate) mod priority_level_configuration;

use crate::{cursor::Cursor, facts};
use proa_meta::{FieldErrors, Gvk};
use proa_schema::SchemaRef;
use serde_json::Value;
use std::collections::BTreeSet;

/// Name and schema of a kind of the group.
fn named(kind: &'static str) -> (Gvk, SchemaRef) {
    let schema = facts::schema(&format!("io.k8s.api.flowcontrol.v1.{kind}"));
    (Gvk::new("flowcontrol.apiserver.k8s.io", "v1", kind), schema)
}

/// Conditions of which no two have the same type.
fn conditions(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let status = root.get("status");
    let mut seen = BTreeSet::new();
    for condition in status.get("conditions").items() {
        let kind = condition.get("type");
        if !seen.insert(kind.text()) {
            kind.duplicate(errors);
        }
        kind.must_be_set(errors);
    }
}
