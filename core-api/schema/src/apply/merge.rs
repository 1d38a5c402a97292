//! Merging an applied configuration into the live object. Nothing is removed here.
//!
//! Upstream: structured-merge-diff `typed/merge.go`.

use super::node::{Atom, ListNode, Node};
use crate::schema::Schema;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet, VecDeque};

/// Merges `applied` into `live`.
pub(super) fn merge(schema: &Schema, live: &mut Value, applied: &Value) {
    merge_value(Node::root(schema), live, applied);
}

fn merge_value(node: Node<'_>, live: &mut Value, applied: &Value) {
    if applied.is_null() {
        return merge_null(node, live);
    }
    match (node.atom(applied), applied) {
        (Atom::Object, Value::Object(applied)) => merge_object(node, live, applied),
        (Atom::List(list), Value::Array(applied)) => merge_list(list, live, applied),
        _ => *live = applied.clone(),
    }
}

/// Null takes the place of leaves and of what is empty; what has parts keeps them.
fn merge_null(node: Node<'_>, live: &mut Value) {
    let has_parts = match (node.atom(live), &*live) {
        (Atom::Object, Value::Object(map)) => !map.is_empty(),
        (Atom::List(_), Value::Array(items)) => !items.is_empty(),
        _ => false,
    };
    if !has_parts {
        *live = Value::Null;
    }
}

fn merge_object(node: Node<'_>, live: &mut Value, applied: &Map<String, Value>) {
    let Value::Object(fields) = live else {
        *live = Value::Object(applied.clone());
        return;
    };
    for (name, value) in applied {
        match fields.get_mut(name) {
            Some(current) => merge_value(node.field(name).node(), current, value),
            None => drop(fields.insert(name.clone(), value.clone())),
        }
    }
}

fn merge_list(list: ListNode<'_>, live: &mut Value, applied: &[Value]) {
    match live {
        Value::Array(items) if !items.is_empty() => {
            *items = Merge::new(list, std::mem::take(items), applied).run();
        }
        _ => *live = Value::Array(applied.to_vec()),
    }
}

/// Merge of two keyed lists: elements of the configuration keep its order; elements of the live list alone stay
/// between those that they were between, as far as both orders agree.
struct Merge<'a> {
    list: ListNode<'a>,
    live: Vec<Option<Value>>,
    live_keys: Vec<Option<String>>,
    live_at: HashMap<String, Option<usize>>,
    applied: &'a [Value],
    applied_keys: Vec<String>,
    shared: VecDeque<usize>,
    out: Vec<Value>,
}

impl<'a> Merge<'a> {
    fn new(list: ListNode<'a>, live: Vec<Value>, applied: &'a [Value]) -> Self {
        let live_keys: Vec<_> = live.iter().map(|item| list.element(item)).collect();
        let mut live_at = HashMap::new();
        for (at, key) in live_keys.iter().enumerate() {
            if let Some(key) = key {
                live_at.entry(key.clone()).and_modify(|at| *at = None).or_insert(Some(at));
            }
        }
        let applied_keys: Vec<_> =
            applied.iter().map(|item| list.element(item).unwrap_or_default()).collect();
        let shared = (0..applied.len()).filter(|&at| live_at.contains_key(&applied_keys[at])).collect();
        let live: Vec<_> = live.into_iter().map(Some).collect();
        let out = Vec::with_capacity(live.len() + applied.len());
        Self { list, live, live_keys, live_at, applied, applied_keys, shared, out }
    }

    fn run(mut self) -> Vec<Value> {
        let in_applied: HashSet<String> = self.applied_keys.iter().cloned().collect();
        let (mut l, mut a) = (0, 0);
        let mut merged = HashSet::new();
        while l < self.live.len() || a < self.applied.len() {
            if l < self.live.len() {
                let key = self.live_keys[l].clone();
                let shared = key.as_ref().filter(|key| in_applied.contains(*key));
                let Some(key) = shared else {
                    self.out.extend(self.live[l].take());
                    l += 1;
                    continue;
                };
                let here = a < self.applied.len() && *key == self.applied_keys[a];
                let next = self.shared.front().map(|&at| &self.applied_keys[at]);
                if !here && a < self.applied.len() && next.is_some_and(|next| next != key) {
                    l += 1;
                    continue;
                }
                if here || merged.contains(key) {
                    l += 1;
                }
            }
            if a < self.applied.len() {
                merged.insert(self.applied_keys[a].clone());
                self.take_applied(a);
                a += 1;
            }
        }
        self.out
    }

    /// Puts an element of the configuration out, merged with the live one; duplicates in the live list give way.
    fn take_applied(&mut self, at: usize) {
        let key = &self.applied_keys[at];
        let live = self.live_at.get(key).copied().flatten().and_then(|at| self.live[at].take());
        let mut item = live.unwrap_or_default();
        merge_value(self.list.items, &mut item, &self.applied[at]);
        self.out.push(item);
        if self.shared.front() == Some(&at) {
            self.shared.pop_front();
        }
    }
}
