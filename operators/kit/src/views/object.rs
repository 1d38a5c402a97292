//! Metadata of any kind: what garbage collection and namespace deletion watch.

use super::{Meta, Pairs, View, meta};
use serde::Deserialize;

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
