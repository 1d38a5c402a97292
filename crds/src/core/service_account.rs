//! v1 ServiceAccount.
//!
//! Upstream: `pkg/registry/core/serviceaccount/strategy.go`.

use crate::{core::namespaced, cursor::Cursor, facts, fill::items, table};
use jiff::Timestamp;
use proa_meta::Gvk;
use proa_registry::kind::{Column, KindDef, Strategy, SubresourceDef};
use serde_json::Value;

const ENFORCE: &str = "kubernetes.io/enforce-mountable-secrets";

/// The kind.
pub(crate) fn kind() -> KindDef {
    namespaced("ServiceAccount", "serviceaccounts")
        .short(&["sa"])
        .with_subresource(SubresourceDef {
            name: "token",
            gvk: Gvk::new("authentication.k8s.io", "v1", "TokenRequest"),
            schema: facts::schema("io.k8s.api.authentication.v1.TokenRequest"),
            verbs: &["create"],
            paths: false,
            query: None,
        })
        .with_table(&[Column::name(), Column::age()], |object, now: Timestamp| {
            vec![table::name(object), table::age(object, now)]
        })
        .with_strategy(Strategy {
            prepare_create: names_only,
            prepare_update: |new, _| names_only(new),
            warnings,
            returns_deleted: true,
            ..Strategy::default()
        })
}

/// Only names of secrets are kept.
fn names_only(object: &mut Value) {
    for secret in items(object, "secrets") {
        if let Some(fields) = secret.as_object_mut() {
            fields.retain(|key, _| key == "name");
        }
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let root = Cursor::root(object);
    let metadata = root.get("metadata");
    let annotations = metadata.get("annotations");
    let enforce = annotations.key(ENFORCE);
    if !enforce.is_set() {
        return Vec::new();
    }
    let text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
    vec![format!("{}: {text}", enforce.path())]
}
