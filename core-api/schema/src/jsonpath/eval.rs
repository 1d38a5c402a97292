//! Nodes applied to values.

use super::{Comparison, Filter, JsonPathError, Node, Slice};
use serde_json::Value;
use std::{borrow::Cow, cmp::Ordering};

type Found<'v> = Vec<Cow<'v, Value>>;

/// Most values that recursive descent may produce.
const MAX_FOUND: usize = 100_000;

fn error<T>(text: impl Into<String>) -> Result<T, JsonPathError> {
    Err(JsonPathError(text.into()))
}

pub(super) fn walk<'v>(mut found: Found<'v>, nodes: &[Node]) -> Result<Found<'v>, JsonPathError> {
    for node in nodes {
        found = step(found, node)?;
        if found.len() > MAX_FOUND {
            return error("too many results");
        }
    }
    Ok(found)
}

fn step<'v>(input: Found<'v>, node: &Node) -> Result<Found<'v>, JsonPathError> {
    match node {
        Node::Field(name) => Ok(input.into_iter().filter_map(|value| field(value, name)).collect()),
        Node::Wildcard => Ok(input.into_iter().flat_map(children).collect()),
        Node::Recursive => Ok(input.into_iter().flat_map(descend).collect()),
        Node::Literal(value) => Ok(input.iter().map(|_| Cow::Owned(value.clone())).collect()),
        Node::Slice(slice) => {
            let mut all = Vec::new();
            for value in input.into_iter().filter(|value| !value.is_null()) {
                all.extend(cut(value, *slice)?);
            }
            Ok(all)
        }
        Node::Union(alternatives) => {
            let mut all = Vec::new();
            for nodes in alternatives {
                all.extend(walk(input.clone(), nodes)?);
            }
            Ok(all)
        }
        Node::Filter(filter) => {
            let mut all = Vec::new();
            for value in input {
                all.extend(select(value, filter)?);
            }
            Ok(all)
        }
    }
}

fn field<'v>(value: Cow<'v, Value>, name: &str) -> Option<Cow<'v, Value>> {
    match value {
        Cow::Borrowed(value) => value.get(name).map(Cow::Borrowed),
        Cow::Owned(value) => value.get(name).cloned().map(Cow::Owned),
    }
}

fn children(value: Cow<'_, Value>) -> Found<'_> {
    match value {
        Cow::Borrowed(Value::Array(list)) => list.iter().map(Cow::Borrowed).collect(),
        Cow::Borrowed(Value::Object(map)) => map.values().map(Cow::Borrowed).collect(),
        Cow::Owned(Value::Array(list)) => list.into_iter().map(Cow::Owned).collect(),
        Cow::Owned(Value::Object(map)) => map.into_iter().map(|(_, value)| Cow::Owned(value)).collect(),
        _ => Vec::new(),
    }
}

/// The value and everything below it that has parts.
fn descend(value: Cow<'_, Value>) -> Found<'_> {
    let parts = children(value.clone());
    if parts.is_empty() {
        return Vec::new();
    }
    let mut all = vec![value];
    all.extend(parts.into_iter().flat_map(descend));
    all
}

fn cut(value: Cow<'_, Value>, slice: Slice) -> Result<Found<'_>, JsonPathError> {
    if !value.is_array() {
        return error(format!("{} is not array or slice", crate::validate::go_kind(&value)));
    }
    let list = children(value);
    let length = i64::try_from(list.len()).unwrap_or(i64::MAX);
    let from_end = |at: i64| if at < 0 { at + length } else { at };
    let start = from_end(slice.start.unwrap_or(0));
    let end = match slice.end {
        Some(end) => from_end(end),
        None if slice.is_index => start + 1,
        None => length,
    };
    if start == end {
        return Ok(Vec::new());
    }
    if !(0..length).contains(&start) {
        return error(format!("array index out of bounds: index {start}, length {length}"));
    }
    if !(0..=length).contains(&end) {
        return error(format!("array index out of bounds: index {}, length {length}", end - 1));
    }
    if start > end {
        return error(format!("starting index {start} is greater than ending index {end}"));
    }
    let step = match slice.step {
        Some(step) if step <= 0 => return error("step must be > 0"),
        step => usize::try_from(step.unwrap_or(1)).unwrap_or(1),
    };
    let place = |at: i64| usize::try_from(at).unwrap_or(0);
    Ok(list.into_iter().take(place(end)).skip(place(start)).step_by(step).collect())
}

fn select<'v>(value: Cow<'v, Value>, filter: &Filter) -> Result<Found<'v>, JsonPathError> {
    if !value.is_array() {
        return error(format!("{value} is not array or slice and cannot be filtered"));
    }
    let mut chosen = Vec::new();
    for element in children(value) {
        if passes(&element, filter)? {
            chosen.push(element);
        }
    }
    Ok(chosen)
}

fn passes(element: &Value, filter: &Filter) -> Result<bool, JsonPathError> {
    let at = |nodes: &[Node]| walk(vec![Cow::Borrowed(element)], nodes);
    let Some((comparison, right)) = &filter.comparison else {
        return Ok(at(&filter.left).is_ok_and(|found| !found.is_empty()));
    };
    let (left, right) = (at(&filter.left)?, at(right)?);
    match (left.as_slice(), right.as_slice()) {
        ([], _) | (_, []) => Ok(false),
        ([left], [right]) => compare(*comparison, left, right),
        _ => error("can only compare one element at a time"),
    }
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Result<bool, JsonPathError> {
    const MIXED: &str = "incompatible types for comparison";
    let ordering = match (left, right) {
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => a.cmp(&b),
            (None, None) => a.as_f64().partial_cmp(&b.as_f64()).unwrap_or(Ordering::Equal),
            _ => return error(MIXED),
        },
        (Value::Bool(a), Value::Bool(b)) => match comparison {
            Comparison::Equal | Comparison::NotEqual => a.cmp(b),
            _ => return error("invalid type for comparison"),
        },
        _ => return error(MIXED),
    };
    Ok(match comparison {
        Comparison::Equal => ordering.is_eq(),
        Comparison::NotEqual => ordering.is_ne(),
        Comparison::Less => ordering.is_lt(),
        Comparison::LessEqual => ordering.is_le(),
        Comparison::Greater => ordering.is_gt(),
        Comparison::GreaterEqual => ordering.is_ge(),
    })
}
