//! Order of merged list elements: the patch's elements keep the patch's order, elements of the server alone keep the
//! server's, and both are interleaved as the server had them.
//!
//! Upstream: apimachinery `pkg/util/strategicpatch/patch.go` (`normalizeElementOrder`, `mergeSortedSlice`).

use super::{Problem, go_text, lists::OBJECT, wrong_type};
use serde_json::Value;
use std::{cmp::Ordering, collections::HashMap};

/// First position of every element, by key or by value.
pub(super) struct Index<'k> {
    key: Option<&'k str>,
    positions: HashMap<String, usize>,
}

impl<'k> Index<'k> {
    /// Positions of scalars.
    pub(super) fn of_scalars(items: &[Value]) -> Self {
        Self { key: None, positions: first_positions(items.iter().map(Value::to_string)) }
    }
    /// Positions of objects by their key, which each of them must have.
    pub(super) fn of_objects(items: &[Value], key: &'k str) -> Result<Self, Problem> {
        let texts: Result<Vec<_>, _> = items.iter().map(|item| key_text(item, key)).collect();
        Ok(Self { key: Some(key), positions: first_positions(texts?.into_iter()) })
    }
    /// The positions alone.
    pub(super) fn into_owned(self) -> HashMap<String, usize> {
        self.positions
    }
    /// Where the element is.
    pub(super) fn position(&self, item: &Value) -> Option<usize> {
        match self.key {
            Some(key) => item.get(key).and_then(|value| self.positions.get(&value.to_string())),
            None => self.positions.get(&item.to_string()),
        }
        .copied()
    }
}

fn first_positions(texts: impl Iterator<Item = String>) -> HashMap<String, usize> {
    let mut positions = HashMap::new();
    for (at, text) in texts.enumerate() {
        positions.entry(text).or_insert(at);
    }
    positions
}

/// The element's key value as text that tells values apart.
pub(super) fn key_text(item: &Value, key: &str) -> Result<String, Problem> {
    match item {
        Value::Object(map) => map
            .get(key)
            .map(Value::to_string)
            .ok_or_else(|| Problem::NoMergeKey { map: go_text::plain(item), key: key.to_owned() }),
        other => Err(wrong_type(OBJECT, other)),
    }
}

/// Sorts `ours` by `ours_order` and `theirs` by `server`, and inserts `theirs` between `ours`: before the first of
/// `ours` that the server had later.
pub(super) fn arrange(
    mut ours: Vec<Value>,
    mut theirs: Vec<Value>,
    ours_order: &Index<'_>,
    server: &Index<'_>,
) -> Vec<Value> {
    ours.sort_by(|a, b| by_position(ours_order, a, b));
    theirs.sort_by(|a, b| by_position(server, a, b));
    let mut out = Vec::with_capacity(ours.len() + theirs.len());
    let mut theirs = theirs.into_iter().peekable();
    for item in ours {
        let limit = server.position(&item);
        while let Some(next) = theirs.peek() {
            match (server.position(next), limit) {
                (Some(at), Some(limit)) if at < limit => out.extend(theirs.next()),
                _ => break,
            }
        }
        out.push(item);
    }
    out.extend(theirs);
    out
}

fn by_position(order: &Index<'_>, a: &Value, b: &Value) -> Ordering {
    match (order.position(a), order.position(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (a, b) => b.is_some().cmp(&a.is_some()).reverse(),
    }
}
