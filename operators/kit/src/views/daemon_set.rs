//! DaemonSet.

use super::{Meta, deployment::RollingUpdate, meta, null_as_default};
use crate::{conditions::Condition, kind::Kind, selector::LabelSelector, template::Template};
use serde::Deserialize;

/// A daemon set.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct DaemonSetView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: DaemonSetSpec,
    /// Status.
    #[serde(default)]
    pub status: DaemonSetStatus,
}

crate::view!(DaemonSetView, Kind::namespaced("apps", "v1", "DaemonSet", "daemonsets"));

/// Spec of a daemon set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetSpec {
    /// Which pods.
    pub selector: LabelSelector,
    /// Template of pods.
    pub template: Template,
    /// How old pods are replaced.
    pub update_strategy: UpdateStrategy,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Old revisions to keep; 10 when absent.
    pub revision_history_limit: Option<i32>,
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

/// Status of a daemon set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonSetStatus {
    /// Nodes that run at least one and should.
    pub current_number_scheduled: i32,
    /// Nodes that run one and should not.
    pub number_misscheduled: i32,
    /// Nodes that should run one.
    pub desired_number_scheduled: i32,
    /// Nodes whose pod is ready.
    pub number_ready: i32,
    /// Generation the status is about.
    pub observed_generation: i64,
    /// Nodes whose pod is of the current template.
    pub updated_number_scheduled: i32,
    /// Nodes whose pod is available.
    pub number_available: i32,
    /// Nodes whose pod is not.
    pub number_unavailable: i32,
    /// Hash collisions so far.
    pub collision_count: Option<i32>,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
}
