//! JSONPath as printer columns and field paths of custom kinds use it.
//!
//! Fields with escaped dots, keys in brackets, indexes and slices, wildcards, unions, filters, recursive descent.
//! Missing fields give no results instead of an error. Deliberately absent: templates with text, `range` and `end`.
//! Two upstream habits are kept: a dot in `['a.b']` separates fields unless escaped, and comparing different types
//! in a filter is an error. Upstream: client-go `util/jsonpath`.

use serde_json::Value;
use std::{borrow::Cow, fmt};

mod eval;
mod parse;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath {
    nodes: Vec<Node>,
}

/// Why a text is no path, or a path cannot be followed in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPathError(String);

impl fmt::Display for JsonPathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for JsonPathError {}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Field(Box<str>),
    Wildcard,
    Recursive,
    Slice(Slice),
    Union(Vec<Vec<Node>>),
    Filter(Box<Filter>),
    Literal(Value),
}

/// `[start:end:step]`; `[i]` is a slice whose end is derived.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slice {
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
    is_index: bool,
}

#[derive(Clone, Debug, PartialEq)]
struct Filter {
    left: Vec<Node>,
    comparison: Option<(Comparison, Vec<Node>)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

impl JsonPath {
    /// Parses a path such as `.spec.replicas`, without braces.
    pub fn parse(text: &str) -> Result<Self, JsonPathError> {
        parse::parse(text).map(|nodes| Self { nodes })
    }

    /// All values at the path, in order.
    pub fn find<'v>(&self, value: &'v Value) -> Result<Vec<Cow<'v, Value>>, JsonPathError> {
        eval::walk(vec![Cow::Borrowed(value)], &self.nodes)
    }

    /// The first value at the path. Plain paths of fields allocate nothing.
    pub fn first<'v>(&self, value: &'v Value) -> Option<Cow<'v, Value>> {
        let mut at = Some(value);
        for node in &self.nodes {
            let Node::Field(name) = node else {
                return self.find(value).ok()?.into_iter().next();
            };
            at = at.and_then(|value| value.get(&**name));
        }
        at.map(Cow::Borrowed)
    }
}

#[cfg(test)]
mod tests;
