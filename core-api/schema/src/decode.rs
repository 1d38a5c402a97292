//! A parsed body becomes an object of a built-in type, in place.
//!
//! What Go's decoder into a typed struct does: unknown fields are dropped and reported, `null` means absent, values
//! of a wrong type are refused, and scalars with a text form of their own (times, quantities, base64, durations)
//! take their canonical form. Afterwards every value has the JSON type that its schema says.
//! Deliberately absent: defaults, zero values (see `canonical`), validation. Custom kinds are pruned instead.
//! Upstream: sigs.k8s.io/json, apimachinery `pkg/apis/meta/v1/{time,micro_time,duration}.go`, `pkg/util/intstr`.

use crate::{
    json::{MAX_ISSUES, StrictIssue},
    protobuf::Wire,
    schema::{ObjectShape, Schema, SchemaRef, Shape},
};
use base64::{Engine as _, alphabet, engine};
use proa_meta::{
    ApiError, FieldPath, gvk,
    quantity::{self, Quantity},
    time::{MicroTime, Time},
};
use serde_json::{Map, Value};
use std::{borrow::Cow, fmt};

pub(crate) mod duration;
mod site;

use site::Site;

/// Why a value is not of its type. Prints as Go's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(String);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

impl DecodeError {
    /// 400 for a body of `kind` in `version` (without its group).
    pub fn handled_as(&self, kind: &str, version: &str) -> ApiError {
        cannot_be_handled(kind, version, &self.0)
    }
}

/// 400: `KIND in version "VERSION" cannot be handled as a KIND: WHY`. `why` may be
/// [`strict_text`](crate::json::strict_text).
pub fn cannot_be_handled(kind: &str, version: &str, why: &str) -> ApiError {
    ApiError::bad_request(format!("{kind} in version {version:?} cannot be handled as a {kind}: {why}"))
}

/// Decodes a whole object, whose `apiVersion` and `kind` name it in errors. Returns what strictness would refuse.
pub fn decode(schema: &Schema, value: &mut Value) -> Result<Vec<StrictIssue>, ApiError> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    decode_part(schema, value, &kind).map_err(|error| {
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let version = gvk::split_api_version(text("apiVersion")).map_or("", |(_, version)| version);
        error.handled_as(text("kind"), version)
    })
}

/// Decodes a value that has no kind of its own, such as `metadata`; `type_name` names its type in errors.
pub fn decode_part(
    schema: &Schema,
    value: &mut Value,
    type_name: &str,
) -> Result<Vec<StrictIssue>, DecodeError> {
    let mut decoder = Decoder { issues: Vec::new() };
    decoder.node(schema, type_name, value, &Site::ROOT)?;
    Ok(decoder.issues)
}

struct Decoder {
    issues: Vec<StrictIssue>,
}

type Decoded = Result<(), DecodeError>;

impl Decoder {
    fn child(&mut self, schema: &SchemaRef, value: &mut Value, site: &Site<'_>) -> Decoded {
        self.node(schema.get(), schema.type_name().unwrap_or_default(), value, site)
    }

    fn node(&mut self, schema: &Schema, type_name: &str, value: &mut Value, site: &Site<'_>) -> Decoded {
        match (&schema.shape, &mut *value) {
            (Shape::Any, value) => self.open(&schema.wire, value),
            (Shape::Boolean, Value::Bool(_))
            | (Shape::Number, Value::Number(_))
            | (Shape::String, Value::String(_)) => Ok(()),
            (Shape::Integer { bits }, Value::Number(number)) => match number.as_i64() {
                Some(whole) if fits(whole, *bits) => Ok(()),
                _ => Err(site.wrong_type(&format!("number {number}"), &go_type(schema, type_name))),
            },
            (Shape::Object(object), Value::Object(map)) => self.object(schema, type_name, object, map, site),
            (Shape::Map(shape), Value::Object(map)) => map.iter_mut().try_for_each(|(key, entry)| {
                fill_null(&shape.values, entry);
                self.child(&shape.values, entry, &site.key(key))
            }),
            (Shape::List(shape), Value::Array(list)) => {
                list.iter_mut().enumerate().try_for_each(|(i, item)| {
                    fill_null(&shape.items, item);
                    self.child(&shape.items, item, &site.index(i))
                })
            }
            (
                Shape::Bytes
                | Shape::Time
                | Shape::MicroTime
                | Shape::Duration
                | Shape::Quantity
                | Shape::IntOrString,
                value,
            ) => scalar(&schema.shape, value, site),
            (_, other) => Err(site.wrong_type(json_type(other), &go_type(schema, type_name))),
        }
    }

