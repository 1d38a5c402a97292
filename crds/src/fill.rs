//! In-place edits of JSON objects: what defaulting and preparation are made of.
//!
//! Upstream's Go types do not tell absent from zero for plain fields, so "absent" here means absent, null, or the
//! zero value. No function panics on an unexpected type; it leaves the value alone or replaces it by an object.

use serde_json::{Map, Value};

/// Absent, an empty text, list or map.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Go's zero value: empty, `0` or `false`.
pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Bool(flag) => !flag,
        other => is_empty(other),
    }
}

/// Equal when null, an absent field and an empty list count as the same: upstream's semantic equality of values in the
/// form that is stored. There maps and structs that Go leaves out are absent, so an object without fields is a pointer
/// that is set: a selector `{}` is not the absent one.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let covered = |x: &Map<String, Value>, y: &Map<String, Value>| {
                x.iter().all(|(key, value)| same(value, y.get(key).unwrap_or(&Value::Null)))
            };
            covered(a, b) && b.iter().all(|(key, value)| a.contains_key(key) || is_vacant(value))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => a == b || (is_vacant(a) && is_vacant(b)),
    }
}

fn is_vacant(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

/// A named field as an object, made when absent.
pub(crate) fn sub<'a>(object: &'a mut Value, key: &str) -> &'a mut Value {
    let child = fields(object).entry(key).or_insert(Value::Null);
    if child.is_null() {
        *child = Value::Object(Map::new());
    }
    child
}

/// The fields of an object; anything else becomes an empty one.
pub(crate) fn fields(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    object.as_object_mut().expect("it was made an object above")
}

/// A named field, unless it is absent or null.
pub(crate) fn present<'a>(object: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    object.get_mut(key).filter(|value| !value.is_null())
}

/// The elements of a named list.
pub(crate) fn items<'a>(object: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    object.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Sets a field that is absent or zero.
pub(crate) fn zero(object: &mut Value, key: &str, value: impl Into<Value>) {
    if object.get(key).is_none_or(is_zero) {
        fields(object).insert(key.to_owned(), value.into());
    }
}

/// Sets a field that is absent (a pointer in Go: an explicit zero stays).
pub(crate) fn absent(object: &mut Value, key: &str, value: impl Into<Value>) {
    if object.get(key).is_none_or(Value::is_null) {
        fields(object).insert(key.to_owned(), value.into());
    }
}

/// Sets a field.
pub(crate) fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    fields(object).insert(key.to_owned(), value.into());
}

/// Removes a field.
pub(crate) fn remove(object: &mut Value, key: &str) {
    if let Value::Object(fields) = object {
        fields.remove(key);
    }
}

/// Sets a field to what it was.
pub(crate) fn keep(new: &mut Value, old: &Value, key: &str) {
    match old.get(key) {
        Some(value) => set(new, key, value.clone()),
        None => remove(new, key),
    }
}

/// Puts back the metadata that only the object's own path changes.
pub(crate) fn keep_metadata(new: &mut Value, old: &Value) {
    let fields =
        ["deletionTimestamp", "generation", "labels", "annotations", "finalizers", "ownerReferences"];
    fields.iter().for_each(|field| keep(sub(new, "metadata"), &old["metadata"], field));
}

/// An annotation, empty when absent.
pub(crate) fn annotation<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"]["annotations"].get(key).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn semantic_equality_ignores_vacant_fields() {
        assert!(same(&json!({"a": []}), &json!({})));
        assert!(same(&json!({}), &json!({"a": [], "b": null})));
        assert!(!same(&json!({}), &json!({"a": {}})));
        assert!(!same(&json!({"a": 0}), &json!({})));
        assert!(!same(&json!({"a": [1]}), &json!({"a": [2]})));
    }

    #[test]
    fn zero_fills_and_absent_keeps_zero() {
        let mut object = json!({"a": 0, "b": 0, "c": null});
        zero(&mut object, "a", 1);
        absent(&mut object, "b", 1);
        absent(&mut object, "c", 1);
        assert_eq!(object, json!({"a": 1, "b": 0, "c": 1}));
    }
}
