//! Names: a kind of object, a key inside a cache, a reference to one object.
//!
//! Invariants: a `Key` is `namespace/name`, the namespace empty for cluster-scoped objects; neither part can hold a
//! slash, so the text is unambiguous. Deliberately absent: discovery; who finds kinds at run time builds `Kind` values.

use serde::{Serialize, Serializer};
use std::{borrow::Cow, fmt, sync::Arc};

/// One kind of object as the API serves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: Cow<'static, str>,
    /// API version.
    pub version: Cow<'static, str>,
    /// Kind.
    pub kind: Cow<'static, str>,
    /// Plural resource.
    pub plural: Cow<'static, str>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// A built-in namespaced kind.
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        Self {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced: true,
        }
    }
    /// A built-in cluster-scoped kind.
    pub const fn cluster(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Self {
        let mut kind = Self::namespaced(group, version, kind, plural);
        kind.namespaced = false;
        kind
    }
    /// The objects' `apiVersion`.
    pub fn api_version(&self) -> String {
        proa_meta::gvk::api_version(&self.group, &self.version)
    }
    /// URL path of the collection, or of one object when `name` is not empty, or of its subresource.
    pub fn path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = String::with_capacity(96);
        path.push_str(if self.group.is_empty() { "/api" } else { "/apis/" });
        path.push_str(&self.group);
        path.push('/');
        path.push_str(&self.version);
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        for part in [&*self.plural, name, subresource] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        path
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.plural)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

/// In plans a kind reads as its name.
impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.kind)
    }
}

/// Namespace and name of an object; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The namespace is empty for cluster-scoped objects.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }
    /// Namespace, empty for cluster-scoped objects.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }
    /// Name.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }
    /// `namespace/name`, or only the name: as upstream's logs and messages have it.
    pub fn as_str(&self) -> &str {
        self.0.strip_prefix('/').unwrap_or(&self.0)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One object, optionally pinned to a uid and a resourceVersion.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Kind.
    pub kind: Kind,
    /// Namespace; empty when cluster-scoped.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Uid; a write refuses another object of that name. Empty when unknown.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub uid: Box<str>,
    /// resourceVersion; a write refuses another version. Zero when it does not matter.
    #[serde(skip_serializing_if = "is_zero")]
    pub resource_version: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(revision: &u64) -> bool {
    *revision == 0
}

impl ObjectRef {
    /// Whatever object has this name.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.into(), name: name.into(), uid: "".into(), resource_version: 0 }
    }
    /// Only the object with this uid.
    #[must_use]
    pub fn with_uid(mut self, uid: &str) -> Self {
        self.uid = uid.into();
        self
    }
    /// Only at this version.
    #[must_use]
    pub fn at(mut self, resource_version: u64) -> Self {
        self.resource_version = resource_version;
        self
    }
    /// Its key in a cache.
    pub fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }
    /// URL path.
    pub fn path(&self, subresource: &str) -> String {
        self.kind.path(&self.namespace, &self.name, subresource)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_group_and_scope() {
        let pods = Kind::namespaced("", "v1", "Pod", "pods");
        assert_eq!(pods.path("ns", "a", "binding"), "/api/v1/namespaces/ns/pods/a/binding");
        assert_eq!(pods.path("", "", ""), "/api/v1/pods");
        let nodes = Kind::cluster("", "v1", "Node", "nodes");
        assert_eq!(nodes.path("", "n", "status"), "/api/v1/nodes/n/status");
        let sets = Kind::namespaced("apps", "v1", "ReplicaSet", "replicasets");
        assert_eq!(sets.path("ns", "", ""), "/apis/apps/v1/namespaces/ns/replicasets");
        assert_eq!(sets.to_string(), "replicasets.apps");
    }

    #[test]
    fn keys_split_into_namespace_and_name() {
        let key = Key::new("ns", "a");
        assert_eq!((key.namespace(), key.name(), key.as_str()), ("ns", "a", "ns/a"));
        let key = Key::new("", "a");
        assert_eq!((key.namespace(), key.name(), key.as_str()), ("", "a", "a"));
    }
}
