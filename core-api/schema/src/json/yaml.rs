//! YAML bodies as JSON values.
//!
//! One document; anchors and merge keys are expanded within a budget, so that a small body cannot become a huge
//! value. Keys become text, dates stay text, numbers that are not finite are refused: what remains is JSON.
//! Upstream: sigs.k8s.io/yaml.

use super::{MAX_DEPTH, MAX_ISSUES, ParseError, Parsed, StrictIssue};
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, map::Entry};
use serde_saphyr::{
    Options, Spanned,
    options::{DuplicateKeyPolicy, NonFiniteFloatPolicy},
};
use std::{cell::RefCell, fmt};

/// Most parser events and expanded nodes of one body.
const MAX_NODES: usize = 200_000;

/// Parses a YAML body that holds one document.
pub fn parse_yaml(body: &[u8]) -> Result<Parsed, ParseError> {
    let text = std::str::from_utf8(body).map_err(|_| failed("control characters are not allowed"))?;
    if text.trim().is_empty() {
        return Ok(Parsed::default());
    }
    let repetitions = RefCell::new(Vec::new());
    let value = serde_saphyr::with_deserializer_from_str_with_options(text, options(), |d| {
        Node { depth: 0, repetitions: &repetitions }.deserialize(d)
    });
    let value = value.map_err(|e| failed(&first_line(&e.to_string())))?;
    let mut lines = repetitions.into_inner();
    lines.truncate(MAX_ISSUES);
    let mut issues = Vec::new();
    if !lines.is_empty() {
        issues.push(StrictIssue::Yaml(format!("yaml: unmarshal errors:\n{}", lines.join("\n"))));
    }
    Ok(Parsed { value, issues })
}

fn failed(why: &str) -> ParseError {
    ParseError(format!("error converting YAML to JSON: yaml: {why}"))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn options() -> Options {
    let mut options = Options::default();
    if let Some(budget) = &mut options.budget {
        budget.max_events = MAX_NODES;
        budget.max_nodes = MAX_NODES;
        budget.max_documents = 2;
        budget.flow_nesting_limit = MAX_DEPTH;
        budget.max_depth = MAX_DEPTH + 1;
    }
    options.alias_limits.max_total_replayed_events = MAX_NODES;
    options.alias_limits.max_replay_stack_depth = 16;
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.non_finite_float_policy = NonFiniteFloatPolicy::Reject;
    options.emit_comments = false;
    options.with_snippet = false;
    options
}

/// Builds one value at a depth.
#[derive(Clone, Copy)]
struct Node<'a> {
    depth: usize,
    /// A line of text for each key that was there before.
    repetitions: &'a RefCell<Vec<String>>,
}

impl Node<'_> {
    fn inner<E: de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom("exceeded max depth"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that JSON can hold")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    /// A float without a fraction is a whole number in JSON.
    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if value.fract() == 0.0 && value.abs() < EXACT {
            return Ok(Value::from(value as i64));
        }
        let number = Number::from_f64(value).ok_or_else(|| E::custom("number is not finite"))?;
        Ok(Value::Number(number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut list = Vec::new();
        while let Some(value) = access.next_element_seed(inner)? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let inner = self.inner()?;
        let mut map = Map::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            let line = key.referenced.line();
            let value = access.next_value_seed(inner)?;
            match map.entry(key.value) {
                Entry::Vacant(place) => {
                    place.insert(value);
                }
                Entry::Occupied(mut place) => {
                    let text = format!("  line {line}: key {:?} already set in map", place.key());
                    self.repetitions.borrow_mut().push(text);
                    place.insert(value);
                }
            }
        }
        Ok(Value::Object(map))
    }
}
