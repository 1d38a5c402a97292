//! Types of structural schemas.
//!
//! Upstream: apiserver `pkg/cel/common/schemas.go`.

use super::{
    escape,
    types::{Kind, ObjectType, Type},
};
use crate::schema::{MapShape, ObjectShape, Rules, Schema, Shape};
use serde_json::Value;
use std::{collections::BTreeMap, sync::Arc};

/// Bytes of the largest request.
pub(super) const LARGEST_REQUEST: u64 = 3 << 20;
const DATE_TIME: u64 = 32;
const DATE: u64 = 12;

/// The type of values of a schema, `None` when expressions cannot know it. `name` is for messages. Roots of objects
/// always have `apiVersion`, `kind` and names.
pub fn declared(schema: &Schema, is_root: bool, name: &str) -> Option<Type> {
    let rules = schema.rules.as_deref();
    let max_length = rules.and_then(|rules| rules.max_length);
    match &schema.shape {
        Shape::IntOrString => {
            let max = max_length.map_or(LARGEST_REQUEST - 2, |max| max.saturating_mul(4));
            Some(sized(Kind::Dyn, max, 1))
        }
        Shape::List(list) => {
            let items = list.items.get();
            let of = declared(items, items.embedded_resource, &format!("{name}.@idx"))?;
            let max = rules.and_then(|rules| rules.max_items);
            let max = max.unwrap_or_else(|| (LARGEST_REQUEST - 2) / (of.min_size + 1));
            Some(sized(Kind::List(Arc::new(of)), max, 2))
        }
        Shape::Map(MapShape { values, .. }) if !is_root => map(values.get(), rules, name),
        Shape::Object(object) => match &object.additional {
            Some(values) if object.fields.is_empty() && !is_root => map(values.get(), rules, name),
            _ => Some(object_of(object, rules, is_root, name)),
        },
        Shape::Map(_) => Some(object_of(&ObjectShape::default(), rules, is_root, name)),
        Shape::String => Some(text(rules, max_length)),
        Shape::Boolean => Some(sized(Kind::Bool, 0, 4)),
        Shape::Number => Some(sized(Kind::Double, 0, 1)),
        Shape::Integer { .. } => Some(sized(Kind::Int, 0, 1)),
        Shape::Any if is_root => Some(object_of(&ObjectShape::default(), rules, is_root, name)),
        Shape::Any | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration | Shape::Quantity => {
            None
        }
    }
}

/// The type of an object whose fields are declared here (`request`, `variables`).
pub fn object_type(name: &str, fields: Vec<(&str, Type)>) -> Type {
    Type::object(name, fields)
}

fn sized(kind: Kind, max: u64, min_size: u64) -> Type {
    Type { kind, max: Some(max), min_size }
}

fn map(values: &Schema, rules: Option<&Rules>, name: &str) -> Option<Type> {
    let of = declared(values, values.embedded_resource, &format!("{name}.@elem"))?;
    let max = rules.and_then(|rules| rules.max_properties);
    let max = max.unwrap_or_else(|| (LARGEST_REQUEST - 2) / (of.min_size + 6));
    // Upstream gives keys no size.
    let key = sized(Kind::String, 0, 2);
    Some(sized(Kind::Map(Arc::new((key, of))), max, 2))
}

fn text(rules: Option<&Rules>, max_length: Option<u64>) -> Type {
    match rules.and_then(|rules| rules.format.as_deref()) {
        Some("byte") => sized(Kind::Bytes, max_length.unwrap_or(LARGEST_REQUEST - 2), 2),
        Some("duration") => sized(Kind::Duration, DATE_TIME, 3),
        Some("date") => sized(Kind::Timestamp, DATE, DATE),
        Some("date-time") => sized(Kind::Timestamp, DATE_TIME, 21),
        _ => {
            let longest = |allowed: &Vec<Value>| {
                allowed.iter().filter_map(|value| value.as_str()).map(str::len).max().unwrap_or(0)
            };
            let of_enum = rules.and_then(|rules| rules.enumeration.as_ref()).map(longest);
            let max = match (max_length, of_enum) {
                (Some(max), _) => max.saturating_mul(4),
                (None, Some(longest)) => u64::try_from(longest).unwrap_or(u64::MAX),
                (None, None) => LARGEST_REQUEST - 2,
            };
            sized(Kind::String, max, 2)
        }
    }
}

fn object_of(object: &ObjectShape, rules: Option<&Rules>, is_root: bool, name: &str) -> Type {
    let mut fields: BTreeMap<Box<str>, Type> = BTreeMap::new();
    let mut min_size = 2;
    let is_required =
        |field: &str| rules.is_some_and(|rules| rules.required.iter().any(|name| **name == *field));
    for (field, declaration) in &object.fields {
        let schema = declaration.schema.get();
        let Some(ty) = declared(schema, schema.embedded_resource, &format!("{name}.{field}")) else {
            continue;
        };
        let has_default = declaration.default.is_some() || schema.default.is_some();
        if (declaration.required || is_required(field)) && !has_default {
            min_size += u64::try_from(field.len()).unwrap_or(0) + ty.min_size + 4;
        }
        if let Some(escaped) = escape::escape(field) {
            fields.insert(escaped.into(), ty);
        }
    }
    if is_root {
        let plain = || sized(Kind::String, LARGEST_REQUEST - 2, 2);
        for field in ["apiVersion", "kind"] {
            fields.entry(field.into()).or_insert_with(plain);
        }
        let has_names = |ty: &Type| match &ty.kind {
            Kind::Object(object) => {
                ["name", "generateName"].iter().all(|name| object.fields.contains_key(*name))
            }
            _ => false,
        };
        if !fields.get("metadata").is_some_and(has_names) {
            let names = ["name", "generateName"].map(|field| (field.into(), plain()));
            let metadata = ObjectType { name: format!("{name}.metadata").into(), fields: names.into() };
            fields.insert("metadata".into(), sized(Kind::Object(Arc::new(metadata)), 0, 2));
        }
    }
    sized(Kind::Object(Arc::new(ObjectType { name: name.into(), fields })), 0, min_size)
}
