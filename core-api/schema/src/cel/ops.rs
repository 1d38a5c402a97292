//! Operators and conversions. Upstream: cel-go `common/types`.

use super::{
    error::Error,
    kube::Kube,
    machine::Machine,
    time,
    value::{List, Map, Value},
};
use crate::schema::{ListType, Shape};
use std::{cmp::Ordering, sync::Arc};

type Outcome<'a> = Result<Value<'a>, Error>;

fn overflow<'a>() -> Outcome<'a> {
    Err(Error::new("integer overflow"))
}

/// A whole number, as an index of a list.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(super) fn as_index(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number),
        Value::Uint(number) => i64::try_from(*number).ok(),
        Value::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => Some(*number as i64),
        _ => None,
    }
}

/// A value in a message.
pub(super) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::String(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Double(number) => super::text::double(*number),
        other => other.type_name().to_owned(),
    }
}

/// Whether two values are equal; values of different kinds are not.
#[expect(clippy::float_cmp, reason = "the language compares exactly")]
pub(super) fn equal(m: &mut Machine<'_>, a: &Value<'_>, b: &Value<'_>) -> Result<bool, Error> {
    m.work(1)?;
    Ok(match (a, b) {
        (Value::Null, Value::Null) | (Value::Optional(None), Value::Optional(None)) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Double(a), Value::Double(b)) => a == b,
        (Value::Int(_) | Value::Uint(_) | Value::Double(_), _) => compared(a, b) == Some(Ordering::Equal),
        (Value::String(a), Value::String(b)) => {
            m.work(a.len().min(b.len()) / 16)?;
            **a == **b
        }
        (Value::Bytes(a), Value::Bytes(b)) => {
            m.work(a.len().min(b.len()) / 16)?;
            a == b
        }
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
        (Value::Type(a), Value::Type(b)) => a == b,
        (Value::Optional(Some(a)), Value::Optional(Some(b))) => equal(m, a, b)?,
        (Value::Kube(a), Value::Kube(b)) => a == b,
        (Value::List(a), Value::List(b)) => equal_lists(m, a, b)?,
        (Value::Map(a), Value::Map(b)) => equal_maps(m, a, b)?,
        _ => false,
    })
}

/// How elements of a list of an object are told apart.
fn list_type<'a>(list: &List<'a>) -> Option<&'a ListType> {
    let List::Json(_, Some(schema)) = list else { return None };
    match &schema.shape {
        Shape::List(shape) => Some(&shape.list_type),
        _ => None,
    }
}

fn equal_lists(m: &mut Machine<'_>, a: &List<'_>, b: &List<'_>) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    match list_type(a) {
        // The order of a set does not count.
        Some(ListType::Set | ListType::Map(_)) => all_among(m, a, b),
        _ => {
            for (a, b) in a.iter().zip(b.iter()) {
                if !equal(m, &a, &b)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
    }
}

/// Whether each element of `a` is one of `b`.
pub(super) fn all_among(m: &mut Machine<'_>, a: &List<'_>, b: &List<'_>) -> Result<bool, Error> {
    for (i, element) in a.iter().enumerate() {
        // Mostly the order is the same.
        if let Some(same) = b.get(i)
            && equal(m, &element, &same)?
        {
            continue;
        }
        if !is_among(m, &element, b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether it is an element.
pub(super) fn is_among(m: &mut Machine<'_>, value: &Value<'_>, list: &List<'_>) -> Result<bool, Error> {
    for element in list.iter() {
        if equal(m, value, &element)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn equal_maps(m: &mut Machine<'_>, a: &Map<'_>, b: &Map<'_>) -> Result<bool, Error> {
    if a.len() != b.len() {
        return Ok(false);
    }
    if let (Map::Json(a, schema), Map::Json(b, _)) = (a, b) {
        for (name, value) in *a {
            let child = schema.and_then(|schema| schema.child(name)).map(crate::schema::SchemaRef::get);
            let Some(other) = b.get(name) else { return Ok(false) };
            if !equal(m, &super::json::lift(value, child), &super::json::lift(other, child))? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    m.work(a.len() / 16)?;
    for key in a.keys() {
        let (Some(a), Some(b)) = (a.find(&key), b.find(&key)) else { return Ok(false) };
        if !equal(m, &a, &b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The order of two values; `None` when they have none.
#[expect(clippy::cast_precision_loss, reason = "compared as upstream compares")]
pub(super) fn compared(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::Uint(number) => Some(i128::from(*number)),
        _ => None,
    };
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => a.partial_cmp(&(whole(b)? as f64)),
        (a, Value::Double(b)) => (whole(a)? as f64).partial_cmp(b),
        (Value::String(a), Value::String(b)) => Some((**a).cmp(&**b)),
        (Value::Bytes(a), Value::Bytes(b)) => Some(a.cmp(b)),
        (Value::Duration(a), Value::Duration(b)) => Some(a.cmp(b)),
        (Value::Timestamp(a), Value::Timestamp(b)) => Some(a.cmp(b)),
        _ => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

fn ordering(m: &mut Machine<'_>, args: &[Value<'_>]) -> Result<Option<Ordering>, Error> {
    let [a, b] = args else { return Err(Error::NoSuchOverload) };
    if let (Value::String(a), Value::String(b)) = (a, b) {
        m.work(a.len().min(b.len()) / 16)?;
    }
    let is_nan = |value: &Value<'_>| matches!(value, Value::Double(number) if number.is_nan());
    match compared(a, b) {
        None if !is_nan(a) && !is_nan(b) => Err(Error::NoSuchOverload),
        found => Ok(found),
    }
}

pub(super) fn equals<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [a, b] = args else { return Err(Error::NoSuchOverload) };
    equal(m, a, b).map(Value::Bool)
}
pub(super) fn not_equals<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    let [a, b] = args else { return Err(Error::NoSuchOverload) };
    equal(m, a, b).map(|same| Value::Bool(!same))
}
pub(super) fn less<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(ordering(m, args)?.is_some_and(Ordering::is_lt)))
}
pub(super) fn less_equal<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(ordering(m, args)?.is_some_and(Ordering::is_le)))
}
pub(super) fn greater<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(ordering(m, args)?.is_some_and(Ordering::is_gt)))
}
pub(super) fn greater_equal<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(ordering(m, args)?.is_some_and(Ordering::is_ge)))
}

