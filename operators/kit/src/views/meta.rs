//! Object metadata without managedFields, and without annotations unless a view asks for them.

use crate::kind::Key;
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{IgnoredAny, MapAccess, Visitor},
    ser::SerializeMap,
};
use std::fmt;

/// The metadata that operators read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meta {
    /// Name.
    pub name: Box<str>,
    /// Namespace; empty when cluster-scoped.
    pub namespace: Box<str>,
    /// Uid.
    pub uid: Box<str>,
    /// resourceVersion as a number; comparable since KEP-5504.
    pub resource_version: u64,
    /// Generation.
    pub generation: i64,
    /// When it was created.
    pub creation_timestamp: Option<Timestamp>,
    /// When it was asked to go.
    pub deletion_timestamp: Option<Timestamp>,
    /// How long it may take to go.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    pub labels: Pairs,
    /// Annotations; empty unless the view declares `deserialize_with = "meta::annotated"`.
    pub annotations: Pairs,
    /// Finalizers.
    pub finalizers: Box<[Box<str>]>,
    /// Owner references.
    pub owners: Box<[Owner]>,
}

impl Meta {
    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
    /// The owner that controls it.
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }
    /// Whether the owner with this uid controls it.
    pub fn is_controlled_by(&self, uid: &str) -> bool {
        self.controller().is_some_and(|owner| &*owner.uid == uid)
    }
    /// Key of its controller, if that is of this API group and kind.
    pub fn controller_key(&self, group: &str, kind: &str) -> Option<Key> {
        let owner = self.controller().filter(|owner| owner.is(group, kind))?;
        Some(Key::new(&self.namespace, &owner.name))
    }
    /// Whether it carries the finalizer.
    pub fn has_finalizer(&self, finalizer: &str) -> bool {
        self.finalizers.iter().any(|f| &**f == finalizer)
    }
}

/// An owner reference.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// API version.
    #[serde(default)]
    pub api_version: Box<str>,
    /// Kind.
    #[serde(default)]
    pub kind: Box<str>,
    /// Name.
    #[serde(default)]
    pub name: Box<str>,
    /// Uid.
    #[serde(default)]
    pub uid: Box<str>,
    /// Whether this owner controls the object.
    #[serde(default)]
    pub controller: bool,
    /// Whether the owner may not go before the object in foreground deletion.
    #[serde(default)]
    pub block_owner_deletion: bool,
}

impl Owner {
    /// Whether it is of this API group (any version) and kind.
    pub fn is(&self, group: &str, kind: &str) -> bool {
        let own = self.api_version.split_once('/').map_or("", |(group, _)| group);
        &*self.kind == kind && own == group
    }
}

/// String pairs, sorted by key: labels, annotations, selectors.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pairs(Box<[(Box<str>, Box<str>)]>);

impl Pairs {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.binary_search_by(|(own, _)| (**own).cmp(key)).ok().map(|at| &*self.0[at].1)
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Pairs in order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
    /// Whether every pair of `self` is in `other`: a map selector matches labels.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Pairs {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<(Box<str>, Box<str>)> =
            pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        // The last of equal keys wins, as in a JSON object.
        pairs.reverse();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|a, b| a.0 == b.0);
        Self(pairs.into())
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor;
        impl<'de> Visitor<'de> for PairsVisitor {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of strings")
            }
            fn visit_unit<E>(self) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::with_capacity(map.size_hint().unwrap_or(4));
                while let Some(key) = map.next_key::<Box<str>>()? {
                    pairs.push((key, map.next_value::<Option<Box<str>>>()?.unwrap_or_default()));
                }
                Ok(pairs.into_iter().collect())
            }
        }
        deserializer.deserialize_any(PairsVisitor)
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// What a view decodes into when it does not want annotations.
#[derive(Default)]
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

