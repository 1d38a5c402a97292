//! PersistentVolume.

use super::{Meta, Pairs, meta, null_as_default, pod_spec::NodeSelector};
use crate::kind::{Key, Kind};
use serde::Deserialize;

/// A volume that outlives pods.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PersistentVolumeView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: PersistentVolumeSpec,
    /// Status.
    #[serde(default)]
    pub status: PersistentVolumeStatus,
}

crate::view!(PersistentVolumeView, Kind::cluster("", "v1", "PersistentVolume", "persistentvolumes"));

/// Spec of a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeSpec {
    /// Its size, under `storage`.
    pub capacity: Pairs,
    /// How it can be mounted.
    #[serde(deserialize_with = "null_as_default")]
    pub access_modes: Box<[Box<str>]>,
    /// The claim that it is bound to, or reserved for.
    pub claim_ref: Option<ClaimReference>,
    /// What becomes of it when its claim is gone.
    pub persistent_volume_reclaim_policy: Box<str>,
    /// Class.
    pub storage_class_name: Box<str>,
    /// `Filesystem` or `Block`; the former when absent.
    pub volume_mode: Option<Box<str>>,
    /// Class of attributes.
    pub volume_attributes_class_name: Option<Box<str>>,
    /// Which nodes reach it.
    pub node_affinity: Option<VolumeNodeAffinity>,
    /// A directory of one node.
    pub local: Option<LocalSource>,
    /// Provided by a driver.
    pub csi: Option<Driver>,
}

/// A claim, as a volume refers to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ClaimReference {
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Uid; empty while the volume is only reserved.
    pub uid: Box<str>,
}

impl ClaimReference {
    /// Key of the claim.
    pub fn key(&self) -> Key {
        Key::new(&self.namespace, &self.name)
    }
}

/// Which nodes reach a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    /// Must hold.
    pub required: Option<NodeSelector>,
}

/// A directory of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LocalSource {
    /// Where.
    pub path: Box<str>,
}

/// A driver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Driver {
    /// Its name.
    pub driver: Box<str>,
}

/// Status of a volume.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PersistentVolumeStatus {
    /// `Pending`, `Available`, `Bound`, `Released` or `Failed`.
    pub phase: Box<str>,
}
