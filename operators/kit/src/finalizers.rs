//! Finalizers: the patches that add and remove one, pinned to the version they were decided on.
//!
//! Invariant: the whole list is written with the object's resourceVersion, so a finalizer that another party changed
//! meanwhile is never lost: the write conflicts and the object is observed again.

use crate::{action::Action, kind::ObjectRef, views::Meta};
use serde_json::json;

/// Adds a finalizer; `None` when it is there, or the object is already going.
pub fn add(object: ObjectRef, meta: &Meta, finalizer: &str) -> Option<Action> {
    if meta.has_finalizer(finalizer) || meta.is_deleting() {
        return None;
    }
    let list: Vec<&str> = meta.finalizers.iter().map(|f| &**f).chain([finalizer]).collect();
    Some(replace(object, meta, &list))
}

/// Removes a finalizer; `None` when it is not there.
pub fn remove(object: ObjectRef, meta: &Meta, finalizer: &str) -> Option<Action> {
    if !meta.has_finalizer(finalizer) {
        return None;
    }
    let list: Vec<&str> = meta.finalizers.iter().map(|f| &**f).filter(|f| *f != finalizer).collect();
    Some(replace(object, meta, &list))
}

fn replace(object: ObjectRef, meta: &Meta, list: &[&str]) -> Action {
    Action::merge(object.at(meta.resource_version), json!({"metadata": {"finalizers": list}}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{PodView, Typed};

    fn meta(finalizers: &[&str], deleting: bool) -> Meta {
        Meta {
            resource_version: 7,
            finalizers: finalizers.iter().map(|f| (*f).into()).collect(),
            deletion_timestamp: deleting.then_some(jiff::Timestamp::UNIX_EPOCH),
            ..Meta::default()
        }
    }

    #[test]
    fn lists_are_written_whole_and_pinned() {
        let pod = || ObjectRef::new(PodView::KIND, "ns", "a");
        let list = |finalizers: &[&str]| json!({"metadata": {"finalizers": finalizers}});
        assert_eq!(
            add(pod(), &meta(&["a"], false), "b"),
            Some(Action::merge(pod().at(7), list(&["a", "b"])))
        );
        assert_eq!(add(pod(), &meta(&["b"], false), "b"), None);
        assert_eq!(add(pod(), &meta(&[], true), "b"), None);
        assert_eq!(
            remove(pod(), &meta(&["a", "b"], true), "b"),
            Some(Action::merge(pod().at(7), list(&["a"])))
        );
        assert_eq!(remove(pod(), &meta(&["a"], true), "b"), None);
    }
}