impl From<Skipped> for Pairs {
    fn from(_: Skipped) -> Self {
        Self::default()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<A: Default> {
    #[serde(default)]
    name: Box<str>,
    #[serde(default)]
    namespace: Box<str>,
    #[serde(default)]
    uid: Box<str>,
    #[serde(default, deserialize_with = "revision")]
    resource_version: u64,
    #[serde(default)]
    generation: i64,
    creation_timestamp: Option<Timestamp>,
    deletion_timestamp: Option<Timestamp>,
    deletion_grace_period_seconds: Option<i64>,
    #[serde(default)]
    labels: Pairs,
    #[serde(default)]
    annotations: A,
    #[serde(default, deserialize_with = "super::null_as_default")]
    finalizers: Box<[Box<str>]>,
    #[serde(default, rename = "ownerReferences", deserialize_with = "super::null_as_default")]
    owners: Box<[Owner]>,
}

impl<A: Default + Into<Pairs>> From<Wire<A>> for Meta {
    fn from(wire: Wire<A>) -> Self {
        Self {
            name: wire.name,
            namespace: wire.namespace,
            uid: wire.uid,
            resource_version: wire.resource_version,
            generation: wire.generation,
            creation_timestamp: wire.creation_timestamp,
            deletion_timestamp: wire.deletion_timestamp,
            deletion_grace_period_seconds: wire.deletion_grace_period_seconds,
            labels: wire.labels,
            annotations: wire.annotations.into(),
            finalizers: wire.finalizers,
            owners: wire.owners,
        }
    }
}

impl<'de> Deserialize<'de> for Meta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Wire::<Skipped>::deserialize(deserializer).map(Self::from)
    }
}

/// Metadata with annotations: `#[serde(deserialize_with = "meta::annotated")]`.
pub fn annotated<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
    Wire::<Pairs>::deserialize(deserializer).map(Meta::from)
}

/// Annotations by which workloads and users speak about single pods.
const ABOUT_PODS: [&str; 2] = ["controller.kubernetes.io/", "batch.kubernetes.io/"];

/// Only the annotations that workloads read on pods; the others can be long and there are many pods.
#[derive(Default)]
struct AboutPods(Pairs);

impl<'de> Deserialize<'de> for AboutPods {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Pairs::deserialize(deserializer)?;
        let is_kept = |key: &str| ABOUT_PODS.iter().any(|prefix| key.starts_with(prefix));
        let kept = all.0.into_iter().filter(|(key, _)| is_kept(key));
        Ok(Self(Pairs(kept.collect())))
    }
}

impl From<AboutPods> for Pairs {
    fn from(kept: AboutPods) -> Self {
        kept.0
    }
}

/// Metadata of a pod, with the annotations that workloads read.
pub fn of_pod<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Meta, D::Error> {
    Wire::<AboutPods>::deserialize(deserializer).map(Meta::from)
}

fn revision<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    struct Revision;
    impl Visitor<'_> for Revision {
        type Value = u64;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a resourceVersion")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<u64, E> {
            if text.is_empty() { Ok(0) } else { text.parse().map_err(E::custom) }
        }
    }
    deserializer.deserialize_str(Revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = r#"{"name":"a","namespace":"ns","uid":"u","resourceVersion":"12","labels":{"b":"2","a":"1"},
        "annotations":{"x":"y"},"managedFields":[{"manager":"m","fieldsV1":{"f:a":{}}}],"creationTimestamp":null,
        "ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"rs","uid":"r","controller":true}]}"#;

    #[test]
    fn annotations_are_decoded_only_where_asked_for() {
        let meta: Meta = serde_json::from_str(OBJECT).unwrap();
        assert!(meta.annotations.is_empty());
        assert_eq!((meta.resource_version, meta.labels.get("b")), (12, Some("2")));
        assert_eq!(meta.controller_key("apps", "ReplicaSet"), Some(Key::new("ns", "rs")));
        assert_eq!(meta.controller_key("", "ReplicaSet"), None);
        let meta = annotated(&mut serde_json::Deserializer::from_str(OBJECT)).unwrap();
        assert_eq!(meta.annotations.get("x"), Some("y"));
    }

    #[test]
    fn pairs_are_sorted_and_the_last_of_equal_keys_wins() {
        let pairs: Pairs = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(pairs.iter().collect::<Vec<_>>(), [("a", "2"), ("b", "3")]);
        let fewer: Pairs = [("b", "3")].into_iter().collect();
        assert!(fewer.is_subset_of(&pairs) && !pairs.is_subset_of(&fewer));
    }
}
