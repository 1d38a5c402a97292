//! Removing what a manager applied before and no longer applies, unless somebody else owns it.
//!
//! Upstream: structured-merge-diff `typed/remove.go`, `merge/update.go` (`prune` and what it calls).

use super::{
    element,
    field_set::{ensure_named, field_set},
    node::{Atom, ListNode, Node},
    path_set::{Branch, PathSet, child, is_member},
};
use crate::schema::Schema;
use serde_json::{Map, Value};

/// Removes from `merged` what is in `last` and not owned by anyone in `owned` (all managers, the applying one with its
/// new set).
pub(super) fn prune(schema: &Schema, merged: Value, last: &PathSet, owned: &PathSet) -> Value {
    if last.is_subset(owned) {
        return merged;
    }
    let last = ensure_named(schema, last);
    let present = ensure_named(schema, &field_set(schema, &merged));
    let mut kept = fields_after_removal(schema, &merged, &last);
    kept.unite(ensure_named(schema, owned));
    let unowned = present.clone().without(&kept);
    let kept = fields_after_removal(schema, &merged, &unowned);
    let gone = present.without(&kept).intersection(&last);
    let mut pruned = merged;
    remove(schema, &mut pruned, &gone);
    pruned
}

fn fields_after_removal(schema: &Schema, object: &Value, gone: &PathSet) -> PathSet {
    let mut rest = object.clone();
    remove(schema, &mut rest, gone);
    ensure_named(schema, &field_set(schema, &rest))
}

/// Removes paths from an object. What is left without parts becomes null, as upstream's typed objects do.
fn remove(schema: &Schema, object: &mut Value, gone: &PathSet) {
    if !gone.is_empty() {
        remove_parts(Node::root(schema), object, &gone.0);
    }
}

fn remove_parts(node: Node<'_>, value: &mut Value, gone: &Branch) {
    let is_empty = match (node.atom(value), &mut *value) {
        (Atom::Object, Value::Object(map)) => {
            remove_fields(node, map, gone);
            map.is_empty()
        }
        (Atom::List(list), Value::Array(items)) => {
            remove_elements(list, items, gone);
            items.is_empty()
        }
        (_, Value::Object(_) | Value::Array(_)) => true,
        _ => false,
    };
    if is_empty {
        *value = Value::Null;
    }
}

fn remove_fields(node: Node<'_>, map: &mut Map<String, Value>, gone: &Branch) {
    map.retain(|name, value| match child(gone, &element::field(name)) {
        None => true,
        Some(part) if is_member(part) => false,
        Some(part) => {
            remove_parts(node.field(name).node(), value, part);
            true
        }
    });
}

fn remove_elements(list: ListNode<'_>, items: &mut Vec<Value>, gone: &Branch) {
    items.retain_mut(|item| match list.element(item).and_then(|element| child(gone, &element)) {
        None => true,
        Some(part) if is_member(part) => false,
        Some(part) => {
            remove_parts(list.items, item, part);
            true
        }
    });
}
