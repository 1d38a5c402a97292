//! Objects of any kind: their metadata, which garbage collection and namespace deletion watch, or the whole of them.

use super::{Meta, Pairs, View, meta};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// Metadata only, of whatever kind the watch names.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ObjectView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
}

impl View for ObjectView {
    const METADATA_ONLY: bool = true;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// As `ObjectView`, with annotations.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct AnnotatedObjectView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
}

impl View for AnnotatedObjectView {
    const METADATA_ONLY: bool = true;
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl AnnotatedObjectView {
    /// Its annotations.
    pub fn annotations(&self) -> &Pairs {
        &self.metadata.annotations
    }
}

/// A whole object but for managedFields, for kinds whose fields are only compared (`children`). It costs what the object's
/// JSON does, so kinds of which there are many have views of their own.
#[derive(Clone, Debug, Default)]
pub struct WholeView {
    /// Metadata with annotations.
    pub metadata: Meta,
    /// The object.
    pub object: Value,
}

impl<'de> Deserialize<'de> for WholeView {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Value::deserialize(deserializer)?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        let metadata = meta::annotated(&object["metadata"]).map_err(D::Error::custom)?;
        Ok(Self { metadata, object })
    }
}

impl View for WholeView {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}
