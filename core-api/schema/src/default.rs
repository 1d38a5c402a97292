//! Declared defaults take the place of absent values.
//!
//! A default fills an absent field, and a null that is not `nullable`; other such nulls are dropped first. Defaults
//! reach into defaults. Built-in fields may override their type's default, and structs that Go always has are
//! defaulted though absent. Idempotent. Deliberately absent: defaults that depend on other fields (kinds' hooks).
//! Upstream: apiextensions `pkg/apiserver/schema/defaulting/{algorithm,prunenulls}.go`.

use crate::schema::{Field, ObjectShape, Omit, Schema, Shape};
use serde_json::{Map, Value};

/// Sets defaults.
pub fn default_values(schema: &Schema, value: &mut Value) {
    walk(schema, value, 0);
}

/// As in `canonical`: a chain of always-present structs ends somewhere.
const MAX_ALWAYS_PRESENT: usize = 32;

fn walk(schema: &Schema, value: &mut Value, created: usize) {
    match (&schema.shape, value) {
        (Shape::Object(object), Value::Object(map)) => fields(object, map, created),
        (Shape::Map(shape), Value::Object(map)) => entries(shape.values.get(), map),
        (Shape::List(shape), Value::Array(list)) => {
            let items = shape.items.get();
            for item in list {
                if let (true, false, Some(default)) = (item.is_null(), items.nullable, &items.default) {
                    *item = default.clone();
                }
                walk(items, item, 0);
            }
        }
        _ => {}
    }
}

fn fields(object: &ObjectShape, map: &mut Map<String, Value>, created: usize) {
    map.retain(|name, value| !value.is_null() || keeps_null(object, name));
    for (name, field) in &object.fields {
        match map.get_mut(&**name) {
            Some(value) => {
                if let (true, false, Some(default)) =
                    (value.is_null(), field.schema.nullable, default_of(field))
                {
                    *value = default.clone();
                }
                walk(&field.schema, value, 0);
            }
            None => absent(name, field, map, created),
        }
    }
    if let Some(additional) = &object.additional {
        for (name, value) in map.iter_mut() {
            if !object.fields.contains_key(name.as_str()) {
                entry(additional.get(), value);
            }
        }
    }
}

fn absent(name: &str, field: &Field, map: &mut Map<String, Value>, created: usize) {
    let mut value = match default_of(field) {
        Some(default) => default.clone(),
        None if is_always_present(field) && created < MAX_ALWAYS_PRESENT => Value::Object(Map::new()),
        None => return,
    };
    walk(&field.schema, &mut value, created + 1);
    let is_empty_struct = default_of(field).is_none() && value.as_object().is_some_and(Map::is_empty);
    if !is_empty_struct {
        map.insert(name.to_owned(), value);
    }
}

fn entries(values: &Schema, map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null() || values.nullable || values.default.is_some() || is_open(values));
    map.values_mut().for_each(|value| entry(values, value));
}

fn entry(schema: &Schema, value: &mut Value) {
    if let (true, false, Some(default)) = (value.is_null(), schema.nullable, &schema.default) {
        *value = default.clone();
    }
    walk(schema, value, 0);
}

fn default_of(field: &Field) -> Option<&Value> {
    field.default.as_ref().or(field.schema.default.as_ref())
}

/// A null that no default replaces stays only where null is a value or where no schema forbids it.
fn keeps_null(object: &ObjectShape, name: &str) -> bool {
    match (object.fields.get(name), &object.additional) {
        (Some(field), _) => field.schema.nullable || default_of(field).is_some(),
        (None, Some(additional)) => {
            additional.nullable || additional.default.is_some() || is_open(additional)
        }
        (None, None) => true,
    }
}

/// Any value, by a schema that says nothing (`additionalProperties: true`, free-form maps).
fn is_open(schema: &Schema) -> bool {
    matches!(schema.shape, Shape::Any) && !schema.preserve_unknown
}

/// A struct that is no pointer in Go.
fn is_always_present(field: &Field) -> bool {
    matches!(field.omit, Omit::Empty | Omit::Never | Omit::Zero)
        && matches!(field.schema.shape, Shape::Object(_))
}

#[cfg(test)]
mod tests;
