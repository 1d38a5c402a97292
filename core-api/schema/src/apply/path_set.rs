//! Sets of field paths, kept in their `fieldsV1` form: a tree of objects whose keys are path elements. `{}` is a
//! member without parts, `{".":{}, ...}` a member with parts, any other object only leads to members.
//!
//! Because the wire form is the working form, entries of managers are never decoded or encoded, and a write touches
//! only the branches it changes. Invariants: keys are canonical; no branch leads to no member; the root is no member.
//! Upstream: structured-merge-diff `fieldpath/set.go`, `fieldpath/serialize.go`.

use super::element::{self, Element};
use serde_json::{Map, Value};

/// One node of the tree.
pub(super) type Branch = Map<String, Value>;

/// Says that a node with parts is a member itself.
pub(super) const SELF: &str = ".";

/// A set of field paths.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathSet(pub(super) Branch);

impl PathSet {
    /// Reads `fieldsV1` as a client wrote it.
    ///
    /// Errors: why it is not a set of paths.
    pub fn decode(fields: &Value) -> Result<Self, String> {
        match fields {
            Value::Null => Ok(Self::default()),
            Value::Object(map) => {
                let mut root = decode_branch(map)?;
                root.remove(SELF);
                Ok(Self(root))
            }
            _ => Err("fieldsV1 must be an object".to_owned()),
        }
    }
    /// The `fieldsV1` value.
    pub fn into_value(self) -> Value {
        Value::Object(self.0)
    }
    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Whether the path, given by its elements' texts, is a member.
    pub fn contains(&self, path: &[&str]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let mut branch = Some(&self.0);
        for element in parents {
            branch = branch.and_then(|branch| child(branch, element));
        }
        branch.and_then(|branch| child(branch, last)).is_some_and(is_member)
    }
    /// Adds a path, given by its elements' texts.
    pub fn insert(&mut self, path: &[&str]) {
        let mut branch = Value::Object(Map::new());
        for element in path.iter().skip(1).rev() {
            branch = Value::Object(Map::from_iter([((*element).to_owned(), branch)]));
        }
        if let (Some(first), Value::Object(branch)) = (path.first(), branch) {
            add(&mut self.0, first, branch);
        }
    }
    /// Adds all members of `other`.
    pub(super) fn unite(&mut self, other: Self) {
        unite_children(&mut self.0, other.0);
    }
    /// Removes members that are in `other`.
    pub(super) fn subtract(&mut self, other: &Self) {
        subtract_children(&mut self.0, &other.0);
    }
    /// This set without the members of `other`.
    pub(super) fn without(mut self, other: &Self) -> Self {
        self.subtract(other);
        self
    }
    /// Members of both.
    pub(super) fn intersection(&self, other: &Self) -> Self {
        Self(intersect_children(&self.0, &other.0))
    }
    /// Whether all members are in `other`.
    pub(super) fn is_subset(&self, other: &Self) -> bool {
        children_are_subset(&self.0, &other.0)
    }
    /// All paths as messages show them, in upstream's order.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        list_paths(&self.0, "", &mut out);
        out
    }
}

/// A part of a branch.
pub(super) fn child<'a>(branch: &'a Branch, element: &str) -> Option<&'a Branch> {
    branch.get(element).and_then(Value::as_object)
}

/// Whether a node (not the root) is a member.
pub(super) fn is_member(branch: &Branch) -> bool {
    branch.is_empty() || branch.contains_key(SELF)
}

/// Parts of a branch by element.
pub(super) fn children(branch: &Branch) -> impl Iterator<Item = (&String, &Branch)> {
    branch.iter().filter(|(key, _)| *key != SELF).filter_map(|(key, value)| Some((key, value.as_object()?)))
}

/// Marks a node (not the root) as a member.
pub(super) fn mark(branch: &mut Branch) {
    if !branch.is_empty() {
        branch.insert(SELF.to_owned(), Value::Object(Map::new()));
    }
}

/// Unites `branch` with what is at `element`.
pub(super) fn add(parent: &mut Branch, element: &str, branch: Branch) {
    match parent.get_mut(element) {
        Some(Value::Object(existing)) => unite(existing, branch),
        _ => drop(parent.insert(element.to_owned(), Value::Object(branch))),
    }
}

fn decode_branch(map: &Branch) -> Result<Branch, String> {
    let mut out = Map::new();
    for (key, value) in map.iter().filter(|(key, _)| *key != SELF) {
        let Some(element) = element::canonical(key)? else { continue };
        let part = match value {
            Value::Object(part) => decode_branch(part)?,
            Value::Null => Map::new(),
            _ => return Err(format!("value of {key} must be an object")),
        };
        add(&mut out, &element, part);
    }
    if map.contains_key(SELF) {
        mark(&mut out);
    }
    Ok(out)
}

fn unite(into: &mut Branch, other: Branch) {
    let member = is_member(into) || is_member(&other);
    unite_children(into, other);
    if member {
        mark(into);
    }
}

fn unite_children(into: &mut Branch, other: Branch) {
    if into.is_empty() {
        *into = other;
        return;
    }
    for (key, value) in other {
        if let Value::Object(part) = value {
            add(into, &key, part);
        }
    }
}