    fn object(
        &mut self,
        schema: &Schema,
        type_name: &str,
        object: &ObjectShape,
        map: &mut Map<String, Value>,
        site: &Site<'_>,
    ) -> Decoded {
        let mut result = Ok(());
        map.retain(|name, value| {
            if result.is_err() {
                return true;
            }
            let site = site.field(type_name, name);
            let Some(field) = object.fields.get(name.as_str()) else {
                return self.further(schema, object, value, &site, &mut result);
            };
            if value.is_null() && !field.schema.nullable {
                return false;
            }
            result = self.child(&field.schema, value, &site);
            true
        });
        result
    }

    /// A schema, or what else may stand in its place. Go reads it by a method of its own, which knows neither where it
    /// is nor that unknown fields are to be told.
    fn open(&mut self, wire: &Wire, value: &mut Value) -> Decoded {
        let told = self.issues.len();
        let decoded = match (wire, value) {
            (Wire::SchemaOrBool(_), Value::Bool(_)) => Ok(()),
            (
                Wire::SchemaOrBool(schema) | Wire::SchemaOrArray(schema) | Wire::SchemaOrStrings(schema),
                value @ Value::Object(_),
            ) => self.child(schema, value, &Site::ROOT),
            (Wire::SchemaOrArray(schema), Value::Array(list)) => {
                list.iter_mut().try_for_each(|one| self.child(schema, one, &Site::ROOT))
            }
            (Wire::SchemaOrBool(_), _) => Err(DecodeError("boolean or JSON schema expected".to_owned())),
            _ => Ok(()),
        };
        self.issues.truncate(told);
        decoded
    }

    /// A key without a schema of its own: whether it stays.
    fn further(
        &mut self,
        schema: &Schema,
        object: &ObjectShape,
        value: &mut Value,
        site: &Site<'_>,
        result: &mut Decoded,
    ) -> bool {
        if let Some(additional) = &object.additional {
            *result = self.child(additional, value, site);
            return true;
        }
        if !schema.preserve_unknown && self.issues.len() < MAX_ISSUES {
            self.issues.push(StrictIssue::Unknown(site.path()));
        }
        schema.preserve_unknown
    }
}

/// Null among list elements and map values is Go's zero value.
fn fill_null(schema: &SchemaRef, value: &mut Value) {
    if value.is_null() && !schema.nullable {
        *value = crate::canonical::zero(&schema.shape);
    }
}

const fn fits(whole: i64, bits: u8) -> bool {
    bits == 64 || (whole >= i32::MIN as i64 && whole <= i32::MAX as i64)
}

/// Scalars that Go decodes by a method of their own: their errors do not name the field.
fn scalar(shape: &Shape, value: &mut Value, site: &Site<'_>) -> Decoded {
    let canonical = match shape {
        Shape::Quantity => quantity_text(value)?,
        Shape::IntOrString => return int_or_string(value),
        Shape::Bytes => match value.as_str() {
            Some(text) => base64_text(text)?,
            None => return Err(site.wrong_type(json_type(value), "[]uint8")),
        },
        Shape::Time | Shape::MicroTime | Shape::Duration => {
            let Some(text) = value.as_str() else {
                return Err(DecodeError(plain_type_error(value, "string")));
            };
            time_text(shape, text)?
        }
        _ => None,
    };
    if let Some(text) = canonical {
        *value = Value::String(text);
    }
    Ok(())
}

/// The canonical text, when it differs.
fn time_text(shape: &Shape, text: &str) -> Result<Option<String>, DecodeError> {
    let error = |e: &dyn fmt::Display| DecodeError(e.to_string());
    let canonical = match shape {
        Shape::Time if is_canonical_time(text) => return Ok(None),
        Shape::Time => Time::parse(text).map_err(|e| error(&e))?.to_string(),
        Shape::MicroTime => MicroTime::parse(text).map_err(|e| error(&e))?.to_string(),
        _ => {
            let nanoseconds = duration::parse(text).ok_or_else(|| duration_error(text))?;
            duration::format(nanoseconds)
        }
    };
    Ok((canonical != text).then_some(canonical))
}

