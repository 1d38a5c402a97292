//! The parts of a pod's spec that placement, workloads and services read; also decoded from pod templates.

use super::{Pairs, null_as_default};
use crate::{selector::LabelSelector, template::Template};
use serde::{Deserialize, Serialize};

/// `spec` of a pod or of a pod template.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Node it is bound to; empty until bound.
    pub node_name: Box<str>,
    /// Scheduler that shall bind it.
    pub scheduler_name: Box<str>,
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: Box<str>,
    /// Service account.
    pub service_account_name: Box<str>,
    /// Priority.
    pub priority: Option<i32>,
    /// Preemption policy.
    pub preemption_policy: Option<Box<str>>,
    /// Grace period.
    pub termination_grace_period_seconds: Option<i64>,
    /// Whether the node's network is used.
    pub host_network: bool,
    /// Host name.
    pub hostname: Box<str>,
    /// Subdomain.
    pub subdomain: Box<str>,
    /// Labels a node must have.
    pub node_selector: Pairs,
    /// Affinity rules.
    pub affinity: Option<Box<Affinity>>,
    /// Taints it tolerates.
    #[serde(deserialize_with = "null_as_default")]
    pub tolerations: Box<[Toleration]>,
    /// Spread over topology domains.
    #[serde(deserialize_with = "null_as_default")]
    pub topology_spread_constraints: Box<[TopologySpreadConstraint]>,
    /// Gates that keep it from being scheduled.
    #[serde(deserialize_with = "null_as_default")]
    pub scheduling_gates: Box<[Named]>,
    /// Readiness gates.
    #[serde(deserialize_with = "null_as_default")]
    pub readiness_gates: Box<[ReadinessGate]>,
    /// Containers.
    #[serde(deserialize_with = "null_as_default")]
    pub containers: Box<[Container]>,
    /// Init containers, sidecars among them.
    #[serde(deserialize_with = "null_as_default")]
    pub init_containers: Box<[Container]>,
    /// Overhead of the runtime class.
    pub overhead: Pairs,
    /// Resources of the pod as a whole.
    pub resources: Option<Box<Resources>>,
    /// Volumes, as far as other objects are named.
    #[serde(deserialize_with = "null_as_default")]
    pub volumes: Box<[Volume]>,
}

/// Something with a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Named {
    /// Its name.
    pub name: Box<str>,
}

/// A pod condition that must be true before the pod is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ReadinessGate {
    /// Condition type.
    pub condition_type: Box<str>,
}

/// A container as placement and services see it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: Box<str>,
    /// Image.
    pub image: Box<str>,
    /// Ports.
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Box<[ContainerPort]>,
    /// Requests and limits.
    pub resources: Resources,
    /// `Always` marks a sidecar among the init containers.
    pub restart_policy: Option<Box<str>>,
}

/// A container's port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Name; empty when it has none.
    pub name: Box<str>,
    /// Port in the pod.
    pub container_port: i32,
    /// Port on the node; 0 for none.
    pub host_port: i32,
    /// Address on the node.
    #[serde(rename = "hostIP")]
    pub host_ip: Box<str>,
    /// Protocol.
    pub protocol: Box<str>,
}

/// Requests and limits as the quantities' texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// What is set aside.
    pub requests: Pairs,
    /// What may be used at most.
    pub limits: Pairs,
}

/// A volume, as far as it names other objects.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name.
    pub name: Box<str>,
    /// The claim it mounts.
    pub persistent_volume_claim: Option<ClaimVolume>,
    /// The claim that is made for it, and goes with the pod.
    pub ephemeral: Option<Box<EphemeralVolume>>,
    /// The image that it shows.
    pub image: Option<ImageVolume>,
}

/// An image mounted as a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ImageVolume {
    /// Its name.
    pub reference: Box<str>,
}

/// A claim that is made for one pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EphemeralVolume {
    /// The claim.
    pub volume_claim_template: Option<Template>,
}

/// A claim mounted as a volume.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimVolume {
    /// Name of the claim.
    pub claim_name: Box<str>,
}

