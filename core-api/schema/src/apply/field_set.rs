//! The fields that an applied configuration mentions.
//!
//! Differs from the paths that a comparison adds: only leaves, list elements, keys of maps and empty objects are
//! members, not the named fields above them. [`ensure_named`] adds those.
//! Upstream: structured-merge-diff `typed/tofieldset.go`, `fieldpath/set.go` (`EnsureNamedFieldsAreMembers`),
//! `typed/reconcile_schema.go`.

use super::{
    element,
    node::{Atom, ListNode, Node, Part},
    path_set::{Branch, PathSet, children, is_member, mark},
};
use crate::schema::Schema;
use serde_json::{Map, Value};
use std::collections::HashSet;

/// The fields of a configuration.
pub(super) fn field_set(schema: &Schema, object: &Value) -> PathSet {
    PathSet(parts(Node::root(schema), object))
}

fn parts(node: Node<'_>, value: &Value) -> Branch {
    match (node.atom(value), value) {
        (Atom::Object, Value::Object(map)) => fields(node, map),
        (Atom::List(list), Value::Array(items)) => elements(list, items),
        _ => Map::new(),
    }
}

fn fields(node: Node<'_>, map: &Map<String, Value>) -> Branch {
    let mut out = Map::new();
    for (name, value) in map {
        let part = node.field(name);
        let mut branch = parts(part.node(), value);
        let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        let is_leaf = matches!(part.node().atom(value), Atom::Leaf);
        if is_leaf || is_empty || !matches!(part, Part::Named(_)) {
            mark(&mut branch);
        } else if branch.is_empty() {
            continue;
        }
        out.insert(element::field(name), Value::Object(branch));
    }
    out
}

fn elements(list: ListNode<'_>, items: &[Value]) -> Branch {
    let mut out = Map::new();
    let mut duplicates = HashSet::new();
    for item in items {
        let Some(element) = list.element(item) else { continue };
        if out.contains_key(&element) {
            duplicates.insert(element);
            continue;
        }
        let mut branch = parts(list.items, item);
        mark(&mut branch);
        out.insert(element, Value::Object(branch));
    }
    for element in duplicates {
        out.insert(element, Value::Object(Map::new()));
    }
    out
}

/// The set with every named field above its members.
pub(super) fn ensure_named(schema: &Schema, set: &PathSet) -> PathSet {
    PathSet(with_named(Node::root(schema), &set.0))
}

fn with_named(node: Node<'_>, branch: &Branch) -> Branch {
    let mut out = Map::new();
    for (element, part) in children(branch) {
        let (below, named) = node.step(element);
        let mut copy = with_named(below, part);
        if named || is_member(part) {
            mark(&mut copy);
        }
        out.insert(element.clone(), Value::Object(copy));
    }
    out
}

/// Owned parts of what the schema has since declared atomic become ownership of the whole.
pub(super) fn reconcile(schema: &Schema, set: &mut PathSet) {
    reconcile_parts(Node::root(schema), &mut set.0);
}

fn reconcile_parts(node: Node<'_>, branch: &mut Branch) {
    for (element, value) in branch.iter_mut() {
        let Value::Object(part) = value else { continue };
        if part.is_empty() {
            continue;
        }
        let (below, _) = node.step(element);
        if below.is_atomic_container() {
            part.clear();
        } else {
            reconcile_parts(below, part);
        }
    }
}
