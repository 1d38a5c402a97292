//! Nodes, and which of their ports programs have.

use super::{Port, Slot, ingress::Ingresses};
use proa_kit::{
    Change, Key, View,
    views::{EndpointSliceView, NodeView, PodView, ServiceView},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// What Go takes for false.
const FALSE: [&str; 6] = ["0", "f", "F", "false", "False", "FALSE"];
const GOING: &str = "ToBeDeletedByClusterAutoscaler";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The service whose endpoints are the API servers.
const API: (&str, &str) = ("default", "kubernetes");

/// What counts of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    is_candidate: bool,
    pub(super) addresses: Vec<IpAddr>,
    /// The port of its agent.
    agent: Option<Port>,
}

/// A port on every address of a node, or on one.
type Taken = (Option<IpAddr>, Port);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    nodes: BTreeMap<Box<str>, Host>,
    slices: HashMap<Key, BTreeMap<Key, Arc<EndpointSliceView>>>,
    /// Host ports by nodes and pods.
    pods: HashMap<Box<str>, BTreeMap<Key, Vec<Taken>>>,
    pub(super) ingresses: Ingresses,
    node_ports: HashMap<Port, Key>,
    /// Where the API is served.
    api: BTreeSet<Slot>,
}

impl Hosts {
    /// Takes in the node ports of a service; returns those that came or went.
    pub(super) fn service(&mut self, change: &Change<ServiceView>) -> BTreeSet<Port> {
        let of = |service: &Option<Arc<ServiceView>>| -> BTreeSet<Port> {
            let Some(service) = service else { return BTreeSet::new() };
            let spec = &service.spec;
            let health = Port::of(spec.health_check_node_port, "TCP");
            spec.ports
                .iter()
                .filter_map(|port| Port::of(port.node_port, &port.protocol))
                .chain(health)
                .collect()
        };
        let (old, new) = (of(&change.old), of(&change.new));
        let Some(key) = change.latest().map(|service| service.key()) else { return BTreeSet::new() };
        // Another service may have it already, since changes of several are not seen in their order.
        for port in old.difference(&new) {
            if self.node_ports.get(port) == Some(&key) {
                self.node_ports.remove(port);
            }
        }
        for port in new.difference(&old) {
            self.node_ports.insert(*port, key.clone());
        }
        old.symmetric_difference(&new).copied().collect()
    }
    /// Takes in a node; whether something changed that counts.
    pub(super) fn node(&mut self, change: &Change<NodeView>) -> bool {
        let Some(latest) = change.latest() else { return false };
        let name = latest.metadata.name.clone();
        let new = change.new.as_ref().map(|node| host(node));
        let old = match &new {
            Some(host) => self.nodes.insert(name, host.clone()),
            None => self.nodes.remove(&name),
        };
        old != new
    }
    /// Takes in a slice; returns ports of the API that came or went somewhere.
    pub(super) fn slice(&mut self, change: &Change<EndpointSliceView>) -> BTreeSet<Port> {
        if let Some((old, service)) = change.old.as_ref().and_then(|old| Some((old, service_of(old)?)))
            && let Some(slices) = self.slices.get_mut(&service)
        {
            slices.remove(&old.key());
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        if let Some((new, service)) = change.new.as_ref().and_then(|new| Some((new, service_of(new)?))) {
            self.slices.entry(service).or_default().insert(new.key(), new.clone());
        }
        let is_api = |slice: &Arc<EndpointSliceView>| service_of(slice) == Some(Key::new(API.0, API.1));
        if !change.both().any(is_api) {
            return BTreeSet::new();
        }
        let api = self.served_api();
        let had = std::mem::replace(&mut self.api, api);
        had.symmetric_difference(&self.api).map(|(_, port)| *port).collect()
    }
    fn served_api(&self) -> BTreeSet<Slot> {
        let slices = self.slices.get(&Key::new(API.0, API.1)).into_iter().flat_map(BTreeMap::values);
        let of_slice = slices.flat_map(|slice| {
            let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
            addresses.filter_map(|address| address.parse().ok()).flat_map(|ip| {
                slice.ports.iter().filter_map(move |port| {
                    let protocol = port.protocol.as_deref().unwrap_or_default();
                    Some((ip, Port::of(port.port.unwrap_or_default(), protocol)?))
                })
            })
        });
        of_slice.collect()
    }
    /// Takes in the host ports of a pod, which may have been on another node; returns those that came or went.
    pub(super) fn pod(&mut self, change: &Change<PodView>) -> BTreeSet<Port> {
        let of = |pod: &Option<Arc<PodView>>| {
            let pod = pod.as_ref()?;
            Some(host_ports(pod))
                .filter(|ports| !ports.is_empty())
                .map(|ports| (pod.spec.node_name.clone(), ports))
        };
        let (old, new) = (of(&change.old), of(&change.new));
        let Some(latest) = change.latest().filter(|_| old != new) else { return BTreeSet::new() };
        if let Some((node, _)) = &old
            && let Some(pods) = self.pods.get_mut(node)
        {
            pods.remove(&latest.key());
            if pods.is_empty() {
                self.pods.remove(node);
            }
        }
        if let Some((node, ports)) = &new {
            self.pods.entry(node.clone()).or_default().insert(latest.key(), ports.clone());
        }
        old.into_iter().chain(new).flat_map(|(_, ports)| ports).map(|(_, port)| port).collect()
    }

    /// Whether any node may be given to services.
    pub(super) fn has_candidates(&self) -> bool {
        self.nodes.values().any(|host| host.is_candidate)
    }
    /// Nodes that may be given to services; to `local`, those with ready endpoints of it.
    pub(super) fn candidates(&self, local: Option<&Key>) -> Vec<(&str, &Host)> {
        let slices = local.map(|key| self.slices.get(key).into_iter().flat_map(BTreeMap::values));
        let with_endpoints: Option<BTreeSet<&str>> = slices.map(|slices| {
            let endpoints = slices.flat_map(|slice| &slice.endpoints);
            let ready = endpoints.filter(|endpoint| endpoint.conditions.ready != Some(false));
            ready.filter_map(|endpoint| endpoint.node_name.as_deref()).collect()
        });
        let has = |name: &str| with_endpoints.as_ref().is_none_or(|nodes| nodes.contains(name));
        let nodes = self.nodes.iter().map(|(name, host)| (&**name, host));
        nodes.filter(|(name, host)| host.is_candidate && has(name)).collect()
    }
    /// Who has a port of a node, in words; load balancers of services apart, and what is the service's own.
    pub(super) fn occupant(&self, key: &Key, name: &str, node: &Host, slot: Slot) -> Option<String> {
        let (address, port) = slot;
        if let Some(service) = self.node_ports.get(&port).filter(|service| *service != key) {
            return Some(format!("a node port of service {service}"));
        }
        if node.agent == Some(port) {
            return Some("the node's agent".to_owned());
        }
        if self.ingresses.are_at(slot) {
            return Some("ingresses".to_owned());
        }
        if self.api.contains(&slot) {
            return Some("the API server".to_owned());
        }
        let takes = |(at, own): &Taken| *own == port && at.is_none_or(|at| at == address);
        let pods = self.pods.get(name)?;
        pods.iter().find(|(_, ports)| ports.iter().any(takes)).map(|(pod, _)| format!("pod {pod}"))
    }
}

/// As upstream, a node that takes no new pods or is not ready still takes traffic: else it would lose its ports to other
/// services in a moment of weakness. A label that is no bool keeps it out.
fn host(node: &NodeView) -> Host {
    let is_kept_out = node.metadata.labels.get(EXCLUDED).is_some_and(|value| !FALSE.contains(&value))
        || node.spec.taints.iter().any(|taint| &*taint.key == GOING);
    let internal = node.status.addresses.iter().filter(|address| &*address.kind == "InternalIP");
    Host {
        is_candidate: !is_kept_out && !node.metadata.is_deleting(),
        addresses: internal.filter_map(|address| address.address.parse().ok()).collect(),
        agent: Port::of(node.status.daemon_endpoints.kubelet_endpoint.port, "TCP"),
    }
}

fn host_ports(pod: &PodView) -> Vec<Taken> {
    if pod.is_terminal() || pod.spec.node_name.is_empty() {
        return Vec::new();
    }
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let ports = containers.flat_map(|container| &container.ports).filter_map(|own| {
        let at = own.host_ip.parse().ok().filter(|address: &IpAddr| !address.is_unspecified());
        Some((at, Port::of(own.host_port, &own.protocol)?))
    });
    ports.collect()
}

pub(super) fn service_of(slice: &EndpointSliceView) -> Option<Key> {
    let name = slice.metadata.labels.get(SERVICE_NAME).filter(|name| !name.is_empty())?;
    Some(Key::new(&slice.metadata.namespace, name))
}
