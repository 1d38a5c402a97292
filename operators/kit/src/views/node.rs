//! Node.

use super::{Meta, Pairs, null_as_default};
use crate::{conditions::Condition, kind::Kind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A node as operators see it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct NodeView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: NodeSpec,
    /// Status.
    #[serde(default)]
    pub status: NodeStatus,
}

crate::view!(NodeView, Kind::cluster("", "v1", "Node", "nodes"));

/// Spec of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Whether new pods are kept away.
    pub unschedulable: bool,
    /// Taints.
    #[serde(deserialize_with = "null_as_default")]
    pub taints: Box<[Taint]>,
    /// Pod addresses.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Box<str>,
    /// Pod addresses of both families.
    #[serde(rename = "podCIDRs", deserialize_with = "null_as_default")]
    pub pod_cidrs: Box<[Box<str>]>,
    /// Provider's id.
    #[serde(rename = "providerID")]
    pub provider_id: Box<str>,
}

/// A taint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Taint {
    /// Key.
    pub key: Box<str>,
    /// Value.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub value: Box<str>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: Box<str>,
    /// When a `NoExecute` taint was added.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_added: Option<Timestamp>,
}

/// Status of a node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeStatus {
    /// What pods can use.
    pub allocatable: Pairs,
    /// What there is.
    pub capacity: Pairs,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
    /// Addresses.
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Box<[Address]>,
    /// Where its agent listens.
    pub daemon_endpoints: DaemonEndpoints,
    /// Images that it has.
    #[serde(deserialize_with = "null_as_default")]
    pub images: Box<[Image]>,
}

/// An image that a node has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Image {
    /// Its names, by tag and by digest.
    #[serde(deserialize_with = "null_as_default")]
    pub names: Box<[Box<str>]>,
    /// Its size.
    pub size_bytes: i64,
}

/// Where a node's agent listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DaemonEndpoints {
    /// The agent's port.
    pub kubelet_endpoint: DaemonEndpoint,
}

/// A port of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DaemonEndpoint {
    /// The port; 0 when nobody listens.
    pub port: i32,
}

/// An address of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Address {
    /// `InternalIP`, `Hostname` and so on.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The address.
    pub address: Box<str>,
}
