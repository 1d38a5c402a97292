//! v1 ConfigMap.
//!
//! Upstream: `pkg/registry/core/configmap/strategy.go`.

use crate::{core::namespaced, cursor::Cursor, table};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, KindDef, Strategy};
use serde_json::Value;

/// Most bytes of a ConfigMap or Secret.
pub(super) const MAX_BYTES: usize = 1 << 20;
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// The kind.
pub(crate) fn kind() -> KindDef {
    namespaced("ConfigMap", "configmaps")
        .short(&["cm"])
        .with_table(&[Column::name(), Column::text("Data"), Column::age()], row)
        .with_strategy(Strategy {
            validate_create: validate,
            validate_update: |new, old, errors| {
                unchanged(new, old, &["data", "binaryData"], errors);
                validate(new, errors);
            },
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (data, binary) = (root.get("data"), root.get("binaryData"));
    let mut size = 0;
    for (key, entry) in data.entries() {
        key_of(&entry, key, errors);
        if binary.value().get(key).is_some() {
            entry.with(&key.into()).invalid(errors, "duplicate of key present in binaryData");
        }
        size += entry.text().len();
    }
    for (key, entry) in binary.entries() {
        key_of(&entry, key, errors);
        size += decoded_len(entry.text());
    }
    if size > MAX_BYTES {
        // Upstream prints the nameless root as a subscript here.
        errors.too_long(&root.path().key(""), MAX_BYTES);
    }
}

/// A key that can be a file name.
pub(super) fn key_of(entry: &Cursor<'_, '_>, key: &str, errors: &mut FieldErrors) {
    entry.with(&key.into()).named(errors, names::is_config_map_key);
}

/// Bytes that base64 text stands for.
pub(super) fn decoded_len(text: &str) -> usize {
    let padding = text.bytes().rev().take_while(|&b| b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// What `immutable: true` forbids.
pub(super) fn unchanged(new: &Value, old: &Value, fields: &[&str], errors: &mut FieldErrors) {
    if old["immutable"] != true {
        return;
    }
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    if !new.get("immutable").is_true() {
        new.get("immutable").forbidden(errors, IMMUTABLE);
    }
    for field in fields {
        if !crate::fill::same(new.get(field).value(), old.get(field).value()) {
            new.get(field).forbidden(errors, IMMUTABLE);
        }
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = |field: &str| object[field].as_object().map_or(0, serde_json::Map::len);
    vec![table::name(object), (count("data") + count("binaryData")).into(), table::age(object, now)]
}
