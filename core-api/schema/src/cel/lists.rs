//! Functions on lists, sets and optional values. Upstream: apiserver `pkg/cel/library/lists.go`, cel-go
//! `ext/{lists,sets}.go`, `cel/library.go`.

use super::{
    error::Error,
    machine::Machine,
    ops, text,
    value::{List, Value},
};
use std::{cmp::Ordering, sync::Arc};

type Outcome<'a> = Result<Value<'a>, Error>;
type Args<'s, 'a> = &'s [Value<'a>];

fn list<'s, 'a>(args: &'s [Value<'a>], i: usize) -> Result<&'s List<'a>, Error> {
    match args.get(i) {
        Some(Value::List(list)) => Ok(list),
        _ => Err(Error::NoSuchOverload),
    }
}
fn order(m: &mut Machine<'_>, a: &Value<'_>, b: &Value<'_>) -> Result<Ordering, Error> {
    m.work(1)?;
    if let (Value::String(a), Value::String(b)) = (a, b) {
        m.work(a.len().min(b.len()) / 16)?;
    }
    ops::compared(a, b).ok_or(Error::NoSuchOverload)
}
fn place<'a>(at: Option<usize>) -> Value<'a> {
    Value::Int(at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1))
}
/// A list that is made anew.
fn made<'a>(m: &mut Machine<'_>, values: Vec<Value<'a>>) -> Outcome<'a> {
    m.allocate(values.len() * size_of::<Value<'_>>())?;
    Ok(Value::list(values))
}

pub(super) fn is_sorted<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let mut before: Option<Value<'_>> = None;
    for element in list(args, 0)?.iter() {
        if let Some(before) = &before
            && order(m, before, &element)? == Ordering::Greater
        {
            return Ok(Value::Bool(false));
        }
        before = Some(element);
    }
    Ok(Value::Bool(true))
}
pub(super) fn sum<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let mut total: Option<Value<'a>> = None;
    for element in list(args, 0)?.iter() {
        m.work(1)?;
        if !matches!(element, Value::Int(_) | Value::Uint(_) | Value::Double(_) | Value::Duration(_)) {
            return Err(Error::NoSuchOverload);
        }
        total = Some(match total {
            None => element,
            Some(total) => ops::add(m, &[total, element])?,
        });
    }
    Ok(total.unwrap_or(Value::Int(0)))
}
fn extreme<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>, wanted: Ordering, name: &str) -> Outcome<'a> {
    let mut found: Option<Value<'a>> = None;
    for element in list(args, 0)?.iter() {
        found = Some(match found {
            Some(known) if order(m, &element, &known)? != wanted => known,
            _ => element,
        });
    }
    found.ok_or_else(|| Error::new(format!("{name} called on empty list")))
}
pub(super) fn min<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    extreme(m, args, Ordering::Less, "min")
}
pub(super) fn max<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    extreme(m, args, Ordering::Greater, "max")
}
pub(super) fn index_of<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    if let Some(Value::String(_)) = args.first() {
        return text::index_of(m, args);
    }
    let sought = args.get(1).ok_or(Error::NoSuchOverload)?;
    for (i, element) in list(args, 0)?.iter().enumerate() {
        if ops::equal(m, &element, sought)? {
            return Ok(place(Some(i)));
        }
    }
    Ok(place(None))
}
pub(super) fn last_index_of<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    if let Some(Value::String(_)) = args.first() {
        return text::last_index_of(m, args);
    }
    let sought = args.get(1).ok_or(Error::NoSuchOverload)?;
    let list = list(args, 0)?;
    for i in (0..list.len()).rev() {
        if let Some(element) = list.get(i)
            && ops::equal(m, &element, sought)?
        {
            return Ok(place(Some(i)));
        }
    }
    Ok(place(None))
}