pub(super) fn not<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(flag)] => Ok(Value::Bool(!flag)),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn negate<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(number)] => number.checked_neg().map_or_else(overflow, |n| Ok(Value::Int(n))),
        [Value::Double(number)] => Ok(Value::Double(-number)),
        _ => Err(Error::NoSuchOverload),
    }
}

pub(super) fn add<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => a.checked_add(*b).map_or_else(overflow, |n| Ok(Value::Int(n))),
        [Value::Uint(a), Value::Uint(b)] => a.checked_add(*b).map_or_else(overflow, |n| Ok(Value::Uint(n))),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
        [Value::String(a), Value::String(b)] => {
            m.allocate(a.len() + b.len())?;
            Ok(Value::text([&**a, &**b].concat()))
        }
        [Value::Bytes(a), Value::Bytes(b)] => {
            m.allocate(a.len() + b.len())?;
            Ok(Value::Bytes([&**a, &**b].concat().into()))
        }
        [Value::List(a), Value::List(b)] => joined(m, a, b),
        _ => time::add(args),
    }
}

/// Most elements of a list that was put together.
const LONGEST_LIST: usize = 2_000_000;

/// Lists one after the other; sets and maps of an object are merged.
fn joined<'a>(m: &mut Machine<'_>, a: &List<'a>, b: &List<'a>) -> Outcome<'a> {
    match list_type(a) {
        Some(ListType::Set) => {
            let mut made: Vec<_> = a.iter().collect();
            m.allocate((made.len() + b.len()) * size_of::<Value<'_>>())?;
            for element in b.iter() {
                if !is_among(m, &element, a)? {
                    made.push(element);
                }
            }
            Ok(Value::list(made))
        }
        Some(ListType::Map(keys)) => {
            let mut made: Vec<_> = a.iter().collect();
            m.allocate((made.len() + b.len()) * size_of::<Value<'_>>())?;
            for element in b.iter() {
                let mut place = None;
                for (i, known) in made.iter().enumerate() {
                    if has_same_keys(m, known, &element, keys)? {
                        place = Some(i);
                        break;
                    }
                }
                match place.and_then(|i| made.get_mut(i)) {
                    Some(known) => *known = element,
                    None => made.push(element),
                }
            }
            Ok(Value::list(made))
        }
        // Nothing is copied, so that lists double with each step; a longer one could not be walked anyway.
        _ if a.len().saturating_add(b.len()) > LONGEST_LIST => Err(Error::Exceeded),
        _ => Ok(Value::List(a.clone().joined(b.clone()))),
    }
}

fn has_same_keys(
    m: &mut Machine<'_>,
    a: &Value<'_>,
    b: &Value<'_>,
    keys: &[Box<str>],
) -> Result<bool, Error> {
    let (Value::Map(a), Value::Map(b)) = (a, b) else { return Ok(false) };
    for key in keys {
        let name = super::escape::escape(key).unwrap_or_default();
        let (a, b) = (a.get(&name).unwrap_or(Value::Null), b.get(&name).unwrap_or(Value::Null));
        if !equal(m, &a, &b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

pub(super) fn subtract<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => a.checked_sub(*b).map_or_else(overflow, |n| Ok(Value::Int(n))),
        [Value::Uint(a), Value::Uint(b)] => a.checked_sub(*b).map_or_else(overflow, |n| Ok(Value::Uint(n))),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        _ => time::subtract(args),
    }
}
pub(super) fn multiply<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => a.checked_mul(*b).map_or_else(overflow, |n| Ok(Value::Int(n))),
        [Value::Uint(a), Value::Uint(b)] => a.checked_mul(*b).map_or_else(overflow, |n| Ok(Value::Uint(n))),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn divide<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            Err(Error::new("division by zero"))
        }
        [Value::Int(a), Value::Int(b)] => a.checked_div(*b).map_or_else(overflow, |n| Ok(Value::Int(n))),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a / b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn modulo<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            Err(Error::new("modulus by zero"))
        }
        [Value::Int(a), Value::Int(b)] => a.checked_rem(*b).map_or_else(overflow, |n| Ok(Value::Int(n))),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a % b)),
        _ => Err(Error::NoSuchOverload),
    }
}

