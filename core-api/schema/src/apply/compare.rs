//! What a write changed: paths removed, modified and added between two versions of an object.
//!
//! Both versions are walked at once and sets are made only where they differ, so an unchanged object costs no
//! allocation. Identity and bookkeeping fields ([`OWNERLESS`]) are left out: no manager ever owns them.
//! Upstream: structured-merge-diff `typed/compare.go`, apimachinery `managedfields/internal/stripmeta.go`.

use super::{
    element,
    node::{Atom, ListNode, Node, blank},
    path_set::{Branch, PathSet, SELF},
    reset::Reset,
};
use crate::schema::Schema;
use serde_json::{Map, Value};

/// Metadata fields that no manager owns.
pub(super) const OWNERLESS: [&str; 9] = [
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Difference of two versions.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) removed: PathSet,
    pub(super) modified: PathSet,
    pub(super) added: PathSet,
}

impl Difference {
    /// Compares two versions of an object, without what `reset` leaves out.
    pub(super) fn between(schema: &Schema, old: &Value, new: &Value, reset: Reset<'_>) -> Self {
        let empty = Map::new();
        let (old, new) = (old.as_object().unwrap_or(&empty), new.as_object().unwrap_or(&empty));
        let root = Node::root(schema);
        let mut change = fields(root, old, new, &["apiVersion", "kind", "metadata"]);
        let old_meta = old.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
        let new_meta = new.get("metadata").and_then(Value::as_object).unwrap_or(&empty);
        let meta = fields(root.field("metadata").node(), old_meta, new_meta, &OWNERLESS);
        change.put("f:metadata", meta);
        let mut difference = Self {
            removed: PathSet(change.removed.unwrap_or_default()),
            modified: PathSet(change.modified.unwrap_or_default()),
            added: PathSet(change.added.unwrap_or_default()),
        };
        for set in [&mut difference.removed, &mut difference.modified, &mut difference.added] {
            reset.filter(set);
        }
        difference
    }

    /// What a new object of the schema's kind sets.
    pub(super) fn of_new(schema: &Schema, new: &Value, reset: Reset<'_>) -> Self {
        Self::between(schema, &blank(schema), new, reset)
    }

    /// Whether nothing changed.
    pub(super) fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.modified.is_empty() && self.added.is_empty()
    }

    /// Takes what changed away from a manager.
    pub(super) fn take_from(&self, owned: &mut PathSet) {
        for set in [&self.modified, &self.added, &self.removed] {
            owned.subtract(set);
        }
    }

    /// Modified and added paths.
    pub(super) fn into_set(self) -> PathSet {
        let mut set = self.modified;
        set.unite(self.added);
        set
    }
}

/// Changes below one place; `Some` of an empty branch says that the place itself is the leaf that changed.
#[derive(Default)]
struct Change {
    removed: Option<Branch>,
    modified: Option<Branch>,
    added: Option<Branch>,
}

impl Change {
    fn put(&mut self, element: &str, part: Self) {
        let put = |into: &mut Option<Branch>, part: Option<Branch>| {
            if let Some(part) = part {
                into.get_or_insert_default().insert(element.to_owned(), Value::Object(part));
            }
        };
        put(&mut self.removed, part.removed);
        put(&mut self.modified, part.modified);
        put(&mut self.added, part.added);
    }
    fn is_empty(&self) -> bool {
        self.removed.is_none() && self.modified.is_none() && self.added.is_none()
    }
    fn put_removed(&mut self, element: String, part: Branch) {
        self.removed.get_or_insert_default().insert(element, Value::Object(part));
    }
    fn put_added(&mut self, element: String, part: Branch) {
        self.added.get_or_insert_default().insert(element, Value::Object(part));
    }
}

fn compare(node: Node<'_>, old: &Value, new: &Value) -> Change {
    match (node.atom(old), node.atom(new)) {
        (Atom::Object, Atom::Object) => objects(node, old, new),
        (Atom::Object, Atom::Leaf) if new.is_null() => objects(node, old, new),
        (Atom::Leaf, Atom::Object) if old.is_null() => objects(node, old, new),
        (Atom::List(list), Atom::List(_)) => lists(list, old, new),
        (Atom::Leaf, Atom::Leaf) => leaf(old, new),
        _ => change_of_form(node, old, new),
    }
}

fn leaf(old: &Value, new: &Value) -> Change {
    let modified = (old != new).then(Map::new);
    Change { modified, ..Change::default() }
}

/// An object where a scalar or a list was, or the other way round.
fn change_of_form(node: Node<'_>, old: &Value, new: &Value) -> Change {
    let parts = |value: &Value| {
        let mut parts = whole(node, value);
        parts.remove(SELF);
        (!parts.is_empty()).then_some(parts)
    };
    Change { removed: parts(old), modified: Some(Map::new()), added: parts(new) }
}

