//! A message becomes a JSON value.
//!
//! What Go's JSON leaves out is left out here too, so that a body goes on as if it had come as JSON. A field that
//! comes twice is merged when it is a message and replaced when it is not, as protobuf demands.

use super::{
    MAX_DEPTH, Message, Part, Wire,
    reader::{DecodeError, Decoded, Payload, Reader},
};
use crate::{
    canonical,
    decode::duration,
    json,
    schema::{ListShape, MapShape, ObjectShape, Schema, Shape},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use proa_meta::{
    quantity,
    time::{MicroTime, Time},
};
use serde_json::{Map, Number, Value};

/// Decodes a message of a type.
///
/// # Errors
/// Bytes that are cut off, of a wrong wire type, nested too deeply, or whose values have no JSON form.
pub fn decode(schema: &Schema, bytes: &[u8]) -> Result<Value, DecodeError> {
    let mut value = Value::Null;
    node(schema, Payload::Bytes(bytes), &mut value, 0)?;
    Ok(value)
}

/// Decodes one occurrence of a field into what its earlier occurrences left.
fn node(schema: &Schema, payload: Payload<'_>, slot: &mut Value, depth: usize) -> Decoded<()> {
    if depth > MAX_DEPTH {
        return Err(DecodeError::of("proto: exceeded max depth"));
    }
    match &schema.shape {
        Shape::Object(object) => return self::object(object, payload.bytes()?, slot, depth),
        Shape::Map(map) => return entry(map, payload.bytes()?, members(slot), depth),
        Shape::List(list) if matches!(schema.wire, Wire::Wrapped) => {
            let elements = elements(slot);
            let mut reader = Reader::new(payload.bytes()?);
            while let Some((number, payload)) = reader.field()? {
                if number == 1 {
                    element(list, payload, elements, depth)?;
                }
            }
        }
        Shape::List(list) => return element(list, payload, elements(slot), depth),
        _ => *slot = scalar(schema, payload, depth)?,
    }
    Ok(())
}

fn scalar(schema: &Schema, payload: Payload<'_>, depth: usize) -> Decoded<Value> {
    Ok(match &schema.shape {
        Shape::Boolean => Value::Bool(payload.varint()? != 0),
        Shape::Integer { bits } => Value::from(payload.integer(*bits)?),
        Shape::Number => double(payload.double()?)?,
        Shape::String => Value::from(payload.text()?),
        Shape::Bytes => Value::String(STANDARD.encode(payload.bytes()?)),
        Shape::Time => time(payload.bytes()?, |at| Time::new(at).to_string())?,
        Shape::MicroTime => time(payload.bytes()?, |at| MicroTime::new(at).to_string())?,
        Shape::Duration => Value::String(duration::format(nanoseconds(payload.bytes()?)?)),
        Shape::Quantity => quantity(payload.bytes()?)?,
        Shape::IntOrString => int_or_string(payload.bytes()?)?,
        Shape::Any => any(&schema.wire, payload.bytes()?, depth)?,
        Shape::Object(_) | Shape::Map(_) | Shape::List(_) => Value::Null,
    })
}

fn object(shape: &ObjectShape, bytes: &[u8], slot: &mut Value, depth: usize) -> Decoded<()> {
    let map = members(slot);
    let Some(parts) = &shape.message else {
        return Err(DecodeError::of("proto: the type has no protobuf form"));
    };
    message(shape, parts, bytes, map, depth)?;
    map.retain(|name, value| {
        shape.fields.get(name.as_str()).is_none_or(|field| !canonical::is_left_out(field, value))
    });
    Ok(())
}

fn message(
    shape: &ObjectShape,
    parts: &Message,
    bytes: &[u8],
    map: &mut Map<String, Value>,
    depth: usize,
) -> Decoded<()> {
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        match parts.part(number) {
            Some(Part::Field(name)) => {
                let Some(field) = shape.fields.get(*name) else { continue };
                if !map.contains_key(*name) {
                    map.insert((*name).to_owned(), Value::Null);
                }
                if let Some(slot) = map.get_mut(*name) {
                    node(&field.schema, payload, slot, depth + 1)?;
                }
            }
            Some(Part::Inlined(inner)) => message(shape, inner, payload.bytes()?, map, depth + 1)?,
            None => {}
        }
    }
    Ok(())
}

fn members(slot: &mut Value) -> &mut Map<String, Value> {
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("made an object above")
}

fn elements(slot: &mut Value) -> &mut Vec<Value> {
    if !slot.is_array() {
        *slot = Value::Array(Vec::new());
    }
    slot.as_array_mut().expect("made a list above")
}

/// One entry of a map: key 1, value 2, both with their zero values when absent.
fn entry(shape: &MapShape, bytes: &[u8], map: &mut Map<String, Value>, depth: usize) -> Decoded<()> {
    let values = shape.values.get();
    let (mut key, mut value) = ("", None);
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        match number {
            1 => key = payload.text()?,
            2 => node(values, payload, value.get_or_insert(Value::Null), depth + 1)?,
            _ => {}
        }
    }
    let absent = || match &values.shape {
        Shape::Bytes => Value::String(String::new()),
        // As an entry whose value is an empty message, which is what encoding it again writes.
        Shape::List(_) => Value::Array(Vec::new()),
        Shape::Map(_) => Value::Object(Map::new()),
        other => canonical::zero(other),
    };
    map.insert(key.to_owned(), value.unwrap_or_else(absent));
    Ok(())
}