/// Returns whether anything is left of the node.
fn subtract(branch: &mut Branch, other: &Branch) -> bool {
    let other_is_member = is_member(other);
    if branch.is_empty() {
        return !other_is_member;
    }
    if other_is_member {
        branch.remove(SELF);
    }
    subtract_children(branch, other);
    if branch.len() == 1 && branch.contains_key(SELF) {
        branch.clear();
        return true;
    }
    !branch.is_empty()
}

fn subtract_children(branch: &mut Branch, other: &Branch) {
    for (key, theirs) in children(other) {
        if let Some(Value::Object(ours)) = branch.get_mut(key)
            && !subtract(ours, theirs)
        {
            branch.remove(key);
        }
    }
}

fn intersect_children(a: &Branch, b: &Branch) -> Branch {
    let mut out = Map::new();
    for (key, ours) in children(a) {
        let Some(theirs) = child(b, key) else { continue };
        let mut both = intersect_children(ours, theirs);
        let member = is_member(ours) && is_member(theirs);
        if member {
            mark(&mut both);
        }
        if member || !both.is_empty() {
            out.insert(key.clone(), Value::Object(both));
        }
    }
    out
}

fn children_are_subset(a: &Branch, b: &Branch) -> bool {
    children(a).all(|(key, ours)| {
        child(b, key).is_some_and(|theirs| {
            (!is_member(ours) || is_member(theirs)) && children_are_subset(ours, theirs)
        })
    })
}

/// Members of a level come first, then what is below each part.
fn list_paths(branch: &Branch, prefix: &str, out: &mut Vec<String>) {
    let mut parts: Vec<(Element<'_>, &Branch)> = children(branch)
        .filter_map(|(key, part)| Some((Element::parse(key).ok().flatten()?, part)))
        .collect();
    parts.sort_by(|(a, _), (b, _)| a.compare(b));
    for (element, part) in &parts {
        if is_member(part) {
            out.push(format!("{prefix}{}", element.display()));
        }
    }
    for (element, part) in &parts {
        list_paths(part, &format!("{prefix}{}", element.display()), out);
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "tests make values in place")]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(value: Value) -> PathSet {
        PathSet::decode(&value).unwrap()
    }

    #[test]
    fn decoding_canonicalises_and_drops_what_is_unknown() {
        let decoded =
            set(json!({".": {}, "f:a": {"f:b": {".": {}}, "x:1": {}}, "f:c": null, "f:d": {"x:2": {}}}));
        assert_eq!(decoded.0, *json!({"f:a": {"f:b": {}}, "f:c": {}, "f:d": {}}).as_object().unwrap());
        assert!(PathSet::decode(&json!({"f:a": 1})).is_err());
        assert!(PathSet::decode(&json!("x")).is_err());
    }

    #[test]
    fn inserting_keeps_parents_what_they_were() {
        let mut paths = PathSet::default();
        paths.insert(&["f:a", "f:b"]);
        assert!(!paths.contains(&["f:a"]) && paths.contains(&["f:a", "f:b"]));
        paths.insert(&["f:a"]);
        paths.insert(&["f:c"]);
        paths.insert(&["f:c", "f:d"]);
        assert_eq!(paths, set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {".": {}, "f:d": {}}})));
    }

    #[test]
    fn algebra() {
        let a = set(json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {}}));
        let b = set(json!({"f:a": {"f:b": {}}, "f:d": {"f:e": {}}}));
        assert_eq!(a.clone().without(&b), set(json!({"f:a": {".": {}, "f:c": {}}, "f:d": {}})));
        assert_eq!(b.clone().without(&a), set(json!({"f:d": {"f:e": {}}})));
        assert_eq!(a.intersection(&b), set(json!({"f:a": {"f:b": {}}})));
        let mut both = a.clone();
        both.unite(b.clone());
        assert_eq!(both, set(json!({"f:a": {".": {}, "f:b": {}, "f:c": {}}, "f:d": {".": {}, "f:e": {}}})));
        assert!(a.is_subset(&both) && b.is_subset(&both) && !both.is_subset(&a));
        let rest = both.without(&set(json!({"f:a": {}, "f:d": {"f:e": {}}})));
        assert_eq!(rest, set(json!({"f:a": {"f:b": {}, "f:c": {}}, "f:d": {}})));
    }

    #[test]
    fn removing_all_parts_of_a_member_leaves_a_leaf() {
        let a = set(json!({"f:a": {".": {}, "f:b": {}}}));
        let rest = a.without(&set(json!({"f:a": {"f:b": {}}})));
        assert_eq!(rest, set(json!({"f:a": {}})));
        assert!(rest.without(&set(json!({"f:a": {}}))).is_empty());
    }

    #[test]
    fn paths_come_in_upstreams_order() {
        let paths = set(json!({
            "f:b": {}, "f:a": {"k:{\"port\":443}": {".": {}, "f:x": {}}, "k:{\"port\":80}": {}}, "f:c": {"v:\"y\"": {}}
        }));
        let expected = [".b", ".a[port=80]", ".a[port=443]", ".a[port=443].x", ".c[=\"y\"]"];
        assert_eq!(paths.paths(), expected);
    }
}