/// Affinity rules.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Affinity {
    /// To nodes.
    pub node_affinity: Option<NodeAffinity>,
    /// To pods.
    pub pod_affinity: Option<PodAffinity>,
    /// Away from pods.
    pub pod_anti_affinity: Option<PodAffinity>,
}

/// Affinity to nodes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeAffinity {
    /// Must hold.
    pub required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
    /// Should hold.
    #[serde(deserialize_with = "null_as_default")]
    pub preferred_during_scheduling_ignored_during_execution: Box<[PreferredTerm]>,
}

/// Alternatives of which one must hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelector {
    /// The alternatives.
    #[serde(deserialize_with = "null_as_default")]
    pub node_selector_terms: Box<[NodeSelectorTerm]>,
}

/// Requirements that must all hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSelectorTerm {
    /// On labels.
    #[serde(deserialize_with = "null_as_default")]
    pub match_expressions: Box<[Requirement]>,
    /// On fields; only `metadata.name`.
    #[serde(deserialize_with = "null_as_default")]
    pub match_fields: Box<[Requirement]>,
}

/// A weighted node preference.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PreferredTerm {
    /// 1 to 100.
    pub weight: i32,
    /// What is preferred.
    pub preference: NodeSelectorTerm,
}

/// One requirement: key, operator, values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Requirement {
    /// Label key or field.
    pub key: Box<str>,
    /// `In`, `NotIn`, `Exists`, `DoesNotExist`, `Gt` or `Lt`.
    pub operator: Box<str>,
    /// Values.
    #[serde(deserialize_with = "null_as_default")]
    pub values: Box<[Box<str>]>,
}

/// Affinity to (or away from) pods.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinity {
    /// Must hold.
    #[serde(deserialize_with = "null_as_default")]
    pub required_during_scheduling_ignored_during_execution: Box<[PodAffinityTerm]>,
    /// Should hold.
    #[serde(deserialize_with = "null_as_default")]
    pub preferred_during_scheduling_ignored_during_execution: Box<[WeightedPodAffinityTerm]>,
}

/// Pods near which (or away from which) to be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodAffinityTerm {
    /// Which pods.
    pub label_selector: Option<LabelSelector>,
    /// In these namespaces.
    #[serde(deserialize_with = "null_as_default")]
    pub namespaces: Box<[Box<str>]>,
    /// In namespaces with these labels.
    pub namespace_selector: Option<LabelSelector>,
    /// Node label that makes a domain.
    pub topology_key: Box<str>,
    /// Labels of the incoming pod whose values are added to the selector.
    #[serde(deserialize_with = "null_as_default")]
    pub match_label_keys: Box<[Box<str>]>,
    /// Likewise, with values that must differ.
    #[serde(deserialize_with = "null_as_default")]
    pub mismatch_label_keys: Box<[Box<str>]>,
}

/// A weighted pod affinity term.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WeightedPodAffinityTerm {
    /// 1 to 100.
    pub weight: i32,
    /// What is preferred.
    pub pod_affinity_term: PodAffinityTerm,
}

/// A toleration of a taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Taint key; empty for all.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub key: Box<str>,
    /// `Equal` (default) or `Exists`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub operator: Box<str>,
    /// Taint value.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub value: Box<str>,
    /// Effect; empty for all.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub effect: Box<str>,
    /// How long a `NoExecute` taint is tolerated; forever when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// A spread constraint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TopologySpreadConstraint {
    /// Largest allowed difference.
    pub max_skew: i32,
    /// Node label that makes a domain.
    pub topology_key: Box<str>,
    /// `DoNotSchedule` or `ScheduleAnyway`.
    pub when_unsatisfiable: Box<str>,
    /// Which pods are counted.
    pub label_selector: Option<LabelSelector>,
    /// Fewest domains.
    pub min_domains: Option<i32>,
    /// `Honor` or `Ignore`.
    pub node_affinity_policy: Option<Box<str>>,
    /// `Honor` or `Ignore`.
    pub node_taints_policy: Option<Box<str>>,
    /// Labels of the incoming pod whose values are added to the selector.
    #[serde(deserialize_with = "null_as_default")]
    pub match_label_keys: Box<[Box<str>]>,
}
