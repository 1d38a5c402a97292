//! ControllerRevision: a remembered template.

use super::{Meta, meta};
use crate::kind::Kind;
use serde::Deserialize;
use serde_json::Value;
use std::sync::Arc;

/// A controller revision.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ControllerRevisionView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Its place in history.
    #[serde(default)]
    pub revision: i64,
    /// What is remembered.
    #[serde(default)]
    pub data: Arc<Value>,
}

crate::view!(
    ControllerRevisionView,
    Kind::namespaced("apps", "v1", "ControllerRevision", "controllerrevisions")
);
