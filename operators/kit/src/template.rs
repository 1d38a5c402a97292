//! Pod templates: kept as one shared JSON value, hashed stably, turned into pods.
//!
//! Invariants: the hash depends on the template's content alone (JSON objects are ordered by key), is the same on every
//! machine and in every version, and uses the alphabet of generated names. It is not upstream's value, which nothing may
//! rely on. Upstream: pkg/controller/controller_utils.go (ComputeHash), apimachinery `pkg/util/rand`.

use crate::{
    kind::ObjectRef,
    owner::controller_reference,
    views::{Pairs, pod_spec::PodSpec},
};
use proa_meta::fnv::Fnv;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::sync::Arc;

/// `spec.template` of a workload.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template(Arc<Value>);

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self(Arc::new(value)))
    }
}

impl From<Value> for Template {
    fn from(value: Value) -> Self {
        Self(Arc::new(value))
    }
}

impl Template {
    /// The whole template.
    pub fn value(&self) -> &Value {
        &self.0
    }
    /// Its labels.
    pub fn labels(&self) -> Pairs {
        pairs(self.0.pointer("/metadata/labels"))
    }
    /// Its annotations.
    pub fn annotations(&self) -> Pairs {
        pairs(self.0.pointer("/metadata/annotations"))
    }
    /// Its pod spec as operators read it; `None` when it cannot be read.
    pub fn pod_spec(&self) -> Option<PodSpec> {
        PodSpec::deserialize(self.0.get("spec")?).ok()
    }
    /// Hash of the template; the collision count tells apart templates that hash alike.
    pub fn hash(&self, collision_count: Option<i32>) -> String {
        let mut hash = Walk::default();
        hash.value(&self.0);
        if let Some(count) = collision_count {
            hash.bytes(&count.to_le_bytes());
        }
        safe_text(hash.0.finish())
    }
    /// A pod of this template with a generated name, controlled by `owner`.
    pub fn pod(&self, owner: &ObjectRef) -> Value {
        let mut metadata = json!({
            "generateName": format!("{}-", owner.name),
            "ownerReferences": [controller_reference(owner)],
        });
        for field in ["labels", "annotations", "finalizers"] {
            if let Some(value) =
                self.0.pointer(&format!("/metadata/{field}")).filter(|value| !value.is_null())
            {
                metadata[field] = value.clone();
            }
        }
        json!({"metadata": metadata, "spec": self.0.get("spec").cloned().unwrap_or_default()})
    }
    /// The same template with one more label.
    #[must_use]
    pub fn with_label(&self, key: &str, value: &str) -> Self {
        let mut template = (*self.0).clone();
        set_label(&mut template, key, value);
        Self(Arc::new(template))
    }
    /// Whether two templates are equal when this label is left out of both: whether a rollout is due.
    pub fn is_equal_ignoring_label(&self, other: &Self, label: &str) -> bool {
        without_label(&self.0, label) == without_label(&other.0, label)
    }
}

/// `metadata.labels[key] = value`, adding what is missing.
pub fn set_label(object: &mut Value, key: &str, value: &str) {
    ensure_map(object);
    ensure_map(&mut object["metadata"]);
    ensure_map(&mut object["metadata"]["labels"]);
    object["metadata"]["labels"][key] = value.into();
}

fn ensure_map(value: &mut Value) {
    if !value.is_object() {
        *value = Value::Object(serde_json::Map::default());
    }
}

fn without_label(template: &Value, label: &str) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(label);
    }
    normalize(&mut template);
    template
}

/// Objects that Go writes though nothing is in them.
const EMPTY_IS_ABSENT: [&str; 7] =
    ["metadata", "labels", "annotations", "resources", "limits", "requests", "nodeSelector"];

/// Drops what Go's types cannot tell from absence: nulls, empty lists, and some empty objects.
fn normalize(value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|key, value| {
            normalize(value);
            match value {
                Value::Null => false,
                Value::Array(items) => !items.is_empty(),
                Value::Object(map) => !map.is_empty() || !EMPTY_IS_ABSENT.contains(&key.as_str()),
                _ => true,
            }
        }),
        Value::Array(items) => items.iter_mut().for_each(normalize),
        _ => {}
    }
}

fn pairs(value: Option<&Value>) -> Pairs {
    value
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect()
}

/// 64-bit FNV-1a over a canonical walk of a JSON value.
#[derive(Default)]
struct Walk(Fnv);

impl Walk {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"n"),
            Value::Bool(value) => self.bytes(if *value { b"t" } else { b"f" }),
            Value::Number(number) => {
                self.bytes(b"#");
                self.bytes(number.to_string().as_bytes());
            }
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.bytes(b"[");
                items.iter().for_each(|item| self.value(item));
                self.bytes(b"]");
            }
            Value::Object(map) => self.object(map),
        }
    }
    fn object(&mut self, map: &serde_json::Map<String, Value>) {
        self.bytes(b"{");
        // Sorted here, since `serde_json` keeps insertion order when any crate asks for it.
        let mut entries: Vec<_> = map.iter().filter(|(_, value)| !value.is_null()).collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        for (key, value) in entries {
            self.text(key);
            self.value(value);
        }
        self.bytes(b"}");
    }
    fn text(&mut self, text: &str) {
        self.bytes(b"\"");
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }
}

/// A 32-bit fold of the hash in the alphabet of generated names, which spells no words.
fn safe_text(hash: u64) -> String {
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let folded = (hash ^ (hash >> 32)) & 0xffff_ffff;
    folded.to_string().bytes().map(|digit| ALPHABET[usize::from(digit) % 27] as char).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_content_and_collision_count_alone() {
        let a = Template::from(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"x": 1, "y": null}}));
        let b = Template::from(json!({"spec": {"x": 1}, "metadata": {"labels": {"a": "b"}}}));
        let c = Template::from(json!({"spec": {"x": 2}, "metadata": {"labels": {"a": "b"}}}));
        assert_eq!(a.hash(None), b.hash(None));
        assert_ne!(a.hash(None), c.hash(None));
        assert_ne!(a.hash(None), a.hash(Some(1)));
        assert_ne!(a.hash(Some(1)), a.hash(Some(2)));
        // Names in running clusters carry this text: it may never change.
        assert_eq!(Template::from(json!({"spec": {"a": "b"}})).hash(None), "6d65d8484d");
    }

    #[test]
    fn the_hash_label_does_not_make_a_rollout() {
        let bare = Template::from(json!({"metadata": {"labels": {"app": "a"}}, "spec": {}}));
        let labelled = bare.with_label("pod-template-hash", "x");
        assert_eq!(labelled.labels().get("pod-template-hash"), Some("x"));
        assert!(bare.is_equal_ignoring_label(&labelled, "pod-template-hash"));
        let spelled = json!({"metadata": {"labels": {"app": "a"}, "creationTimestamp": null, "annotations": {}}, "spec": {}});
        assert!(bare.is_equal_ignoring_label(&Template::from(spelled), "x"));
        let other = Template::from(json!({"metadata": {"labels": {"app": "b"}}, "spec": {}}));
        assert!(!bare.is_equal_ignoring_label(&other, "pod-template-hash"));
    }
}
