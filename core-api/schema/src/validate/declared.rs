//! Required fields and enumerations that the facts table declares for built-in kinds.
//!
//! Their hooks call this for the parts whose upstream validation does no more than that.

use super::walk::{is_same, texts};
use crate::schema::{Schema, Shape};
use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

/// Reports absent required fields (`Required value`) and texts outside their enumeration (`Unsupported value`).
/// An empty text or list counts as absent.
pub fn validate_required_and_enums(
    schema: &Schema,
    value: &Value,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    enumeration(schema, value, path, errors);
    match (&schema.shape, value) {
        (Shape::Object(shape), Value::Object(map)) => {
            for (name, _) in shape.fields.iter().filter(|(_, field)| field.required) {
                if map.get(&**name).is_none_or(is_absent) {
                    errors.required(&path.child(name), "");
                }
            }
            for (name, value) in map {
                if let Some(field) = shape.fields.get(name.as_str()) {
                    validate_required_and_enums(&field.schema, value, &path.child(name), errors);
                }
            }
        }
        (Shape::Map(shape), Value::Object(map)) => {
            for (key, value) in map {
                validate_required_and_enums(&shape.values, value, &path.key(key), errors);
            }
        }
        (Shape::List(shape), Value::Array(list)) => {
            for (i, item) in list.iter().enumerate() {
                validate_required_and_enums(&shape.items, item, &path.index(i), errors);
            }
        }
        _ => {}
    }
}

fn is_absent(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn enumeration(schema: &Schema, value: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let allowed = schema.rules.as_ref().and_then(|rules| rules.enumeration.as_deref());
    let Some(allowed) = allowed.filter(|allowed| !allowed.is_empty()) else { return };
    if !is_absent(value) && !allowed.iter().any(|one| is_same(one, value)) {
        let allowed = texts(allowed);
        let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
        errors.not_supported(path, value, &allowed);
    }
}