/// One element, or several that are packed.
fn element(shape: &ListShape, payload: Payload<'_>, list: &mut Vec<Value>, depth: usize) -> Decoded<()> {
    let items = shape.items.get();
    if let Payload::Bytes(bytes) = payload
        && matches!(items.shape, Shape::Boolean | Shape::Integer { .. } | Shape::Number)
    {
        let mut reader = Reader::new(bytes);
        while !reader.is_empty() {
            let payload = match items.shape {
                Shape::Number => Payload::Fixed64(reader.fixed64()?),
                _ => Payload::Varint(reader.varint()?),
            };
            list.push(scalar(items, payload, depth)?);
        }
        return Ok(());
    }
    let mut item = Value::Null;
    node(items, payload, &mut item, depth + 1)?;
    list.push(item);
    Ok(())
}

/// Whole numbers are written without a fraction, as Go does.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
fn double(value: f64) -> Decoded<Value> {
    const WHOLE: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= WHOLE {
        return Ok(Value::from(value as i64));
    }
    Number::from_f64(value)
        .map(Value::Number)
        .ok_or_else(|| DecodeError::with(format!("json: unsupported value: {value}")))
}

/// Seconds and nanoseconds since 1970; Go's zero time is `null`.
fn time(bytes: &[u8], format: impl FnOnce(Timestamp) -> String) -> Decoded<Value> {
    const YEARS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    let (mut seconds, mut nanoseconds) = (0, 0);
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        match number {
            1 => seconds = payload.integer(64)?,
            2 => nanoseconds = payload.integer(32)?,
            _ => {}
        }
    }
    let nanoseconds = i32::try_from(nanoseconds).ok().filter(|n| (0..1_000_000_000).contains(n));
    let at = nanoseconds.filter(|_| YEARS.contains(&seconds)).and_then(|n| Timestamp::new(seconds, n).ok());
    let at = at.ok_or(DecodeError::of("proto: time outside of the years 1 to 9999"))?;
    if at.as_second() == *YEARS.start() && at.subsec_nanosecond() == 0 {
        return Ok(Value::Null);
    }
    Ok(Value::String(format(at)))
}

fn nanoseconds(bytes: &[u8]) -> Decoded<i64> {
    let mut value = 0;
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        if number == 1 {
            value = payload.integer(64)?;
        }
    }
    Ok(value)
}

fn quantity(bytes: &[u8]) -> Decoded<Value> {
    let mut text = "0";
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        if number == 1 {
            text = payload.text()?;
        }
    }
    let stored = quantity::stored_text(text).map_err(|e| DecodeError::with(e.to_string()))?;
    Ok(Value::String(stored.into_owned()))
}

fn int_or_string(bytes: &[u8]) -> Decoded<Value> {
    let (mut kind, mut whole, mut text) = (0, 0, "");
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        match number {
            1 => kind = payload.integer(64)?,
            2 => whole = payload.integer(32)?,
            3 => text = payload.text()?,
            _ => {}
        }
    }
    match kind {
        0 => Ok(Value::from(whole)),
        1 => Ok(Value::from(text)),
        _ => Err(DecodeError::of("impossible IntOrString.Type")),
    }
}

fn any(wire: &Wire, bytes: &[u8], depth: usize) -> Decoded<Value> {
    match wire {
        Wire::Raw => raw(bytes),
        Wire::SchemaOrBool(schema) => {
            let (found, parts) = alternatives(schema, &Schema::of(Shape::Boolean), bytes, depth)?;
            let allows = parts.last().cloned().unwrap_or(Value::Bool(false));
            Ok(found.unwrap_or(allows))
        }
        Wire::SchemaOrArray(schema) => {
            let (found, parts) = alternatives(schema, schema, bytes, depth)?;
            Ok(if parts.is_empty() { found.unwrap_or_default() } else { Value::Array(parts) })
        }
        Wire::SchemaOrStrings(schema) => {
            let (found, parts) = alternatives(schema, &Schema::of(Shape::String), bytes, depth)?;
            Ok(if parts.is_empty() { found.unwrap_or_default() } else { Value::Array(parts) })
        }
        Wire::Plain | Wire::Wrapped => Err(DecodeError::of("proto: the field has no protobuf form")),
    }
}

fn raw(bytes: &[u8]) -> Decoded<Value> {
    let mut text: &[u8] = b"";
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        if number == 1 {
            text = payload.bytes()?;
        }
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    json::parse(text).map(|parsed| parsed.value).map_err(|e| DecodeError::with(e.to_string()))
}

/// The schema, and what stands in its place. `JSONSchemaPropsOrBool` numbers them the other way round.
fn alternatives(
    schema: &Schema,
    other: &Schema,
    bytes: &[u8],
    depth: usize,
) -> Decoded<(Option<Value>, Vec<Value>)> {
    let (schema_number, other_number) = if matches!(other.shape, Shape::Boolean) { (2, 1) } else { (1, 2) };
    let (mut found, mut parts) = (None, Vec::new());
    let mut reader = Reader::new(bytes);
    while let Some((number, payload)) = reader.field()? {
        if number == schema_number {
            node(schema, payload, found.get_or_insert(Value::Null), depth + 1)?;
        } else if number == other_number {
            let mut part = Value::Null;
            node(other, payload, &mut part, depth + 1)?;
            parts.push(part);
        }
    }
    Ok((found, parts))
}