pub(super) fn contained<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [value, Value::List(list)] => is_among(m, value, list).map(Value::Bool),
        [key, Value::Map(map)] => Ok(Value::Bool(map.find(key).is_some())),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn size<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => {
            m.work(text.len() / 64)?;
            Ok(Value::Int(i64::try_from(text.chars().count()).unwrap_or(i64::MAX)))
        }
        [value @ (Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        _ => Err(Error::NoSuchOverload),
    }
}

pub(super) fn type_of<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    args.first().map(|value| Value::Type(value.type_name().into())).ok_or(Error::NoSuchOverload)
}
pub(super) fn as_dyn<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    args.first().cloned().ok_or(Error::NoSuchOverload)
}

fn conversion<'a>(value: &Value<'_>, to: &str) -> Outcome<'a> {
    Err(Error::new(format!("type conversion error from '{}' to '{to}'", value.type_name())))
}

pub(super) fn to_bool<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bool(flag)] => Ok(Value::Bool(*flag)),
        [value @ Value::String(text)] => match &**text {
            "true" | "True" | "TRUE" | "t" | "1" => Ok(Value::Bool(true)),
            "false" | "False" | "FALSE" | "f" | "0" => Ok(Value::Bool(false)),
            _ => conversion(value, "bool"),
        },
        _ => Err(Error::NoSuchOverload),
    }
}
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
pub(super) fn to_int<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Int(number)] => Ok(Value::Int(*number)),
        [Value::Uint(number)] => i64::try_from(*number).map_or_else(|_| overflow(), |n| Ok(Value::Int(n))),
        [Value::Double(number)] if number.abs() < 9.223_372_036_854_775e18 => Ok(Value::Int(*number as i64)),
        [Value::Double(_)] => overflow(),
        [value @ Value::String(text)] => {
            text.parse().map_or_else(|_| conversion(value, "int"), |n| Ok(Value::Int(n)))
        }
        [Value::Timestamp(at)] => Ok(Value::Int(at.as_second())),
        [Value::Duration(nanos)] => Ok(Value::Int(*nanos)),
        _ => Err(Error::NoSuchOverload),
    }
}
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
pub(super) fn to_uint<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Uint(number)] => Ok(Value::Uint(*number)),
        [Value::Int(number)] => u64::try_from(*number)
            .map_or_else(|_| Err(Error::new("unsigned integer overflow")), |n| Ok(Value::Uint(n))),
        [Value::Double(number)] if (0.0..1.844_674_407_370_955e19).contains(number) => {
            Ok(Value::Uint(*number as u64))
        }
        [Value::Double(_)] => Err(Error::new("unsigned integer overflow")),
        [value @ Value::String(text)] => {
            text.parse().map_or_else(|_| conversion(value, "uint"), |n| Ok(Value::Uint(n)))
        }
        _ => Err(Error::NoSuchOverload),
    }
}
#[expect(clippy::cast_precision_loss, reason = "a conversion")]
pub(super) fn to_double<'a>(_: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Double(number)] => Ok(Value::Double(*number)),
        [Value::Int(number)] => Ok(Value::Double(*number as f64)),
        [Value::Uint(number)] => Ok(Value::Double(*number as f64)),
        [value @ Value::String(text)] => {
            text.parse().map_or_else(|_| conversion(value, "double"), |n| Ok(Value::Double(n)))
        }
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn to_string<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::String(text)] => Ok(Value::String(text.clone())),
        [Value::Bytes(bytes)] => {
            m.allocate(bytes.len())?;
            let text = str::from_utf8(bytes)
                .map_err(|_| Error::new("invalid UTF-8 in bytes, cannot convert to string"))?;
            Ok(Value::text(text))
        }
        [Value::Timestamp(at)] => Ok(Value::text(at.to_string())),
        [Value::Duration(nanos)] => Ok(Value::text(time::duration_text(*nanos))),
        [value @ (Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::Double(_))] => {
            Ok(Value::text(shown(value)))
        }
        [Value::Kube(kube)] if matches!(**kube, Kube::Ip(_) | Kube::Cidr(_)) => {
            Ok(Value::text(kube.to_string()))
        }
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn to_bytes<'a>(m: &mut Machine<'_>, args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Bytes(bytes)] => Ok(Value::Bytes(bytes.clone())),
        [Value::String(text)] => {
            m.allocate(text.len())?;
            Ok(Value::Bytes(Arc::from(text.as_bytes())))
        }
        _ => Err(Error::NoSuchOverload),
    }
}
