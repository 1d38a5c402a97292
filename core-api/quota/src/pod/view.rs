//! The fields of a pod that decide what it costs.

use super::List;
use crate::amounts::Amounts;
use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};

/// A pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Whether it is going.
    pub metadata: Deletion,
    /// What it asks for.
    pub spec: Spec,
    /// What it was given.
    pub status: Status,
}

/// When an object was to be gone.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Deletion {
    /// When it was to be gone.
    pub deletion_timestamp: Option<Timestamp>,
    /// How long it had been given.
    pub deletion_grace_period_seconds: Option<i64>,
}

/// Requests and limits.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// What is set aside.
    pub requests: Amounts,
    /// What may be used at most.
    pub limits: Amounts,
}

/// A container of the spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Requests and limits.
    pub resources: Resources,
    /// `Always` marks a sidecar among the init containers.
    pub restart_policy: String,
}

impl Container {
    /// The same container with another list.
    pub(super) fn with(&self, list: List, amounts: Amounts) -> Self {
        let mut changed =
            Self { name: self.name.clone(), restart_policy: self.restart_policy.clone(), ..Self::default() };
        match list {
            List::Requests => changed.resources.requests = amounts,
            List::Limits => changed.resources.limits = amounts,
        }
        changed
    }
}

/// `spec` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Containers.
    pub containers: Vec<Container>,
    /// Init containers, sidecars among them.
    pub init_containers: Vec<Container>,
    /// Resources of the pod as a whole.
    pub resources: Option<Resources>,
    /// Overhead of the runtime class.
    pub overhead: Amounts,
    /// When it is stopped at the latest.
    pub active_deadline_seconds: Option<i64>,
    /// Priority class.
    pub priority_class_name: String,
    /// Affinity to pods.
    pub affinity: Affinity,
}

/// Affinity, as far as it names namespaces.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    pod_affinity: Terms,
    pod_anti_affinity: Terms,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    required_during_scheduling_ignored_during_execution: Vec<Term>,
    preferred_during_scheduling_ignored_during_execution: Vec<Weighted>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Weighted {
    pod_affinity_term: Term,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    namespaces: Vec<IgnoredAny>,
    namespace_selector: Option<IgnoredAny>,
}

impl Affinity {
    /// Whether any term is about other namespaces.
    pub(super) fn is_cross_namespace(&self) -> bool {
        let terms = [&self.pod_affinity, &self.pod_anti_affinity];
        terms.iter().any(|terms| {
            let preferred = &terms.preferred_during_scheduling_ignored_during_execution;
            let required = terms.required_during_scheduling_ignored_during_execution.iter();
            let mut all = required.chain(preferred.iter().map(|weighted| &weighted.pod_affinity_term));
            all.any(|term| !term.namespaces.is_empty() || term.namespace_selector.is_some())
        })
    }
}

/// `status` of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// Phase.
    pub phase: String,
    /// Quality of service.
    pub qos_class: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    reason: String,
}

/// What a container was given.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ContainerStatus {
    name: String,
    pub(super) allocated_resources: Option<Amounts>,
    pub(super) resources: Option<Resources>,
}

impl Status {
    /// Whether no container has been given anything yet.
    pub(super) fn is_empty(&self) -> bool {
        self.container_statuses.is_empty() && self.init_container_statuses.is_empty()
    }
    /// What the container of this name was given.
    pub(super) fn of(&self, container: &str) -> Option<&ContainerStatus> {
        let mut all = self.container_statuses.iter().chain(&self.init_container_statuses);
        all.find(|status| status.name == container)
    }
    /// Whether the node said that it can never give what is asked for.
    pub(super) fn is_infeasible(&self) -> bool {
        let pending = self.conditions.iter().find(|condition| condition.r#type == "PodResizePending");
        pending.is_some_and(|condition| condition.reason == "Infeasible")
    }
}
