//! StatefulSet.

use super::{Meta, meta, null_as_default};
use crate::{
    conditions::Condition, kind::Kind, rollout::IntOrPercent, selector::LabelSelector, template::Template,
};
use serde::Deserialize;

/// A stateful set.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StatefulSetView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: StatefulSetSpec,
    /// Status.
    #[serde(default)]
    pub status: StatefulSetStatus,
}

crate::view!(StatefulSetView, Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets"));

/// Spec of a stateful set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetSpec {
    /// Wanted pods; 1 when absent.
    pub replicas: Option<i32>,
    /// Which pods.
    pub selector: LabelSelector,
    /// Template of pods.
    pub template: Template,
    /// Claims of each pod.
    #[serde(deserialize_with = "null_as_default")]
    pub volume_claim_templates: Box<[Template]>,
    /// Service that gives pods their names.
    pub service_name: Box<str>,
    /// `OrderedReady` or `Parallel`.
    pub pod_management_policy: Box<str>,
    /// How old pods are replaced.
    pub update_strategy: UpdateStrategy,
    /// Old revisions to keep; 10 when absent, all when negative.
    pub revision_history_limit: Option<i32>,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Where numbering begins.
    pub ordinals: Option<Ordinals>,
    /// What becomes of claims that are no longer needed; they stay when absent.
    pub persistent_volume_claim_retention_policy: Option<RetentionPolicy>,
}

impl StatefulSetSpec {
    /// Wanted pods.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }
    /// Number of the first pod.
    pub fn start(&self) -> i32 {
        self.ordinals.as_ref().map_or(0, |ordinals| ordinals.start)
    }
}

/// Where numbering begins.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ordinals {
    /// Number of the first pod.
    pub start: i32,
}

/// What becomes of claims: `Retain` or `Delete`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RetentionPolicy {
    /// When the set is deleted.
    pub when_deleted: Box<str>,
    /// When the set has fewer pods.
    pub when_scaled: Box<str>,
}

/// How old pods are replaced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UpdateStrategy {
    /// `RollingUpdate` or `OnDelete`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Limits of a rolling update.
    pub rolling_update: Option<RollingUpdate>,
}

/// Limits of a rolling update.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// Pods before this one, counted from the first, stay at the current revision.
    pub partition: Option<i32>,
    /// Pods that may be unavailable; 1 when absent.
    pub max_unavailable: Option<IntOrPercent>,
}

/// Status of a stateful set.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatefulSetStatus {
    /// Generation the status is about.
    pub observed_generation: i64,
    /// Pods.
    pub replicas: i32,
    /// Pods that run and are ready.
    pub ready_replicas: i32,
    /// Pods that are ready for `minReadySeconds`.
    pub available_replicas: i32,
    /// Pods of the current revision that are not going.
    pub current_replicas: i32,
    /// Pods of the update revision that are not going.
    pub updated_replicas: i32,
    /// Name of the revision that pods had before the update.
    pub current_revision: Box<str>,
    /// Name of the revision that pods get.
    pub update_revision: Box<str>,
    /// Hash collisions so far.
    pub collision_count: Option<i32>,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
}
