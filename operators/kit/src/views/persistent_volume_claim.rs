//! PersistentVolumeClaim.

use super::{Meta, Pairs, meta, null_as_default, pod_spec::Resources};
use crate::{conditions::Condition, kind::Kind, selector::LabelSelector};
use serde::{Deserialize, de::IgnoredAny};

/// A claim to a volume.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PersistentVolumeClaimView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: PersistentVolumeClaimSpec,
    /// Status.
    #[serde(default)]
    pub status: PersistentVolumeClaimStatus,
}

crate::view!(
    PersistentVolumeClaimView,
    Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
);

/// Spec of a claim.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeClaimSpec {
    /// How it shall be mounted.
    #[serde(deserialize_with = "null_as_default")]
    pub access_modes: Box<[Box<str>]>,
    /// Labels that the volume must have.
    pub selector: Option<LabelSelector>,
    /// The size, under `storage` of the requests.
    pub resources: Resources,
    /// The volume that it is bound to, or asks for.
    pub volume_name: Box<str>,
    /// Class; the empty one is none, and an absent one may become the default.
    pub storage_class_name: Option<Box<str>>,
    /// `Filesystem` or `Block`; the former when absent.
    pub volume_mode: Option<Box<str>>,
    /// Class of attributes.
    pub volume_attributes_class_name: Option<Box<str>>,
    /// What it shall start with; whether that is said.
    pub data_source_ref: Option<IgnoredAny>,
}

/// Status of a claim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeClaimStatus {
    /// `Pending`, `Bound` or `Lost`.
    pub phase: Box<str>,
    /// How the volume can be mounted.
    #[serde(deserialize_with = "null_as_default")]
    pub access_modes: Box<[Box<str>]>,
    /// Size of the volume.
    pub capacity: Pairs,
    /// Class of attributes of the volume.
    pub current_volume_attributes_class_name: Option<Box<str>>,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
}
