//! EndpointSlice.

use super::{Meta, Pairs, meta, null_as_default};
use crate::kind::Kind;
use serde::{Deserialize, Serialize};

/// An endpoint slice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSliceView {
    /// Metadata with annotations.
    #[serde(deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// `IPv4`, `IPv6` or `FQDN`.
    pub address_type: Box<str>,
    /// Endpoints.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoints: Box<[Endpoint]>,
    /// Ports of each endpoint.
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Box<[EndpointPort]>,
}

crate::view!(
    EndpointSliceView,
    Kind::namespaced("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
);

/// One endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Addresses; the first counts.
    #[serde(deserialize_with = "null_as_default")]
    pub addresses: Box<[Box<str>]>,
    /// Whether it takes traffic.
    pub conditions: EndpointConditions,
    /// Host name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<Box<str>>,
    /// Node it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<Box<str>>,
    /// Zone of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<Box<str>>,
    /// The pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    /// Topology of old.
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub deprecated_topology: Pairs,
}

/// Whether an endpoint takes traffic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Takes traffic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Could take traffic, though it may be going.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serving: Option<bool>,
    /// Is going.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<bool>,
}

/// The object behind an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TargetRef {
    /// Kind.
    pub kind: Box<str>,
    /// Namespace.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Uid.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub uid: Box<str>,
}

/// A port of the endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// Name.
    pub name: Option<Box<str>>,
    /// Protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Box<str>>,
    /// Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Application protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<Box<str>>,
}
