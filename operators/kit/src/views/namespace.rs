//! Namespace.

use super::{Meta, null_as_default};
use crate::{conditions::Condition, kind::Kind};
use serde::Deserialize;

/// A namespace.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NamespaceView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: NamespaceSpec,
    /// Status.
    #[serde(default)]
    pub status: NamespaceStatus,
}

crate::view!(NamespaceView, Kind::cluster("", "v1", "Namespace", "namespaces"));

/// Spec of a namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceSpec {
    /// Its own finalizers, removed through `/finalize`.
    #[serde(deserialize_with = "null_as_default")]
    pub finalizers: Box<[Box<str>]>,
}

/// Status of a namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    /// `Active` or `Terminating`.
    pub phase: Box<str>,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
}
