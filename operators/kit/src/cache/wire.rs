//! How a watched object arrives: decoded into its view, or not, but always with its metadata (K5).
//!
//! kube's `Resource` wants a k8s-openapi `ObjectMeta`; it is filled with the resourceVersion alone, which is all that
//! `watcher` reads, and dropped as soon as the view is in the cache.

use crate::{
    kind::Kind,
    views::{ObjectView, View},
};
use kube::core::{DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;
use std::{borrow::Cow, sync::Arc};

/// A watched object.
pub(super) struct Wire<V> {
    pub(super) object: Result<Arc<V>, Undecodable>,
    meta: ObjectMeta,
}

/// An object that does not fit its view.
#[derive(Clone, Debug)]
pub(super) struct Undecodable {
    pub(super) view: Arc<ObjectView>,
    pub(super) error: Arc<str>,
}

impl<V> Clone for Wire<V> {
    fn clone(&self) -> Self {
        Self { object: self.object.clone(), meta: self.meta.clone() }
    }
}

impl<V> std::fmt::Debug for Wire<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wire")
    }
}

impl<'de, V: View> Deserialize<'de> for Wire<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        let object = match serde_json::from_str::<V>(raw.get()) {
            Ok(view) => Ok(Arc::new(view)),
            Err(error) => {
                let view = serde_json::from_str::<ObjectView>(raw.get()).map_err(D::Error::custom)?;
                Err(Undecodable { view: Arc::new(view), error: error.to_string().into() })
            }
        };
        let revision = match &object {
            Ok(view) => view.meta().resource_version,
            Err(undecodable) => undecodable.view.metadata.resource_version,
        };
        let resource_version = (revision != 0).then(|| revision.to_string());
        Ok(Self { object, meta: ObjectMeta { resource_version, ..ObjectMeta::default() } })
    }
}

impl<V: View> kube::Resource for Wire<V> {
    type DynamicType = Kind;
    type Scope = DynamicResourceScope;
    fn kind(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.kind)
    }
    fn group(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.group)
    }
    fn version(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.version)
    }
    fn plural(kind: &Kind) -> Cow<'_, str> {
        Cow::Borrowed(&kind.plural)
    }
    fn metadata_api() -> bool {
        V::METADATA_ONLY
    }
    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
