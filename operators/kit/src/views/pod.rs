//! Pod.

use super::{Meta, meta, null_as_default, pod_spec::PodSpec};
use crate::{conditions::Condition, kind::Kind};
use jiff::Timestamp;
use serde::Deserialize;

/// A pod as operators see it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct PodView {
    /// Metadata, with the annotations that workloads read.
    #[serde(default, deserialize_with = "meta::of_pod")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: PodSpec,
    /// Status.
    #[serde(default)]
    pub status: PodStatus,
}

crate::view!(PodView, Kind::namespaced("", "v1", "Pod", "pods"));

/// Status of a pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Box<str>,
    /// Reason, such as `Evicted`.
    pub reason: Box<str>,
    /// Node the scheduler has in mind after preemption.
    pub nominated_node_name: Box<str>,
    /// Address.
    #[serde(rename = "podIP")]
    pub pod_ip: Box<str>,
    /// Addresses of both families.
    #[serde(rename = "podIPs", deserialize_with = "null_as_default")]
    pub pod_ips: Box<[Ip]>,
    /// Address of the node.
    #[serde(rename = "hostIP")]
    pub host_ip: Box<str>,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
    /// Containers.
    #[serde(deserialize_with = "null_as_default")]
    pub container_statuses: Box<[ContainerStatus]>,
    /// Init containers.
    #[serde(deserialize_with = "null_as_default")]
    pub init_container_statuses: Box<[ContainerStatus]>,
    /// When the node took it over.
    pub start_time: Option<Timestamp>,
}

/// One address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Ip {
    /// The address.
    pub ip: Box<str>,
}

/// Status of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Name.
    pub name: Box<str>,
    /// Whether it is ready.
    pub ready: bool,
    /// How often it was restarted.
    pub restart_count: i32,
    /// What it does now.
    pub state: ContainerState,
}

/// State of a container; at most one is set.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It ended.
    pub terminated: Option<Terminated>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Exit code.
    pub exit_code: i32,
    /// When.
    pub finished_at: Option<Timestamp>,
}
