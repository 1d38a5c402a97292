//! Checks that an applied configuration is what the schema describes, before it is merged.
//!
//! Texts are upstream's: structured-merge-diff `typed/validate.go`, `typed/helpers.go`.

use super::{
    element,
    node::{Atom, ListNode, Node, Part},
};
use crate::{
    patch::go_text,
    schema::{Schema, Shape},
};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Everything that is wrong, as one text; none when the configuration fits.
pub(super) fn problems(schema: &Schema, object: &Value) -> Option<String> {
    let mut found = Vec::new();
    check(Node::root(schema), object, "", &mut found);
    match found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

fn check(node: Node<'_>, value: &Value, path: &str, found: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    if let Some(problem) = wrong_form(node, value) {
        found.push(at(path, &problem));
        return;
    }
    match (node.atom(value), value) {
        (Atom::List(list), Value::Array(items)) => check_elements(list, items, path, found),
        (_, Value::Object(map)) => check_fields(node, map, path, found),
        (_, Value::Array(items)) => {
            let (below, _) = node.step("i:0");
            for (i, item) in items.iter().enumerate() {
                check(below, item, &format!("{path}[{i}]"), found);
            }
        }
        _ => {}
    }
}

fn at(path: &str, problem: &str) -> String {
    if path.is_empty() { problem.to_owned() } else { format!("{path}: {problem}") }
}

fn check_fields(node: Node<'_>, map: &Map<String, Value>, path: &str, found: &mut Vec<String>) {
    for (name, value) in map {
        let path = format!("{path}.{name}");
        match node.field(name) {
            Part::Unknown => {
                found.push(at(&path, "field not declared in schema"));
                return;
            }
            Part::Named(part) | Part::Other(part) => check(part, value, &path, found),
        }
    }
}

fn check_elements(list: ListNode<'_>, items: &[Value], path: &str, found: &mut Vec<String>) {
    let mut seen = HashSet::new();
    for (i, item) in items.iter().enumerate() {
        let Some(key) = list.element(item) else {
            found.push(at(path, &format!("element {i}: {}", keyless(list, item))));
            return;
        };
        let shown = element::display(&key);
        if !seen.insert(key) {
            found.push(at(path, &format!("duplicate entries for key {shown}")));
        }
        check(list.items, item, &format!("{path}{shown}"), found);
    }
}

fn keyless(list: ListNode<'_>, item: &Value) -> String {
    if list.keys.is_empty() {
        return match item {
            Value::Object(_) => "associative list without keys has an element that's a map type".to_owned(),
            Value::Array(_) => "not supported: associative list with lists as elements".to_owned(),
            _ => "associative list without keys has an element that's an explicit null".to_owned(),
        };
    }
    match item {
        Value::Null => "associative list with keys may not have a null element".to_owned(),
        Value::Object(_) => {
            let keys: Vec<_> = list.keys.iter().map(|key| go_text::quoted(key)).collect();
            format!(
                "associative list with keys has an element that omits all key fields [{}] \
                 (and doesn't have default values for any key fields)",
                keys.join(" ")
            )
        }
        _ => "associative list with keys may not have non-map elements".to_owned(),
    }
}

fn wrong_form(node: Node<'_>, value: &Value) -> Option<String> {
    let Node::Typed { schema, .. } = node else { return None };
    let shown = || format!("&value.valueUnstructured{{Value:{}}}", go_syntax(value));
    let (fits, expected) = match &schema.shape {
        Shape::Any => return None,
        Shape::Boolean => (value.is_boolean(), "boolean"),
        Shape::Integer { .. } | Shape::Number => {
            let text = || format!("expected numeric (int or float), got {}", go_text::type_name(value));
            return (!value.is_number()).then(text);
        }
        Shape::String | Shape::Bytes => {
            return (!value.is_string()).then(|| format!("expected string, got {}", shown()));
        }
        Shape::Time | Shape::MicroTime | Shape::Duration | Shape::Quantity | Shape::IntOrString => {
            (!value.is_object() && !value.is_array(), "any scalar")
        }
        Shape::Object(_) | Shape::Map(_) => (value.is_object(), "map"),
        Shape::List(_) => (value.is_array(), "list"),
    };
    (!fits).then(|| format!("expected {expected}, got &{{{}}}", go_text::plain(value)))
}

fn go_syntax(value: &Value) -> String {
    match value {
        Value::String(text) => go_text::quoted(text),
        other => go_text::plain(other),
    }
}
