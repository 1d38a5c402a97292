//! PodDisruptionBudget.

use super::{Meta, PodView};
use crate::{conditions::Condition, kind::Kind, rollout::IntOrPercent, selector::LabelSelector};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A disruption budget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodDisruptionBudgetView {
    /// Metadata.
    pub metadata: Meta,
    /// Spec.
    pub spec: PodDisruptionBudgetSpec,
    /// Status.
    pub status: PodDisruptionBudgetStatus,
}

crate::view!(
    PodDisruptionBudgetView,
    Kind::namespaced("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets")
);

impl PodDisruptionBudgetView {
    /// Whether it guards a pod of its namespace.
    pub fn guards(&self, pod: &PodView) -> bool {
        self.spec.selector.as_ref().is_some_and(|selector| selector.matches(&pod.metadata.labels))
    }
}

/// Spec of a disruption budget.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetSpec {
    /// How many pods must stay.
    pub min_available: Option<IntOrPercent>,
    /// How many may go.
    pub max_unavailable: Option<IntOrPercent>,
    /// Which pods; none without one.
    pub selector: Option<LabelSelector>,
}

/// Status of a disruption budget.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodDisruptionBudgetStatus {
    /// Generation it is about.
    pub observed_generation: i64,
    /// Pods that evictions took, and when, as long as they have not gone.
    pub disrupted_pods: BTreeMap<Box<str>, Timestamp>,
    /// How many may go now.
    pub disruptions_allowed: i32,
    /// Healthy pods.
    pub current_healthy: i32,
    /// Pods that must be healthy.
    pub desired_healthy: i32,
    /// Pods that there should be.
    pub expected_pods: i32,
    /// Conditions.
    pub conditions: Box<[Condition]>,
}
