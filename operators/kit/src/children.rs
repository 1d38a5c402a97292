//! Children that an operator describes whole: which of them have to be written, and which have to go.
//!
//! Invariants: an object that is not the owner's is never touched, whatever its name; a child is written only where it
//! differs from what is wanted, so an operator at rest writes nothing, and what others change comes back. A field that
//! is wanted no more is found by the hash of what was wanted last, which stands in an annotation of the child.
//! Two parties may create an object of one name at the same time; then the fields are the last writer's.
//! Deliberately absent: order. Children that must come one after the other are wanted one after the other.

use crate::{
    action::Action,
    cache::{Filter, Index},
    kind::{Key, Kind, ObjectRef},
    owner::controller_reference,
    reader::Reader,
    template::Template,
    views::{Meta, WholeView},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Annotation of a child: hash of what its owner wanted when it was written.
pub const WANTED: &str = "kit.proa.dev/wanted";

/// A child that an owner wants; its namespace is the owner's.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: Box<str>,
    /// The fields that matter; names, owner and annotation are added.
    pub object: Value,
}

/// An object that is there.
#[derive(Clone, Debug)]
pub struct Found {
    /// Kind.
    pub kind: Kind,
    /// The object.
    pub object: Arc<WholeView>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Changes {
    /// Writes: children that differ, children that nobody wants any more.
    pub actions: Vec<Action>,
    /// Objects of wanted names that are not the owner's.
    pub taken: Vec<ObjectRef>,
}

/// What is there of these kinds: objects that the owner controls, and those of these names. The kinds are watched by
/// `Watch::children`.
pub fn observe(reader: &Reader, owner: &Meta, kinds: &[Kind], names: &[&str]) -> Vec<Found> {
    let mut all = Vec::new();
    for kind in kinds {
        let cache = reader.cache_of::<WholeView>(kind, &Filter::default());
        let mut found = cache.by(&Index::CONTROLLER, &owner.uid);
        let named = names.iter().filter_map(|name| cache.get(&Key::new(&owner.namespace, name)));
        found.extend(named.filter(|object| !object.metadata.is_controlled_by(&owner.uid)));
        found.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        all.extend(found.into_iter().map(|object| Found { kind: kind.clone(), object }));
    }
    all
}

/// What has to be written so that the wanted children are there, and no others.
pub fn changes(owner: &ObjectRef, wanted: &[Child], found: &[Found]) -> Changes {
    let mut changes = Changes::default();
    for child in wanted {
        let target = ObjectRef::new(child.kind.clone(), &owner.namespace, &child.name);
        let there = found.iter().find(|found| found.is(child)).map(|found| &*found.object);
        match there {
            Some(object) if !object.metadata.is_controlled_by(&owner.uid) => changes.taken.push(target),
            // When it is gone, its owner is woken.
            Some(object) if object.metadata.is_deleting() => {}
            Some(object) => {
                let applied = applied(owner, child);
                if !holds(&object.object, &applied) {
                    changes.actions.push(Action::apply(target.with_uid(&object.metadata.uid), applied));
                }
            }
            None => changes.actions.push(Action::apply(target, applied(owner, child))),
        }
    }
    let is_left = |found: &&Found| {
        let meta = &found.object.metadata;
        meta.is_controlled_by(&owner.uid)
            && !meta.is_deleting()
            && !wanted.iter().any(|child| found.is(child))
    };
    changes.actions.extend(found.iter().filter(is_left).map(|found| Action::delete(found.reference())));
    changes
}

/// A child as it is applied.
pub fn applied(owner: &ObjectRef, child: &Child) -> Value {
    let mut object = child.object.clone();
    let hash = Template::from(object.clone()).hash(None);
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"]["ownerReferences"] = json!([controller_reference(owner)]);
    if !object["metadata"]["annotations"].is_object() {
        object["metadata"]["annotations"] = json!({});
    }
    object["metadata"]["annotations"][WANTED] = json!(hash);
    object
}

/// Whether an object has all that is wanted of it; what the server or others have added does not count.
fn holds(there: &Value, wanted: &Value) -> bool {
    match (there, wanted) {
        (Value::Object(there), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| holds(there.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(there), Value::Array(wanted)) => {
            there.len() == wanted.len() && there.iter().zip(wanted).all(|(a, b)| holds(a, b))
        }
        // Nothing that holds nothing is left out by the server.
        (Value::Null, Value::Object(wanted)) => wanted.values().all(|value| holds(&Value::Null, value)),
        (Value::Null, Value::Array(wanted)) => wanted.is_empty(),
        _ => there == wanted,
    }
}

impl Found {
    /// A reference that pins the uid.
    pub fn reference(&self) -> ObjectRef {
        let meta = &self.object.metadata;
        ObjectRef::new(self.kind.clone(), &meta.namespace, &meta.name).with_uid(&meta.uid)
    }
    fn is(&self, child: &Child) -> bool {
        self.kind == child.kind && self.object.metadata.name == child.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{ConfigMapView, Typed};

    fn owner() -> ObjectRef {
        ObjectRef::new(Kind::namespaced("example.com", "v1", "Site", "sites"), "ns", "a").with_uid("u")
    }
    fn child(name: &str, data: &Value) -> Child {
        Child { kind: ConfigMapView::KIND, name: name.into(), object: json!({"data": data}) }
    }
    /// As the server has it: with names, and fields of others.
    fn found(name: &str, mut object: Value) -> Found {
        object["metadata"]["name"] = json!(name);
        object["metadata"]["namespace"] = json!("ns");
        object["metadata"]["uid"] = json!(name);
        object["immutable"] = json!(false);
        Found { kind: ConfigMapView::KIND, object: Arc::new(serde_json::from_value(object).unwrap()) }
    }
    fn kinds(changes: &Changes) -> Vec<&'static str> {
        let kind = |action: &Action| match action {
            Action::Apply(_) => "apply",
            Action::Delete(_) => "delete",
            _ => "other",
        };
        changes.actions.iter().map(kind).collect()
    }

    #[test]
    fn only_what_differs_is_written() {
        let wanted = child("a", &json!({"x": "1"}));
        assert_eq!(kinds(&changes(&owner(), std::slice::from_ref(&wanted), &[])), ["apply"]);
        let there = found("a", applied(&owner(), &wanted));
        let none = changes(&owner(), std::slice::from_ref(&wanted), std::slice::from_ref(&there));
        assert_eq!(none, Changes::default());
        let more = child("a", &json!({"x": "1", "y": "2"}));
        assert_eq!(kinds(&changes(&owner(), &[more], std::slice::from_ref(&there))), ["apply"]);
        // A field that is wanted no more.
        let fewer = child("a", &json!({}));
        assert_eq!(kinds(&changes(&owner(), &[fewer], std::slice::from_ref(&there))), ["apply"]);
        // Somebody has changed it.
        let mut changed = applied(&owner(), &wanted);
        changed["data"]["x"] = json!("2");
        assert_eq!(kinds(&changes(&owner(), &[wanted], &[found("a", changed)])), ["apply"]);
    }

    #[test]
    fn objects_of_others_stay_and_unwanted_children_go() {
        let wanted = child("a", &json!({"x": "1"}));
        let foreign = found("a", json!({"data": {"x": "1"}}));
        let old = found("b", applied(&owner(), &child("b", &json!({}))));
        let changes = changes(&owner(), &[wanted], &[foreign, old]);
        assert_eq!(kinds(&changes), ["delete"]);
        assert_eq!(changes.taken, [ObjectRef::new(ConfigMapView::KIND, "ns", "a")]);
    }
}
