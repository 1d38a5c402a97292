//! A JSON value becomes a message.
//!
//! The value is canonical; a part that is not of its schema's shape is left out. Absent fields stay absent, where Go
//! writes zero values of fields that are no pointers: readers cannot tell the difference.

use super::{Message, Part, Wire};
use crate::{
    decode::duration,
    schema::{ListShape, ObjectShape, Schema, Shape},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use proa_meta::time::{MicroTime, Time};
use serde_json::{Map, Value};

/// Appends the message of a canonical value.
pub fn encode(schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    if let (Shape::Object(shape), Value::Object(map)) = (&schema.shape, value) {
        object(shape, map, out);
    }
}

fn object(shape: &ObjectShape, map: &Map<String, Value>, out: &mut Vec<u8>) {
    if let Some(parts) = &shape.message {
        message(shape, parts, map, out);
    }
}

fn message(shape: &ObjectShape, parts: &Message, map: &Map<String, Value>, out: &mut Vec<u8>) {
    for (number, part) in &parts.0 {
        match part {
            Part::Field(name) => {
                let Some(field) = shape.fields.get(*name) else { continue };
                if let Some(value) = map.get(*name).filter(|value| !value.is_null()) {
                    node(*number, &field.schema, value, out);
                }
            }
            Part::Inlined(inner) => {
                let start = out.len();
                let written = nested(*number, out, |out| message(shape, inner, map, out));
                if written == 0 {
                    out.truncate(start);
                }
            }
        }
    }
}

/// A field: each element of a list, each entry of a map, or the value.
fn node(number: u32, schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    match (&schema.shape, value) {
        (Shape::List(list), Value::Array(items)) if !matches!(schema.wire, Wire::Wrapped) => {
            elements(number, list, items, out);
        }
        (Shape::Map(shape), Value::Object(map)) => {
            for (key, value) in map {
                nested(number, out, |out| {
                    bytes(1, key.as_bytes(), out);
                    element(2, &shape.values, value, out);
                });
            }
        }
        _ => element(number, schema, value, out),
    }
}

fn elements(number: u32, list: &ListShape, items: &[Value], out: &mut Vec<u8>) {
    for item in items {
        element(number, &list.items, item, out);
    }
}

/// One value; null is an empty message.
fn element(number: u32, schema: &Schema, value: &Value, out: &mut Vec<u8>) {
    match (&schema.shape, value) {
        (Shape::Boolean, Value::Bool(on)) => varint_field(number, u64::from(*on), out),
        (Shape::Integer { .. }, Value::Number(whole)) => {
            varint_field(number, whole.as_i64().unwrap_or_default().cast_unsigned(), out);
        }
        (Shape::Number, Value::Number(of)) => {
            varint(u64::from(number) << 3 | 1, out);
            out.extend_from_slice(&of.as_f64().unwrap_or_default().to_le_bytes());
        }
        (Shape::String, Value::String(text)) => bytes(number, text.as_bytes(), out),
        (Shape::Bytes, Value::String(text)) => {
            bytes(number, &STANDARD.decode(text).unwrap_or_default(), out);
        }
        (Shape::Object(shape), Value::Object(map)) => {
            nested(number, out, |out| object(shape, map, out));
        }
        (Shape::List(list), Value::Array(items)) => {
            nested(number, out, |out| elements(1, list, items, out));
        }
        (Shape::Any, value) => {
            nested(number, out, |out| any(&schema.wire, value, out));
        }
        (shape, Value::Null) if !matches!(shape, Shape::Boolean | Shape::Integer { .. } | Shape::Number) => {
            bytes(number, b"", out);
        }
        (shape, value) => special(number, shape, value, out),
    }
}

/// Messages whose JSON form is a scalar.
fn special(number: u32, shape: &Shape, value: &Value, out: &mut Vec<u8>) {
    match (shape, value) {
        (Shape::Time, Value::String(text)) => {
            let Ok(time) = Time::parse(text) else { return };
            nested(number, out, |out| time_parts(time.timestamp().as_second(), 0, out));
        }
        (Shape::MicroTime, Value::String(text)) => {
            let Ok(time) = MicroTime::parse(text) else { return };
            // Parts before 1970 point in one direction; protobuf wants the fraction to count forward.
            let nanoseconds = time.timestamp().as_nanosecond();
            let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).unwrap_or_default();
            let rest = u64::try_from(nanoseconds.rem_euclid(1_000_000_000)).unwrap_or_default();
            nested(number, out, |out| time_parts(seconds, rest, out));
        }
        (Shape::Duration, Value::String(text)) => {
            let Some(nanoseconds) = duration::parse(text) else { return };
            nested(number, out, |out| varint_field(1, nanoseconds.cast_unsigned(), out));
        }
        (Shape::Quantity, Value::String(text)) => {
            nested(number, out, |out| bytes(1, text.as_bytes(), out));
        }
        (Shape::IntOrString, Value::Number(whole)) => {
            nested(number, out, |out| {
                varint_field(1, 0, out);
                varint_field(2, whole.as_i64().unwrap_or_default().cast_unsigned(), out);
            });
        }
        (Shape::IntOrString, Value::String(text)) => {
            nested(number, out, |out| {
                varint_field(1, 1, out);
                bytes(3, text.as_bytes(), out);
            });
        }
        _ => {}
    }
}

/// Both always, for an empty message is Go's zero time and not 1970.
fn time_parts(seconds: i64, nanoseconds: u64, out: &mut Vec<u8>) {
    varint_field(1, seconds.cast_unsigned(), out);
    varint_field(2, nanoseconds, out);
}

fn any(wire: &Wire, value: &Value, out: &mut Vec<u8>) {
    match (wire, value) {
        (Wire::Raw, Value::Null) | (Wire::Plain | Wire::Wrapped, _) => {}
        (Wire::Raw, value) => {
            nested(1, out, |out| {
                // Writing to memory cannot fail.
                let _ = serde_json::to_writer(out, value);
            });
        }
        (Wire::SchemaOrBool(_), Value::Bool(allows)) => varint_field(1, u64::from(*allows), out),
        (Wire::SchemaOrBool(schema), value) => {
            varint_field(1, 1, out);
            element(2, schema, value, out);
        }
        (Wire::SchemaOrArray(schema), Value::Array(items)) => {
            items.iter().for_each(|item| element(2, schema, item, out));
        }
        (Wire::SchemaOrStrings(_), Value::Array(items)) => {
            items.iter().filter_map(Value::as_str).for_each(|text| bytes(2, text.as_bytes(), out));
        }
        (Wire::SchemaOrArray(schema) | Wire::SchemaOrStrings(schema), value) => {
            element(1, schema, value, out);
        }
    }
}

pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn varint_field(number: u32, value: u64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    varint(value, out);
}

pub(super) fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

/// A length and what it is the length of; returns the length. Most messages are short: one byte is set aside for it.
pub(super) fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> usize {
    varint(u64::from(number) << 3 | 2, out);
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length.to_le_bytes()[0];
    } else {
        let mut prefix = Vec::with_capacity(10);
        varint(length as u64, &mut prefix);
        out.splice(at..=at, prefix);
    }
    length
}
