//! The canonical form of an object: what Go writes after it has read one.
//!
//! Built-in fields follow [`Omit`]: empty values are left out or zero values written. Custom kinds keep what they
//! were given, except nulls that no `nullable` allows. The value has been decoded (built-in) or pruned (custom).
//! Idempotent. Deliberately absent: defaults and the order of fields. Upstream: encoding/json's `omitempty` and
//! `omitzero` on the types of k8s.io/api.

use crate::schema::{Field, ObjectShape, Omit, Schema, Shape};
use serde_json::{Map, Value};

/// Deepest chain of structs that are written although absent. Types hold themselves only behind pointers, so a
/// deeper chain is a fault of the facts table and ends here.
const MAX_ALWAYS_WRITTEN: usize = 32;

/// Which of two forms: they differ in empty lists of fields that are always written.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// Such a list is the absent one, as in what upstream reads from its storage.
    Stored,
    /// It is what somebody set.
    Sent,
}

/// Brings a value into canonical form.
pub fn canonical(schema: &Schema, value: &mut Value) {
    walk(schema, value, 0, Form::Stored);
}

/// The same, but an empty list that was sent stays one where lists are always written: it has an owner.
pub fn canonical_sent(schema: &Schema, value: &mut Value) {
    walk(schema, value, 0, Form::Sent);
}

fn walk(schema: &Schema, value: &mut Value, written: usize, form: Form) {
    match (&schema.shape, value) {
        (Shape::Object(object), Value::Object(map)) => fields(schema, object, map, written, form),
        (Shape::Map(shape), Value::Object(map)) => {
            let values = shape.values.get();
            if !is_scalar(&values.shape) {
                map.values_mut().for_each(|value| walk(values, value, 0, form));
            }
        }
        (Shape::List(shape), Value::Array(list)) => {
            let items = shape.items.get();
            if !is_scalar(&items.shape) {
                list.iter_mut().for_each(|value| walk(items, value, 0, form));
            }
        }
        _ => {}
    }
}

const fn is_scalar(shape: &Shape) -> bool {
    !matches!(shape, Shape::Object(_) | Shape::Map(_) | Shape::List(_))
}

fn fields(schema: &Schema, object: &ObjectShape, map: &mut Map<String, Value>, written: usize, form: Form) {
    map.retain(|name, value| match object.fields.get(name.as_str()) {
        Some(field) => {
            walk(&field.schema, value, written + 1, form);
            let is_always_written = form == Form::Stored && field.omit == Omit::Never;
            let is_list = matches!(field.schema.shape, Shape::List(_));
            if is_always_written && is_list && value.as_array().is_some_and(Vec::is_empty) {
                *value = Value::Null;
            }
            !is_left_out(field, value)
        }
        None => {
            if let Some(additional) = &object.additional {
                walk(additional, value, 0, form);
                return !value.is_null() || additional.nullable || is_open(additional);
            }
            !value.is_null() || schema.preserve_unknown
        }
    });
    if written >= MAX_ALWAYS_WRITTEN {
        return;
    }
    for (name, field) in object.fields.iter().filter(|(_, field)| is_written_when_absent(field)) {
        if !map.contains_key(&**name) {
            let mut value = if field.omit == Omit::Nil { Value::Null } else { zero(&field.schema.shape) };
            walk(&field.schema, &mut value, written + 1, form);
            map.insert(name.to_string(), value);
        }
    }
}

/// A schema that says nothing: its nulls are the user's.
fn is_open(schema: &Schema) -> bool {
    matches!(schema.shape, Shape::Any)
}

/// Whether Go leaves out a field with this value.
pub(crate) fn is_left_out(field: &Field, value: &Value) -> bool {
    match field.omit {
        Omit::Absent => value.is_null() && !field.schema.nullable && field.schema.default.is_none(),
        Omit::Null => value.is_null(),
        Omit::Empty => !matches!(field.schema.shape, Shape::Object(_)) && is_empty(value),
        Omit::Zero => is_zero(&field.schema, value),
        Omit::Nil | Omit::Never => false,
    }
}

/// Structs are never empty for `omitempty`.
fn is_written_when_absent(field: &Field) -> bool {
    match field.omit {
        Omit::Nil | Omit::Never => true,
        Omit::Empty => matches!(field.schema.shape, Shape::Object(_)),
        Omit::Absent | Omit::Null | Omit::Zero => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// Go's `omitzero`: every part is its type's zero value. An empty list is not the absent list.
fn is_zero(schema: &Schema, value: &Value) -> bool {
    match (&schema.shape, value) {
        (Shape::Object(object), Value::Object(map)) => map.iter().all(|(name, value)| {
            object.fields.get(name.as_str()).is_some_and(|field| is_zero(&field.schema, value))
        }),
        (Shape::Quantity, Value::String(text)) => text == "0",
        (Shape::Duration, Value::String(text)) => text == "0s",
        (_, Value::Array(_) | Value::Object(_)) => false,
        (_, other) => is_empty(other),
    }
}

/// Zero value of a Go type that is no pointer.
pub(crate) fn zero(shape: &Shape) -> Value {
    match shape {
        Shape::Boolean => Value::Bool(false),
        Shape::Integer { .. } | Shape::Number | Shape::IntOrString => Value::from(0),
        Shape::String => Value::String(String::new()),
        Shape::Duration => Value::String("0s".to_owned()),
        Shape::Quantity => Value::String("0".to_owned()),
        Shape::Object(_) => Value::Object(Map::new()),
        Shape::Any | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Map(_) | Shape::List(_) => {
            Value::Null
        }
    }
}

#[cfg(test)]
mod tests;
