//! What is read of the objects that requests are passed on for: small views of published entries.

use proa_meta::{ApiError, ApiResult, Gvr};
use proa_registry::Registry;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

/// Pods.
pub(crate) const PODS: Gvr = Gvr::new("", "v1", "pods");
/// Nodes.
pub(crate) const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// Services.
pub(crate) const SERVICES: Gvr = Gvr::new("", "v1", "services");
/// EndpointSlices.
pub(crate) const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");

/// The label of an EndpointSlice that names its Service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A pod: its containers, its node, its addresses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pod {
    pub(crate) spec: PodSpec,
    pub(crate) status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub(crate) node_name: String,
    pub(crate) containers: Vec<Container>,
    pub(crate) init_containers: Vec<Container>,
    pub(crate) ephemeral_containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) ports: Vec<ContainerPort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerPort {
    pub(crate) container_port: u16,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodStatus {
    #[serde(rename = "podIP")]
    pub(crate) pod_ip: String,
    #[serde(rename = "podIPs")]
    pub(crate) pod_ips: Vec<PodIp>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodIp {
    pub(crate) ip: String,
}

/// A node: where its agent listens.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    pub(crate) status: NodeStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeStatus {
    pub(crate) addresses: Vec<NodeAddress>,
    pub(crate) daemon_endpoints: DaemonEndpoints,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeAddress {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) address: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DaemonEndpoints {
    pub(crate) kubelet_endpoint: DaemonEndpoint,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DaemonEndpoint {
    #[serde(rename = "Port")]
    pub(crate) port: u16,
}

/// A Service: names of its ports, or whose name it stands for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Service {
    pub(crate) spec: ServiceSpec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServiceSpec {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(rename = "externalName")]
    pub(crate) external_name: String,
    pub(crate) ports: Vec<ServicePort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ServicePort {
    pub(crate) name: String,
    pub(crate) port: u16,
}

/// An EndpointSlice.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Slice {
    #[serde(deserialize_with = "or_default")]
    pub(crate) endpoints: Vec<Endpoint>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) ports: Vec<EndpointPort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Endpoint {
    pub(crate) addresses: Vec<String>,
    pub(crate) conditions: Conditions,
    pub(crate) target_ref: Option<TargetRef>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Conditions {
    pub(crate) ready: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TargetRef {
    pub(crate) kind: String,
    pub(crate) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct EndpointPort {
    #[serde(deserialize_with = "or_default")]
    pub(crate) name: String,
    pub(crate) port: Option<u16>,
}

/// The value, or the default for null.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// An object's view; 404 when there is none.
pub(crate) fn get<T: DeserializeOwned>(
    registry: &Registry,
    gvr: &Gvr,
    namespace: &str,
    name: &str,
) -> ApiResult<T> {
    let entry = registry.kind(gvr).and_then(|kind| kind.get(namespace, name));
    let entry = entry.ok_or_else(|| ApiError::not_found(&gvr.group_resource(), name))?;
    entry.decode().map_err(|error| ApiError::internal(format_args!("decoding {}: {error}", entry.key)))
}

/// The EndpointSlices of a Service.
pub(crate) fn slices_of(registry: &Registry, namespace: &str, service: &str) -> Vec<Slice> {
    let Some(kind) = registry.kind(&SLICES) else { return Vec::new() };
    let snapshot = kind.snapshot();
    let own = snapshot.iter_namespace(namespace).filter(|entry| entry.label(SERVICE_NAME) == Some(service));
    own.filter_map(|entry| entry.decode().ok()).collect()
}
