//! Which fields a write path may own: `/status` writes own nothing in spec, others nothing in status.
//!
//! Upstream: `GetResetFields` and `GetResetFieldsFilter` of the strategies, structured-merge-diff `fieldpath.Filter`.

use super::{
    element,
    path_set::{Branch, PathSet, SELF, child, children, is_member, mark},
};
use serde_json::{Map, Value};

/// A filter on path sets. Paths are lists of field names; `*` stands for any one element.
#[derive(Clone, Copy, Debug, Default)]
pub enum Reset<'a> {
    /// Nothing is left out.
    #[default]
    Nothing,
    /// These fields and what is below them are left out.
    Exclude(&'a [&'a [&'a str]]),
    /// Only these fields, what is below them and what leads to them is kept.
    Only(&'a [&'a [&'a str]]),
}

impl Reset<'_> {
    /// Removes what is left out.
    pub(super) fn filter(self, set: &mut PathSet) {
        match self {
            Self::Nothing => {}
            Self::Exclude(paths) => {
                for path in paths {
                    exclude(&mut set.0, path);
                }
            }
            Self::Only(_) if set.is_empty() => {}
            Self::Only(paths) => set.0 = only(&set.0, paths),
        }
    }
}

fn exclude(branch: &mut Branch, path: &[&str]) {
    let Some((first, rest)) = path.split_first() else { return };
    let key = element::field(first);
    if rest.is_empty() {
        branch.remove(&key);
        return;
    }
    let Some(Value::Object(part)) = branch.get_mut(&key) else { return };
    if part.is_empty() {
        return;
    }
    exclude(part, rest);
    if part.is_empty() {
        branch.remove(&key);
    } else if part.len() == 1 && part.contains_key(SELF) {
        part.clear();
    }
}

fn only(branch: &Branch, paths: &[&[&str]]) -> Branch {
    let mut out = Map::new();
    for (key, part) in children(branch) {
        let fits = |head: &str| head == "*" || key.strip_prefix("f:") == Some(head);
        let below: Vec<&[&str]> = paths
            .iter()
            .filter_map(|path| path.split_first().filter(|(head, _)| fits(head)).map(|(_, rest)| rest))
            .collect();
        if below.iter().any(|rest| rest.is_empty()) {
            out.insert(key.clone(), Value::Object(part.clone()));
        } else if !below.is_empty() {
            let mut kept = only(part, &below);
            if is_member(part) {
                mark(&mut kept);
            } else if kept.is_empty() {
                continue;
            }
            out.insert(key.clone(), Value::Object(kept));
        }
    }
    debug_assert!(child(&out, SELF).is_none(), "the root is no member");
    out
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "tests make values in place")]
mod tests {
    use super::*;
    use serde_json::json;

    fn filtered(reset: Reset<'_>, set: Value) -> Value {
        let mut set = PathSet::decode(&set).unwrap();
        reset.filter(&mut set);
        set.into_value()
    }

    #[test]
    fn exclude_drops_whole_branches() {
        let reset = Reset::Exclude(&[&["status"], &["metadata", "labels"], &["absent", "x"]]);
        let set =
            json!({"f:status": {"f:a": {}}, "f:metadata": {".": {}, "f:labels": {"f:a": {}}}, "f:spec": {}});
        assert_eq!(filtered(reset, set), json!({"f:metadata": {}, "f:spec": {}}));
    }

    #[test]
    fn only_keeps_what_leads_there() {
        let reset = Reset::Only(&[&["spec", "containers", "*", "resources"]]);
        let set = json!({"f:status": {}, "f:spec": {"f:nodeName": {}, "f:containers": {
            "k:{\"name\":\"a\"}": {".": {}, "f:image": {}, "f:resources": {"f:limits": {}}}
        }}});
        let kept = json!({"f:spec": {"f:containers": {
            "k:{\"name\":\"a\"}": {".": {}, "f:resources": {"f:limits": {}}}
        }}});
        assert_eq!(filtered(reset, set), kept);
    }
}
