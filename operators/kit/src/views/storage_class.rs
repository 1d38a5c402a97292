//! StorageClass.

use super::{Meta, Pairs, meta, null_as_default};
use crate::kind::Kind;
use serde::Deserialize;

/// A class of volumes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StorageClassView {
    /// Metadata with annotations.
    #[serde(deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Who makes volumes of the class.
    pub provisioner: Box<str>,
    /// What it is told.
    pub parameters: Pairs,
    /// What becomes of a volume when its claim is gone.
    pub reclaim_policy: Option<Box<str>>,
    /// How volumes are mounted.
    #[serde(deserialize_with = "null_as_default")]
    pub mount_options: Box<[Box<str>]>,
    /// `Immediate` or `WaitForFirstConsumer`.
    pub volume_binding_mode: Option<Box<str>>,
    /// Where volumes may be; anywhere when there are none.
    #[serde(deserialize_with = "null_as_default")]
    pub allowed_topologies: Box<[TopologySelectorTerm]>,
}

crate::view!(StorageClassView, Kind::cluster("storage.k8s.io", "v1", "StorageClass", "storageclasses"));

/// Labels of nodes, all of which must fit.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySelectorTerm {
    /// The labels.
    #[serde(deserialize_with = "null_as_default")]
    pub match_label_expressions: Box<[TopologyRequirement]>,
}

/// A label with the values that it may have.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TopologyRequirement {
    /// Label.
    pub key: Box<str>,
    /// Values.
    #[serde(deserialize_with = "null_as_default")]
    pub values: Box<[Box<str>]>,
}
