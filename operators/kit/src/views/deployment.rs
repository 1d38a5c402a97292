//! Deployment.

use super::{Meta, meta, null_as_default};
use crate::{
    conditions::Condition, kind::Kind, rollout::IntOrPercent, selector::LabelSelector, template::Template,
};
use serde::Deserialize;

/// A deployment with its annotations, which replica sets inherit.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct DeploymentView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: DeploymentSpec,
    /// Status.
    #[serde(default)]
    pub status: DeploymentStatus,
}

crate::view!(DeploymentView, Kind::namespaced("apps", "v1", "Deployment", "deployments"));

/// Spec of a deployment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentSpec {
    /// Wanted pods; 1 when absent.
    pub replicas: Option<i32>,
    /// Which pods.
    pub selector: LabelSelector,
    /// Template of pods.
    pub template: Template,
    /// How old pods are replaced.
    pub strategy: DeploymentStrategy,
    /// How long a pod must be ready to be available.
    pub min_ready_seconds: i32,
    /// Old replica sets to keep; all when absent.
    pub revision_history_limit: Option<i32>,
    /// Whether rollouts wait.
    pub paused: bool,
    /// How long a rollout may stand still.
    pub progress_deadline_seconds: Option<i32>,
}

impl DeploymentSpec {
    /// Wanted pods.
    pub fn replicas(&self) -> i32 {
        self.replicas.unwrap_or(1)
    }
    /// Whether old pods go before new ones come.
    pub fn recreates(&self) -> bool {
        &*self.strategy.kind == "Recreate"
    }
}

/// How old pods are replaced.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStrategy {
    /// `RollingUpdate` or `Recreate`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Limits of a rolling update.
    pub rolling_update: Option<RollingUpdate>,
}

/// Limits of a rolling update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RollingUpdate {
    /// Pods that may be missing.
    pub max_unavailable: Option<IntOrPercent>,
    /// Pods that may be too many.
    pub max_surge: Option<IntOrPercent>,
}

/// Status of a deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DeploymentStatus {
    /// Generation the status is about.
    pub observed_generation: i64,
    /// Pods that are neither terminal nor terminating.
    pub replicas: i32,
    /// Of them, those of the current template.
    pub updated_replicas: i32,
    /// Ready pods.
    pub ready_replicas: i32,
    /// Available pods.
    pub available_replicas: i32,
    /// Pods that are missing.
    pub unavailable_replicas: i32,
    /// Pods that are going.
    pub terminating_replicas: Option<i32>,
    /// Hash collisions so far.
    pub collision_count: Option<i32>,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
}
