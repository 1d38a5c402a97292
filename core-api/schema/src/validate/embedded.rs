//! Embedded resources (`x-kubernetes-embedded-resource`): type and metadata of objects inside of objects.
//!
//! Metadata has been coerced before. Upstream: apiextensions `pkg/apiserver/schema/objectmeta/validation.go`.

use crate::{prune, schema::Schema};
use proa_meta::{FieldErrors, FieldPath, gvk, names};
use serde_json::{Map, Value};

/// Checks every embedded resource in a value.
pub fn validate_embedded(schema: &Schema, value: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    match value {
        Value::Object(map) => {
            if schema.embedded_resource {
                resource(map, path, errors);
            }
            for (key, value) in map {
                if let Some(Some(child)) = prune::entry(schema, key) {
                    validate_embedded(child, value, &path.child(key), errors);
                }
            }
        }
        Value::Array(list) => {
            if let Some(items) = prune::items(schema) {
                for (i, item) in list.iter().enumerate() {
                    validate_embedded(items, item, &path.index(i), errors);
                }
            }
        }
        _ => {}
    }
}

fn resource(map: &Map<String, Value>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    for name in ["apiVersion", "kind"] {
        if !map.contains_key(name) {
            errors.required(&path.child(name), "");
        }
    }
    if let Some(value) = map.get("apiVersion") {
        text(value, &path.child("apiVersion"), errors, |text| {
            gvk::split_api_version(text).is_none().then(|| format!("unexpected GroupVersion string: {text}"))
        });
    }
    if let Some(value) = map.get("kind") {
        text(value, &path.child("kind"), errors, |text| {
            let wrong = names::is_dns1035_label(&text.to_lowercase());
            (!wrong.is_empty())
                .then(|| format!("may have mixed case, but should otherwise match: {}", wrong.join(",")))
        });
    }
    if let Some(metadata) = map.get("metadata") {
        object_meta(metadata, &path.child("metadata"), errors);
    }
}

fn text(
    value: &Value,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
    wrong: impl Fn(&str) -> Option<String>,
) {
    match value.as_str() {
        None => errors.invalid(path, value, "must be a string"),
        Some("") => errors.invalid(path, value, "must not be empty"),
        Some(text) => {
            if let Some(why) = wrong(text) {
                errors.invalid(path, value, &why);
            }
        }
    }
}

/// Names, labels and annotations; a missing name is allowed here.
fn object_meta(metadata: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let mut name = |field: &str, check: fn(&str) -> Vec<String>| {
        if let Some(value) = metadata.get(field)
            && let Some(text) = value.as_str().filter(|text| !text.is_empty())
        {
            check(text).iter().for_each(|why| errors.invalid(&path.child(field), value, why));
        }
    };
    name("generateName", names::is_path_segment_prefix);
    name("name", names::is_path_segment_name);
    name("namespace", names::is_dns1123_label);
    for (key, value) in entries(metadata, "labels") {
        let labels = path.child("labels");
        names::validate_label_name(key, &labels, errors);
        for why in value.as_str().map(names::is_label_value).unwrap_or_default() {
            errors.invalid(&labels, value, &why);
        }
    }
    for (key, _) in entries(metadata, "annotations") {
        let annotations = path.child("annotations");
        for why in names::is_qualified_name(&key.to_lowercase()) {
            errors.invalid(&annotations, &Value::String(key.clone()), &why);
        }
    }
}

fn entries<'v>(metadata: &'v Value, field: &str) -> impl Iterator<Item = (&'v String, &'v Value)> {
    metadata.get(field).and_then(Value::as_object).into_iter().flatten()
}
