//! One step of a field path in its `fieldsV1` text: `f:name`, `k:{"name":"a"}`, `v:"x"`, `i:0`.
//!
//! Texts made here are canonical (sorted keys, no spaces), so equal elements have equal texts and sets may compare
//! texts. Texts from clients pass [`canonical`] first.
//! Upstream: structured-merge-diff `fieldpath/element.go`, `fieldpath/serialize-pe.go`.

use super::node::Node;
use crate::patch::go_text;
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// The element of a named field.
pub(super) fn field(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    text.push_str("f:");
    text.push_str(name);
    text
}

/// The element of a scalar in a set; none for values that cannot be told apart.
pub(super) fn set_item(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Array(_) | Value::Object(_) => None,
        scalar => Some(format!("v:{}", go_text::json(scalar))),
    }
}

/// The element of an object in a list with `keys`, with defaults for absent keys; none when it has no key at all.
pub(super) fn keyed_item(keys: &[Box<str>], items: Node<'_>, item: &Map<String, Value>) -> Option<String> {
    let value = |key: &'_ str| item.get(key).or_else(|| items.default_of(key));
    let mut found: Vec<(&str, &Value)> = keys.iter().filter_map(|key| Some((&**key, value(key)?))).collect();
    if found.is_empty() {
        return None;
    }
    found.sort_unstable_by_key(|(name, _)| *name);
    Some(key_text(found.into_iter()))
}

fn key_text<'a>(pairs: impl Iterator<Item = (&'a str, &'a Value)>) -> String {
    let mut text = String::with_capacity(32);
    text.push_str("k:{");
    for (i, (name, value)) in pairs.enumerate() {
        text.push_str(if i > 0 { ",\"" } else { "\"" });
        text.push_str(name);
        text.push_str("\":");
        text.push_str(&go_text::json(value));
    }
    text.push('}');
    text
}

/// A parsed element, for display and order.
#[derive(Clone, Debug)]
pub(super) enum Element<'a> {
    Field(&'a str),
    Key(Map<String, Value>),
    Value(Value),
    Index(i64),
}

impl<'a> Element<'a> {
    /// Parses a text; `Ok(None)` for kinds of elements that are not known.
    pub(super) fn parse(text: &'a str) -> Result<Option<Self>, String> {
        let (kind, rest) = text.split_at_checked(2).ok_or("key must be 2 characters long:")?;
        match kind {
            "f:" => Ok(Some(Self::Field(rest))),
            "k:" => serde_json::from_str(rest).map(|keys| Some(Self::Key(keys))).map_err(|e| e.to_string()),
            "v:" => {
                serde_json::from_str(rest).map(|value| Some(Self::Value(value))).map_err(|e| e.to_string())
            }
            "i:" => rest.parse().map(|index| Some(Self::Index(index))).map_err(|_| bad_index(rest)),
            _ if kind.ends_with(':') => Ok(None),
            _ => Err(format!("missing colon: {text}")),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Field(_) => 0,
            Self::Key(_) => 1,
            Self::Value(_) => 2,
            Self::Index(_) => 3,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Field(name) => field(name),
            Self::Key(keys) => key_text(keys.iter().map(|(name, value)| (name.as_str(), value))),
            Self::Value(value) => format!("v:{}", go_text::json(value)),
            Self::Index(index) => format!("i:{index}"),
        }
    }

    /// As messages show it: `.name`, `[name="a"]`, `[="x"]`, `[0]`.
    pub(super) fn display(&self) -> String {
        match self {
            Self::Field(name) => format!(".{name}"),
            Self::Key(keys) => {
                let pairs: Vec<_> =
                    keys.iter().map(|(name, value)| format!("{name}={}", display_value(value))).collect();
                format!("[{}]", pairs.join(","))
            }
            Self::Value(value) => format!("[={}]", display_value(value)),
            Self::Index(index) => format!("[{index}]"),
        }
    }

    /// Upstream's order: fields, keys, values, indices; numbers by value.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Field(a), Self::Field(b)) => a.cmp(b),
            (Self::Key(a), Self::Key(b)) => compare_keys(a, b),
            (Self::Value(a), Self::Value(b)) => compare_values(a, b),
            (Self::Index(a), Self::Index(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

fn bad_index(text: &str) -> String {
    format!("strconv.Atoi: parsing {}: invalid syntax", go_text::quoted(text))
}

/// The canonical text of an element that a client wrote; none when its kind is not known.
pub(super) fn canonical(text: &str) -> Result<Option<String>, String> {
    Ok(Element::parse(text)?.map(|element| element.text()))
}

/// An element's text as messages show it.
pub(super) fn display(text: &str) -> String {
    Element::parse(text).ok().flatten().map_or_else(|| text.to_owned(), |element| element.display())
}

fn display_value(value: &Value) -> String {
    match value {
        Value::String(text) => go_text::quoted(text),
        other => other.to_string(),
    }
}

fn compare_keys(a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    for ((name_a, value_a), (name_b, value_b)) in a.iter().zip(b) {
        let order = name_a.cmp(name_b).then_with(|| compare_values(value_a, value_b));
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn compare_values(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    };
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x.as_f64().unwrap_or(0.0).total_cmp(&y.as_f64().unwrap_or(0.0))
        }
        (Value::String(x), Value::String(y)) => x.cmp(y),
        (Value::Bool(x), Value::Bool(y)) => x.cmp(y),
        _ => rank(a).cmp(&rank(b)).then_with(|| a.to_string().cmp(&b.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_texts_become_canonical() {
        let key = r#"k:{ "protocol": "TCP", "containerPort": 80 }"#;
        assert_eq!(canonical(key).unwrap().unwrap(), r#"k:{"containerPort":80,"protocol":"TCP"}"#);
        assert_eq!(canonical("v: \"a\"").unwrap().unwrap(), "v:\"a\"");
        assert_eq!(canonical("x:1").unwrap(), None);
        for bad in ["f", "name", "k:{", "v:1 2", "i:x", "\u{1F600}"] {
            assert!(canonical(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn displays_as_messages_show_it() {
        let texts = ["f:spec", r#"k:{"containerPort":80,"protocol":"TCP"}"#, "v:\"x\"", "i:3"];
        let shown: Vec<_> = texts.iter().map(|text| display(text)).collect();
        assert_eq!(shown, [".spec", "[containerPort=80,protocol=\"TCP\"]", "[=\"x\"]", "[3]"]);
    }

    #[test]
    fn numbers_order_by_value() {
        let parse = |text: &'static str| Element::parse(text).unwrap().unwrap();
        assert!(parse("k:{\"port\":80}").compare(&parse("k:{\"port\":443}")).is_lt());
        assert!(parse("f:z").compare(&parse("k:{\"a\":1}")).is_lt());
    }
}
