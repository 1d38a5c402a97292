//! Lists whose elements must differ: `x-kubernetes-list-type` `set` and `map`.
//!
//! Each repeated element is reported once, at its second place. Upstream: apiextensions
//! `pkg/apiserver/schema/listtype/validation.go`.

use crate::schema::{ListShape, ListType, Schema, Shape};
use proa_meta::{FieldErrors, FieldPath};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Checks every such list in a value.
pub fn validate_lists(schema: &Schema, value: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    match (&schema.shape, value) {
        (Shape::Object(shape), Value::Object(map)) => {
            for (key, value) in map {
                match (shape.fields.get(key.as_str()), &shape.additional) {
                    (Some(field), _) => validate_lists(&field.schema, value, &path.child(key), errors),
                    (None, Some(schema)) => validate_lists(schema, value, &path.key(key), errors),
                    (None, None) => {}
                }
            }
        }
        (Shape::Map(shape), Value::Object(map)) if !is_scalar(&shape.values) => {
            for (key, value) in map {
                validate_lists(&shape.values, value, &path.key(key), errors);
            }
        }
        (Shape::List(shape), Value::Array(list)) => {
            unique(shape, list, path, errors);
            if !is_scalar(&shape.items) {
                for (i, item) in list.iter().enumerate() {
                    validate_lists(&shape.items, item, &path.index(i), errors);
                }
            }
        }
        _ => {}
    }
}

fn is_scalar(schema: &Schema) -> bool {
    !matches!(schema.shape, Shape::Object(_) | Shape::Map(_) | Shape::List(_))
}

fn unique(shape: &ListShape, list: &[Value], path: &FieldPath<'_>, errors: &mut FieldErrors) {
    match &shape.list_type {
        ListType::Atomic => {}
        ListType::Set => {
            for i in repeated(list.iter().map(Value::to_string)) {
                errors.duplicate(&path.index(i), &list[i]);
            }
        }
        ListType::Map(keys) => unique_keys(keys, list, path, errors),
    }
}

fn unique_keys(keys: &[Box<str>], list: &[Value], path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if let Some((i, item)) = list.iter().enumerate().find(|(_, item)| !item.is_object() && !item.is_null()) {
        errors.invalid(&path.index(i), item, "must be an object for an array of list-type map");
        return;
    }
    let key_of = |item: &Value| {
        let pairs = keys.iter().filter_map(|key| Some((key.to_string(), item.get(&**key)?.clone())));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    for i in repeated(list.iter().map(|item| key_of(item).to_string())) {
        errors.duplicate(&path.index(i), &key_of(&list[i]));
    }
}

/// Places of the second of equal texts.
fn repeated(texts: impl ExactSizeIterator<Item = String>) -> Vec<usize> {
    if texts.len() < 2 {
        return Vec::new();
    }
    let mut seen: HashMap<String, usize> = HashMap::with_capacity(texts.len());
    let mut places = Vec::new();
    for (i, text) in texts.enumerate() {
        let count = seen.entry(text).or_default();
        *count += 1;
        if *count == 2 {
            places.push(i);
        }
    }
    places
}
