//! Ownership: controller references, and which dependents to adopt or let go.
//!
//! Upstream: pkg/controller/controller_ref_manager.go, apimachinery `pkg/apis/meta/v1/controller_ref.go`.

use crate::{
    action::Action,
    kind::{Kind, ObjectRef},
    selector::LabelSelector,
    views::{Meta, Typed},
};
use serde_json::{Value, json};

/// The `ownerReferences` entry that makes `owner` the controller.
pub fn controller_reference(owner: &ObjectRef) -> Value {
    json!({
        "apiVersion": owner.kind.api_version(),
        "kind": owner.kind.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// What an owner does with an object it may own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is the owner's and fits.
    Owned,
    /// It fits and has no controller.
    Adopt,
    /// It is the owner's and no longer fits.
    Release,
    /// It is no concern of the owner.
    Foreign,
}

/// The decision for one object. A deleting owner and a deleting orphan change nothing.
pub fn claim(owner: &Meta, selector: &LabelSelector, object: &Meta) -> Claim {
    let matches = selector.matches(&object.labels);
    match object.controller() {
        Some(controller) if controller.uid != owner.uid => Claim::Foreign,
        Some(_) if matches => Claim::Owned,
        Some(_) if owner.is_deleting() => Claim::Foreign,
        Some(_) => Claim::Release,
        None if owner.is_deleting() || !matches || object.is_deleting() => Claim::Foreign,
        None if object.namespace != owner.namespace => Claim::Foreign,
        None => Claim::Adopt,
    }
}

/// The patch that adopts an object.
pub fn adopt(owner: &ObjectRef, object: &ObjectRef) -> Action {
    Action::strategic(
        object.clone(),
        json!({"metadata": {"ownerReferences": [controller_reference(owner)], "uid": object.uid}}),
    )
}

/// The patch that adopts an object and adds finalizers.
pub fn adopt_with_finalizers(owner: &ObjectRef, object: &ObjectRef, finalizers: &[&str]) -> Action {
    Action::strategic(
        object.clone(),
        json!({"metadata": {
            "ownerReferences": [controller_reference(owner)], "uid": object.uid, "finalizers": finalizers}}),
    )
}

/// The patch that lets an object go, and takes finalizers with it.
pub fn release(owner: &ObjectRef, object: &ObjectRef, finalizers: &[&str]) -> Action {
    let mut metadata = json!({
        "ownerReferences": [{"$patch": "delete", "uid": owner.uid}],
        "uid": object.uid,
    });
    if !finalizers.is_empty() {
        metadata["$deleteFromPrimitiveList/finalizers"] = json!(finalizers);
    }
    Action::strategic(object.clone(), json!({"metadata": metadata}))
}

/// Whether the owner reference of a dependent names this kind, so that its key can be woken.
pub fn key_of_controller<V: Typed>(meta: &Meta) -> Option<crate::Key> {
    let Kind { group, kind, .. } = V::KIND;
    meta.controller_key(&group, &kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::Owner;

    fn object(owner: Option<&str>, app: &str, deleting: bool) -> Meta {
        let owners = owner.map(|uid| Owner { uid: uid.into(), controller: true, ..Owner::default() });
        Meta {
            labels: [("app", app)].into_iter().collect(),
            owners: owners.into_iter().collect(),
            deletion_timestamp: deleting.then_some(jiff::Timestamp::UNIX_EPOCH),
            ..Meta::default()
        }
    }

    #[test]
    fn orphans_that_match_are_adopted_and_strays_let_go() {
        let selector = serde_json::from_str(r#"{"matchLabels":{"app":"a"}}"#).unwrap();
        let owner = Meta { uid: "me".into(), ..Meta::default() };
        for (object, want) in [
            (object(Some("me"), "a", false), Claim::Owned),
            (object(Some("me"), "b", false), Claim::Release),
            (object(None, "a", false), Claim::Adopt),
            (object(None, "a", true), Claim::Foreign),
            (object(None, "b", false), Claim::Foreign),
            (object(Some("other"), "a", false), Claim::Foreign),
        ] {
            assert_eq!(claim(&owner, &selector, &object), want, "{object:?}");
        }
        let deleting = Meta { deletion_timestamp: Some(jiff::Timestamp::UNIX_EPOCH), ..owner };
        assert_eq!(claim(&deleting, &selector, &object(None, "a", false)), Claim::Foreign);
        assert_eq!(claim(&deleting, &selector, &object(Some("me"), "b", false)), Claim::Foreign);
    }
}
