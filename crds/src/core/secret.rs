//! v1 Secret. `stringData` is write-only: it becomes `data` before anything else looks at the object.
//!
//! Upstream: `pkg/registry/core/secret/strategy.go`, `pkg/apis/core/v1/conversion.go`.

mod key_pair;

use super::config_map::{MAX_BYTES, decoded_len, key_of, unchanged};
use crate::{core::namespaced, cursor::Cursor, fill, table};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, KindDef, Selectable, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    namespaced("Secret", "secrets")
        .selectable(&[Selectable::new("type")])
        .with_table(&[Column::name(), Column::text("Type"), Column::text("Data"), Column::age()], row)
        .with_strategy(Strategy {
            default,
            prepare_update: |new, old| {
                // An update may leave the type out.
                if new["type"].as_str().is_none_or(str::is_empty) {
                    fill::keep(new, old, "type");
                }
            },
            validate_create: validate,
            validate_update: |new, old, errors| {
                let (now, before) = (Cursor::root(new), Cursor::root(old));
                now.get("type").immutable(&before.get("type"), errors);
                unchanged(new, old, &["data"], errors);
                validate(new, errors);
            },
            warnings,
            ..Strategy::default()
        })
}

/// A certificate and a key that do not belong together.
fn warnings(object: &Value) -> Vec<String> {
    if object["type"] != "kubernetes.io/tls" {
        return Vec::new();
    }
    let part = |name| BASE64_STANDARD.decode(object["data"][name].as_str().unwrap_or("")).unwrap_or_default();
    key_pair::problem(&part("tls.crt"), &part("tls.key")).into_iter().collect()
}

fn default(object: &mut Value) {
    fill::zero(object, "type", "Opaque");
    let texts = fill::fields(object).remove("stringData");
    let Some(Value::Object(texts)) = texts else { return };
    if texts.is_empty() {
        return;
    }
    let data = fill::fields(fill::sub(object, "data"));
    for (key, text) in texts {
        data.insert(key, BASE64_STANDARD.encode(text.as_str().unwrap_or("")).into());
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let data = root.get("data");
    let mut size = 0;
    for (key, entry) in data.entries() {
        key_of(&entry, key, errors);
        size += decoded_len(entry.text());
    }
    if size > MAX_BYTES {
        errors.too_long(data.path(), MAX_BYTES);
    }
    contents(&root, &data, errors);
}

/// What the well-known types must hold.
fn contents(root: &Cursor<'_, '_>, data: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let missing = |key: &str| data.value().get(key).is_none();
    let mut require = |keys: &[&str]| {
        for key in keys.iter().filter(|key| missing(key)) {
            data.key(key).required(errors, "");
        }
    };
    match root.text_of("type") {
        "kubernetes.io/service-account-token" => {
            let metadata = root.get("metadata");
            let annotations = metadata.get("annotations");
            annotations.key("kubernetes.io/service-account.name").must_be_set(errors);
        }
        "kubernetes.io/dockercfg" => json_key(&data.key(".dockercfg"), errors),
        "kubernetes.io/dockerconfigjson" => json_key(&data.key(".dockerconfigjson"), errors),
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => {
            require(&["username", "password"]);
        }
        "kubernetes.io/ssh-auth" => {
            data.key("ssh-privatekey").must_be_set(errors);
        }
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"]),
        _ => {}
    }
}

fn json_key(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return at.required(errors, "");
    }
    let bytes = BASE64_STANDARD.decode(at.text()).unwrap_or_default();
    if let Err(problem) = serde_json::from_slice::<serde_json::Map<String, Value>>(&bytes) {
        at.with(&"<secret contents redacted>".into()).invalid(errors, &problem.to_string());
    }
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let count = object["data"].as_object().map_or(0, serde_json::Map::len);
    vec![table::name(object), table::text_or(&object["type"], ""), count.into(), table::age(object, now)]
}
