//! Service.

use super::{Meta, Pairs, meta, null_as_default};
use crate::{kind::Kind, rollout::IntOrPercent};
use serde::Deserialize;

/// A service.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ServiceView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: ServiceSpec,
    /// Status.
    #[serde(default)]
    pub status: ServiceStatus,
}

crate::view!(ServiceView, Kind::namespaced("", "v1", "Service", "services"));

/// Spec of a service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// `ClusterIP`, `NodePort`, `LoadBalancer` or `ExternalName`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Which pods; empty when endpoints are managed by hand.
    pub selector: Pairs,
    /// Ports.
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Box<[ServicePort]>,
    /// Address, `None` when headless.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: Box<str>,
    /// Addresses of both families.
    #[serde(rename = "clusterIPs", deserialize_with = "null_as_default")]
    pub cluster_ips: Box<[Box<str>]>,
    /// Further addresses.
    #[serde(rename = "externalIPs", deserialize_with = "null_as_default")]
    pub external_ips: Box<[Box<str>]>,
    /// Host name behind an `ExternalName`.
    pub external_name: Box<str>,
    /// `IPv4`, `IPv6`.
    #[serde(deserialize_with = "null_as_default")]
    pub ip_families: Box<[Box<str>]>,
    /// `SingleStack` and so on.
    pub ip_family_policy: Box<str>,
    /// `None` or `ClientIP`.
    pub session_affinity: Box<str>,
    /// Seconds of stickiness.
    pub session_affinity_config: Option<SessionAffinityConfig>,
    /// Whether pods that are not ready are served.
    pub publish_not_ready_addresses: bool,
    /// `Cluster` or `Local`, from outside.
    pub external_traffic_policy: Box<str>,
    /// `Cluster` or `Local`, from inside.
    pub internal_traffic_policy: Box<str>,
    /// Preference for near endpoints.
    pub traffic_distribution: Option<Box<str>>,
    /// Port of the node's health check.
    pub health_check_node_port: i32,
    /// Who provides the load balancer.
    pub load_balancer_class: Option<Box<str>>,
    /// The address that its user would like the load balancer to have; empty for any.
    #[serde(rename = "loadBalancerIP")]
    pub load_balancer_ip: Box<str>,
    /// Who may come in.
    #[serde(deserialize_with = "null_as_default")]
    pub load_balancer_source_ranges: Box<[Box<str>]>,
}

impl ServiceSpec {
    /// Whether it has no address of its own.
    pub fn is_headless(&self) -> bool {
        &*self.cluster_ip == "None"
    }
}

/// A port of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Name; empty when there is only one.
    pub name: Box<str>,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Box<str>,
    /// Port.
    pub port: i32,
    /// Port of the pods, by number or name.
    pub target_port: Option<IntOrPercent>,
    /// Port of the nodes; 0 for none.
    pub node_port: i32,
    /// Application protocol.
    pub app_protocol: Option<Box<str>>,
}

/// Stickiness.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SessionAffinityConfig {
    /// By client address.
    #[serde(rename = "clientIP")]
    pub client_ip: Option<ClientIp>,
}

/// Stickiness by client address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIp {
    /// How long.
    pub timeout_seconds: Option<i32>,
}

/// Status of a service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// The load balancer.
    pub load_balancer: LoadBalancerStatus,
}

/// Status of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Where it is reached.
    #[serde(deserialize_with = "null_as_default")]
    pub ingress: Box<[Ingress]>,
}

/// One address of a load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ingress {
    /// Address.
    pub ip: Box<str>,
    /// `VIP` when traffic arrives with this address as its destination, `Proxy` when not.
    pub ip_mode: Option<Box<str>>,
    /// Host name.
    pub hostname: Box<str>,
    /// Ports, where whoever serves names them.
    #[serde(deserialize_with = "null_as_default")]
    pub ports: Box<[PortStatus]>,
}

/// A port that a load balancer serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PortStatus {
    /// Port.
    pub port: i32,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: Box<str>,
}