/// So many values, counted before they take memory: a list of lists is much longer than it took to write.
fn counted<'a>(m: &mut Machine<'_>, count: usize, values: impl Iterator<Item = Value<'a>>) -> Outcome<'a> {
    m.allocate(count.saturating_mul(size_of::<Value<'_>>()))?;
    Ok(Value::list(values.collect()))
}

pub(super) fn slice<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (list, [_, Value::Int(from), Value::Int(to)]) = (list(args, 0)?, args) else {
        return Err(Error::NoSuchOverload);
    };
    if *from < 0 || *to < 0 {
        return Err(Error::new(format!("cannot slice({from}, {to}), negative indexes not supported")));
    }
    if from > to {
        return Err(Error::new(format!(
            "cannot slice({from}, {to}), start index must be less than or equal to end index"
        )));
    }
    let (start, end) =
        (usize::try_from(*from).unwrap_or(usize::MAX), usize::try_from(*to).unwrap_or(usize::MAX));
    if end > list.len() {
        return Err(Error::new(format!("cannot slice({from}, {to}), list is length {}", list.len())));
    }
    counted(m, end - start, (start..end).filter_map(|i| list.get(i)))
}
pub(super) fn flatten<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let depth = match args.get(1) {
        None => 1,
        Some(Value::Int(depth)) if *depth < 0 => return Err(Error::new("level must be non-negative")),
        Some(Value::Int(depth)) => *depth,
        Some(_) => return Err(Error::NoSuchOverload),
    };
    let mut out = Vec::new();
    flatten_into(m, list(args, 0)?, depth.min(100), &mut out)?;
    Ok(Value::list(out))
}
fn flatten_into<'a>(
    m: &mut Machine<'_>,
    list: &List<'a>,
    depth: i64,
    out: &mut Vec<Value<'a>>,
) -> Result<(), Error> {
    for element in list.iter() {
        m.work(1)?;
        match element {
            Value::List(inner) if depth > 0 => flatten_into(m, &inner, depth - 1, out)?,
            other => {
                m.allocate(size_of::<Value<'_>>())?;
                out.push(other);
            }
        }
    }
    Ok(())
}
pub(super) fn distinct<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let mut out: Vec<Value<'a>> = Vec::new();
    for element in list(args, 0)?.iter() {
        let mut is_known = false;
        for known in &out {
            m.charge(1)?;
            if ops::equal(m, known, &element)? {
                is_known = true;
                break;
            }
        }
        if !is_known {
            out.push(element);
        }
    }
    made(m, out)
}
pub(super) fn reverse<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let list = list(args, 0)?;
    counted(m, list.len(), (0..list.len()).rev().filter_map(|i| list.get(i)))
}
pub(super) fn first<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Optional(list(args, 0)?.get(0).map(Arc::new)))
}
pub(super) fn last<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let list = list(args, 0)?;
    Ok(Value::Optional(list.len().checked_sub(1).and_then(|i| list.get(i)).map(Arc::new)))
}
pub(super) fn sort<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let list = list(args, 0)?;
    m.allocate(list.len().saturating_mul(size_of::<Value<'_>>()))?;
    let values: Vec<_> = list.iter().collect();
    sorted_by(m, &values, &values)
}
/// `values` in the order of their keys.
pub(super) fn sorted_by<'a>(m: &mut Machine<'_>, values: &[Value<'a>], keys: &[Value<'a>]) -> Outcome<'a> {
    let mut broken = None;
    let mut places: Vec<usize> = (0..values.len().min(keys.len())).collect();
    places.sort_by(|a, b| match (keys.get(*a), keys.get(*b)) {
        (Some(a), Some(b)) if broken.is_none() => order(m, a, b).unwrap_or_else(|why| {
            broken = Some(why);
            Ordering::Equal
        }),
        _ => Ordering::Equal,
    });
    if let Some(why) = broken {
        return Err(why);
    }
    made(m, places.into_iter().filter_map(|i| values.get(i).cloned()).collect())
}
pub(super) fn range<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let [Value::Int(count)] = args else { return Err(Error::NoSuchOverload) };
    if *count < 0 {
        return Err(Error::new(format!("lists.range: size must be non-negative, got {count}")));
    }
    let count = *count;
    m.charge(count.unsigned_abs())?;
    made(m, (0..count).map(Value::Int).collect())
}

pub(super) fn set_contains<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (all, some) = (list(args, 0)?, list(args, 1)?);
    ops::all_among(m, some, all).map(Value::Bool)
}
pub(super) fn set_equivalent<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (a, b) = (list(args, 0)?, list(args, 1)?);
    Ok(Value::Bool(ops::all_among(m, a, b)? && ops::all_among(m, b, a)?))
}
pub(super) fn set_intersects<'a>(m: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let (a, b) = (list(args, 0)?, list(args, 1)?);
    for element in a.iter() {
        if ops::is_among(m, &element, b)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

pub(super) fn optional_of<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    args.first().cloned().map(Value::some).ok_or(Error::NoSuchOverload)
}
pub(super) fn optional_none<'a>(_: &mut Machine<'_>, _: Args<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Optional(None))
}
pub(super) fn optional_of_non_zero<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    let value = args.first().ok_or(Error::NoSuchOverload)?;
    let is_zero = match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Int(number) | Value::Duration(number) => *number == 0,
        Value::Uint(number) => *number == 0,
        Value::Double(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.is_empty(),
        Value::Map(map) => map.is_empty(),
        _ => false,
    };
    Ok(if is_zero { Value::Optional(None) } else { Value::some(value.clone()) })
}
pub(super) fn has_value<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    match args {
        [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn optional_value<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(value))] => Ok((**value).clone()),
        [Value::Optional(None)] => Err(Error::new("optional.none() dereference")),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn or<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(value)), _] => Ok(Value::Optional(Some(value.clone()))),
        [Value::Optional(None), other @ Value::Optional(_)] => Ok(other.clone()),
        _ => Err(Error::NoSuchOverload),
    }
}
pub(super) fn or_value<'a>(_: &mut Machine<'_>, args: Args<'_, 'a>) -> Outcome<'a> {
    match args {
        [Value::Optional(Some(value)), _] => Ok((**value).clone()),
        [Value::Optional(None), other] => Ok(other.clone()),
        _ => Err(Error::NoSuchOverload),
    }
}
