//! JSON as values, and back.

use super::{
    escape,
    value::{Key, List, Map, Text, Value},
};
use crate::schema::{Schema, Shape};
use base64::Engine;
use serde_json::{Map as JsonMap, Value as Json};
use std::sync::Arc;

/// A view. The schema tells dates from text and whole numbers from others.
pub(super) fn lift<'a>(value: &'a Json, schema: Option<&'a Schema>) -> Value<'a> {
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => {
            let is_float = schema.is_some_and(|schema| matches!(schema.shape, Shape::Number));
            match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) if !is_float => Value::Int(whole),
                (_, Some(float)) => Value::Double(float),
                _ => Value::Null,
            }
        }
        Json::String(text) => lift_text(text, schema),
        Json::Array(list) => Value::List(List::Json(list, schema)),
        Json::Object(map) => Value::Map(Map::Json(map, schema)),
    }
}

fn lift_text<'a>(text: &'a str, schema: Option<&Schema>) -> Value<'a> {
    let plain = Value::String(Text::Borrowed(text));
    let format = schema
        .filter(|schema| matches!(schema.shape, Shape::String))
        .and_then(|schema| schema.rules.as_ref()?.format.as_deref());
    let typed = match format {
        Some("byte") => base64::engine::general_purpose::STANDARD
            .decode(text)
            .ok()
            .map(|bytes| Value::Bytes(bytes.into())),
        Some("date") => format!("{text}T00:00:00Z").parse().ok().map(Value::Timestamp),
        Some("date-time") => super::time::parse_timestamp(text).map(Value::Timestamp),
        Some("duration") => super::time::parse_any_duration(text).map(Value::Duration),
        _ => return plain,
    };
    typed.unwrap_or(plain)
}

/// The member under the name that expressions use. Of objects with declared fields, others are not seen.
pub(super) fn member<'a>(
    map: &'a JsonMap<String, Json>,
    schema: Option<&'a Schema>,
    name: &str,
) -> Option<Value<'a>> {
    let Some(schema) = schema else { return map.get(name).map(|value| lift(value, None)) };
    match &schema.shape {
        Shape::Object(object) => {
            let own = escape::unescape(name)?;
            let field = object.fields.get(&*own).map(|field| field.schema.get());
            let implied = matches!(&*own, "apiVersion" | "kind" | "metadata");
            if field.is_none() && !implied {
                return None;
            }
            // Of metadata, the names are always there, whatever the schema says of it.
            let field = field.filter(|field| own != "metadata" || has_fields(field));
            map.get(&*own).filter(|value| !value.is_null()).map(|value| lift(value, field))
        }
        Shape::Map(shape) => map.get(name).map(|value| lift(value, Some(shape.values.get()))),
        _ => map.get(name).map(|value| lift(value, None)),
    }
}

fn has_fields(schema: &Schema) -> bool {
    matches!(&schema.shape, Shape::Object(object) if
        ["name", "generateName"].iter().all(|name| object.fields.contains_key(*name)))
}

/// As JSON; `None` for what JSON has no form for.
pub(super) fn lower(value: &Value<'_>) -> Option<Json> {
    Some(match value {
        Value::Null | Value::Optional(None) => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Int(number) => Json::from(*number),
        Value::Uint(number) => Json::from(*number),
        Value::Double(number) => Json::from(*number),
        Value::String(text) => Json::String(text.to_string()),
        Value::Bytes(bytes) => Json::String(base64::engine::general_purpose::STANDARD.encode(bytes)),
        Value::Duration(nanos) => Json::String(super::time::duration_text(*nanos)),
        Value::Timestamp(at) => Json::String(at.to_string()),
        Value::Optional(Some(value)) => lower(value)?,
        Value::List(List::Json(list, _)) => Json::Array(list.to_vec()),
        Value::List(list) => Json::Array(list.iter().map(|item| lower(&item)).collect::<Option<_>>()?),
        Value::Map(Map::Json(map, _)) => Json::Object((*map).clone()),
        Value::Map(Map::Owned(map)) => {
            let name = |key: &Key| match key {
                Key::String(text) => text.to_string(),
                Key::Bool(flag) => flag.to_string(),
                Key::Int(number) => number.to_string(),
            };
            let entries = map.iter().map(|(key, value)| Some((name(key), lower(value)?)));
            Json::Object(entries.collect::<Option<_>>()?)
        }
        Value::Kube(kube) => Json::String(kube.to_string()),
        Value::Type(_) | Value::Record(_) | Value::Foreign(_) => return None,
    })
}

/// A constant that outlives every object.
pub(super) fn constant(text: &str) -> Value<'static> {
    Value::String(Text::Owned(Arc::from(text)))
}