fn objects(node: Node<'_>, old: &Value, new: &Value) -> Change {
    match (old.as_object().filter(|m| !m.is_empty()), new.as_object().filter(|m| !m.is_empty())) {
        (None, None) => leaf(old, new),
        (Some(old), Some(new)) => fields(node, old, new, &[]),
        (Some(old), None) => fields(node, old, &Map::new(), &[]),
        (None, Some(new)) => fields(node, &Map::new(), new, &[]),
    }
}

/// Compares fields by name, both sides being sorted.
fn fields(node: Node<'_>, old: &Map<String, Value>, new: &Map<String, Value>, skip: &[&str]) -> Change {
    let mut change = Change::default();
    let mut olds = old.iter().filter(|(name, _)| !skip.contains(&name.as_str())).peekable();
    for (name, value) in new.iter().filter(|(name, _)| !skip.contains(&name.as_str())) {
        while let Some((gone, value)) = olds.next_if(|(old, _)| *old < name) {
            change.put_removed(element::field(gone), whole(node.field(gone).node(), value));
        }
        match olds.next_if(|(old, _)| *old == name) {
            Some((_, before)) => {
                let part = compare(node.field(name).node(), before, value);
                if !part.is_empty() {
                    change.put(&element::field(name), part);
                }
            }
            None => change.put_added(element::field(name), whole(node.field(name).node(), value)),
        }
    }
    for (gone, value) in olds {
        change.put_removed(element::field(gone), whole(node.field(gone).node(), value));
    }
    change
}

fn lists(list: ListNode<'_>, old: &Value, new: &Value) -> Change {
    if old == new {
        return Change::default();
    }
    let items = |value: &'_ Value| value.as_array().filter(|items| !items.is_empty()).is_some();
    if !items(old) && !items(new) {
        return leaf(old, new);
    }
    let mut change = Change::default();
    let (olds, news) = (Elements::of(list, old), Elements::of(list, new));
    let (mut olds, news) = (olds.groups().peekable(), news.groups());
    for (element, after) in news {
        while let Some((gone, before)) = olds.next_if(|(old, _)| *old < element) {
            change.put_removed(gone.to_owned(), whole_group(list, &before));
        }
        match olds.next_if(|(old, _)| *old == element) {
            Some((_, before)) => compare_groups(list, element, &before, &after, &mut change),
            None => change.put_added(element.to_owned(), whole_group(list, &after)),
        }
    }
    for (gone, before) in olds {
        change.put_removed(gone.to_owned(), whole_group(list, &before));
    }
    change
}

/// Elements that are equal by key are one group; more than one is a duplicate, which is owned as a leaf.
fn compare_groups(list: ListNode<'_>, element: &str, old: &[&Value], new: &[&Value], change: &mut Change) {
    match (old, new) {
        ([old], [new]) => {
            let part = compare(list.items, old, new);
            if !part.is_empty() {
                change.put(element, part);
            }
        }
        ([_, _, ..], [_, _, ..]) => {
            if old != new {
                change.modified.get_or_insert_default().insert(element.to_owned(), Value::Object(Map::new()));
            }
        }
        _ => {
            change.put_removed(element.to_owned(), whole_group(list, old));
            change.put_added(element.to_owned(), whole_group(list, new));
        }
    }
}

fn whole_group(list: ListNode<'_>, items: &[&Value]) -> Branch {
    match items {
        [item] => whole(list.items, item),
        _ => Map::new(),
    }
}

/// List elements sorted by their path element.
struct Elements<'v>(Vec<(String, &'v Value)>);

impl<'v> Elements<'v> {
    fn of(list: ListNode<'_>, value: &'v Value) -> Self {
        let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let mut found: Vec<_> = items.iter().filter_map(|item| Some((list.element(item)?, item))).collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        Self(found)
    }
    fn groups(&self) -> impl Iterator<Item = (&str, Vec<&'v Value>)> {
        let same = |a: &(String, _), b: &(String, _)| a.0 == b.0;
        self.0
            .chunk_by(same)
            .map(|group| (group[0].0.as_str(), group.iter().map(|(_, item)| *item).collect()))
    }
}

/// The place itself and everything in it.
fn whole(node: Node<'_>, value: &Value) -> Branch {
    let mut out = Map::new();
    match (node.atom(value), value) {
        (Atom::Object, Value::Object(map)) => {
            for (name, value) in map {
                out.insert(element::field(name), Value::Object(whole(node.field(name).node(), value)));
            }
        }
        (Atom::List(list), Value::Array(_)) => {
            for (element, items) in Elements::of(list, value).groups() {
                out.insert(element.to_owned(), Value::Object(whole_group(list, &items)));
            }
        }
        _ => {}
    }
    super::path_set::mark(&mut out);
    out
}
