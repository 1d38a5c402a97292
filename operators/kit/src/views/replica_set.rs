//! ReplicaSet.

use super::{Meta, meta, null_as_default};
use crate::{conditions::Condition, kind::Kind, selector::LabelSelector, template::Template};
use serde::Deserialize;

/// A replica set with its annotations (revision, desired and max replicas) and its template.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ReplicaSetView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: ReplicaSetSpec,
    /// Status.
    #[serde(default)]
    pub status: ReplicaSetStatus,
}

crate::view!(ReplicaSetView, Kind::namespaced("apps", "v1", "ReplicaSet", "replicasets"));

/// Spec of a replica set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetSpec {
    /// Wanted pods; 1 when absent.
    pub replicas: Option<i32>,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Which pods.
    pub selector: LabelSelector,
    /// Template of pods.
    pub template: Template,
}

impl ReplicaSetSpec {
    /// Wanted pods.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }
}

/// Status of a replica set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaSetStatus {
    /// Pods that are neither terminal nor terminating.
    pub replicas: i32,
    /// Of them, those with all labels of the template.
    pub fully_labeled_replicas: i32,
    /// Of them, the ready ones.
    pub ready_replicas: i32,
    /// Of them, those ready for `minReadySeconds`.
    pub available_replicas: i32,
    /// Pods that are going.
    pub terminating_replicas: Option<i32>,
    /// Generation the status is about.
    pub observed_generation: i64,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
}
