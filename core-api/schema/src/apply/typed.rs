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
    let mut walk = Walk::default();
    walk.check(Node::root(schema), object);
    match walk.found.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

/// A step of the path, shown only when something is wrong.
enum Step<'v> {
    Field(&'v str),
    Element(String),
    Index(usize),
}

#[derive(Default)]
struct Walk<'v> {
    path: Vec<Step<'v>>,
    found: Vec<String>,
}

impl<'v> Walk<'v> {
    fn report(&mut self, problem: &str) {
        let mut text = String::new();
        for step in &self.path {
            match step {
                Step::Field(name) => text.extend([".", name]),
                Step::Element(key) => text.push_str(&element::display(key)),
                Step::Index(index) => text.push_str(&format!("[{index}]")),
            }
        }
        self.found.push(if text.is_empty() { problem.to_owned() } else { format!("{text}: {problem}") });
    }

    fn check_at(&mut self, step: Step<'v>, node: Node<'_>, value: &'v Value) {
        self.path.push(step);
        self.check(node, value);
        self.path.pop();
    }

    fn check(&mut self, node: Node<'_>, value: &'v Value) {
        if value.is_null() {
            return;
        }
        if let Some(problem) = wrong_form(node, value) {
            return self.report(&problem);
        }
        match (node.atom(value), value) {
            (Atom::List(list), Value::Array(items)) => self.check_elements(list, items),
            (_, Value::Object(map)) => self.check_fields(node, map),
            (_, Value::Array(items)) => {
                let (below, _) = node.step("i:0");
                for (i, item) in items.iter().enumerate() {
                    self.check_at(Step::Index(i), below, item);
                }
            }
            _ => {}
        }
    }

    fn check_fields(&mut self, node: Node<'_>, map: &'v Map<String, Value>) {
        for (name, value) in map {
            match node.field(name) {
                Part::Unknown => {
                    self.path.push(Step::Field(name));
                    self.report("field not declared in schema");
                    self.path.pop();
                    return;
                }
                Part::Named(part) | Part::Other(part) => self.check_at(Step::Field(name), part, value),
            }
        }
    }

    fn check_elements(&mut self, list: ListNode<'_>, items: &'v [Value]) {
        let mut seen = HashSet::new();
        for (i, item) in items.iter().enumerate() {
            let Some(key) = list.element(item) else {
                return self.report(&format!("element {i}: {}", keyless(list, item)));
            };
            if seen.contains(&key) {
                self.report(&format!("duplicate entries for key {}", element::display(&key)));
            }
            self.check_at(Step::Element(key.clone()), list.items, item);
            seen.insert(key);
        }
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