fn duration_error(text: &str) -> DecodeError {
    DecodeError(format!("time: invalid duration {text:?}"))
}

/// `2026-01-02T03:04:05Z` with parts that every month and day has: no need to parse it.
fn is_canonical_time(text: &str) -> bool {
    const FRAME: &[u8; 20] = b"0000-00-00T00:00:00Z";
    let bytes = text.as_bytes();
    if bytes.len() != FRAME.len() {
        return false;
    }
    let framed = bytes.iter().zip(FRAME).all(|(b, f)| if *f == b'0' { b.is_ascii_digit() } else { b == f });
    let two = |at: usize| (bytes[at] - b'0') * 10 + (bytes[at + 1] - b'0');
    framed
        && &bytes[..4] > b"0001".as_slice()
        && matches!(two(5), 1..=12)
        && matches!(two(8), 1..=28)
        && two(11) < 24
        && two(14) < 60
        && two(17) < 60
}

fn quantity_text(value: &Value) -> Result<Option<String>, DecodeError> {
    let error = |e: quantity::QuantityError| DecodeError(e.to_string());
    match value {
        Value::String(text) => match quantity::stored_text(text).map_err(error)? {
            Cow::Borrowed(same) if same.len() == text.len() => Ok(None),
            canonical => Ok(Some(canonical.into_owned())),
        },
        other => Ok(Some(Quantity::from_json(other).map_err(error)?.to_string())),
    }
}

fn int_or_string(value: &Value) -> Decoded {
    match value {
        Value::String(_) => Ok(()),
        Value::Number(number) if number.as_i64().is_some_and(|whole| fits(whole, 32)) => Ok(()),
        other => Err(DecodeError(plain_type_error(other, "int32"))),
    }
}

/// Go's base64 decoder passes over line ends and ignores bits behind the last byte.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

fn base64_text(text: &str) -> Result<Option<String>, DecodeError> {
    let packed =
        if text.contains(['\r', '\n']) { Cow::Owned(text.replace(['\r', '\n'], "")) } else { text.into() };
    let bytes = BASE64.decode(packed.as_bytes()).map_err(|e| {
        let at = match e {
            base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
            // Go counts from where the incomplete group of four begins.
            base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => {
                packed.len() / 4 * 4
            }
        };
        DecodeError(format!("illegal base64 data at input byte {at}"))
    })?;
    let canonical = BASE64.encode(bytes);
    Ok((canonical != text).then_some(canonical))
}

/// Go's word for a JSON type.
pub(crate) fn json_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn plain_type_error(value: &Value, go_type: &str) -> String {
    let found = match value {
        Value::Number(number) if go_type != "string" => format!("number {number}"),
        other => json_type(other).to_owned(),
    };
    format!("json: cannot unmarshal {found} into Go value of type {go_type}")
}

/// A type as Go prints it; named string types are not known and appear as `string`.
fn go_type(schema: &Schema, type_name: &str) -> String {
    let of = |child: &SchemaRef| go_type(child, child.type_name().unwrap_or_default());
    match &schema.shape {
        Shape::Any => "runtime.RawExtension".to_owned(),
        Shape::Boolean => "bool".to_owned(),
        Shape::Integer { bits } => format!("int{bits}"),
        Shape::Number => "float64".to_owned(),
        Shape::String => "string".to_owned(),
        Shape::Bytes => "[]uint8".to_owned(),
        Shape::Time => "v1.Time".to_owned(),
        Shape::MicroTime => "v1.MicroTime".to_owned(),
        Shape::Duration => "v1.Duration".to_owned(),
        Shape::Quantity => "resource.Quantity".to_owned(),
        Shape::IntOrString => "intstr.IntOrString".to_owned(),
        Shape::Object(_) => site::package_and_name(type_name).to_owned(),
        Shape::Map(map) => format!("map[string]{}", of(&map.values)),
        Shape::List(list) => format!("[]{}", of(&list.items)),
    }
}

/// The path of a field as strict decoding prints it.
pub(crate) fn unknown(path: &FieldPath<'_>) -> StrictIssue {
    StrictIssue::Unknown(path.to_string())
}

#[cfg(test)]
mod tests;
