//! Nodes, and which of their ports programs have.

use super::Port;
use proa_kit::{
    Change, Key, Kind, Meta, View,
    conditions::is_true,
    view,
    views::{EndpointSliceView, NodeView, PodView, ServiceView, service::LoadBalancerStatus},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const GOING: &str = "ToBeDeletedByClusterAutoscaler";
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The service whose endpoints are the API servers.
const API: (&str, &str) = ("default", "kubernetes");

/// An ingress: where it is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IngressView {
    /// Metadata.
    pub metadata: Meta,
    /// Status.
    pub status: IngressStatus,
}

view!(IngressView, Kind::namespaced("networking.k8s.io", "v1", "Ingress", "ingresses"));

/// Status of an ingress.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressStatus {
    /// Where it is reached; controllers that serve it on ports of nodes name them.
    pub load_balancer: LoadBalancerStatus,
}

/// What counts of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    is_available: bool,
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
    ingresses: HashMap<Key, Vec<(IpAddr, Port)>>,
    node_ports: HashMap<Port, Key>,
    /// Where ingresses and the API are served.
    served: HashMap<(IpAddr, Port), &'static str>,
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
        for port in old.difference(&new) {
            self.node_ports.remove(port);
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
    /// Takes in a slice; whether that changes where the API is served.
    pub(super) fn slice(&mut self, change: &Change<EndpointSliceView>) -> bool {
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
        change.both().any(is_api) && self.serve()
    }
    /// Takes in the host ports of a pod; whether they changed.
    pub(super) fn pod(&mut self, change: &Change<PodView>) -> bool {
        let Some(latest) = change.latest() else { return false };
        let (key, node) = (latest.key(), &latest.spec.node_name);
        let new = change.new.as_ref().map(|pod| host_ports(pod)).filter(|ports| !ports.is_empty());
        let pods = self.pods.entry(node.clone()).or_default();
        let old = match &new {
            Some(ports) => pods.insert(key, ports.clone()),
            None => pods.remove(&key),
        };
        if pods.is_empty() {
            self.pods.remove(node);
        }
        old != new
    }
    /// Takes in an ingress; whether it changes where they are served.
    pub(super) fn ingress(&mut self, change: &Change<IngressView>) -> bool {
        let Some(latest) = change.latest() else { return false };
        let entries = change.new.iter().flat_map(|ingress| &ingress.status.load_balancer.ingress);
        let at = entries.filter_map(|entry| Some((entry.ip.parse().ok()?, entry)));
        let ports: Vec<(IpAddr, Port)> = at
            .flat_map(|(ip, entry)| {
                entry.ports.iter().filter_map(move |port| Some((ip, Port::of(port.port, &port.protocol)?)))
            })
            .collect();
        let old = match ports.is_empty() {
            true => self.ingresses.remove(&latest.key()),
            false => self.ingresses.insert(latest.key(), ports.clone()),
        };
        old.unwrap_or_default() != ports && self.serve()
    }
    /// Sums up where ingresses and the API are served; whether that has changed.
    fn serve(&mut self) -> bool {
        let ingresses = self.ingresses.values().flatten().map(|at| (*at, "ingresses"));
        let slices = self.slices.get(&Key::new(API.0, API.1)).into_iter().flat_map(BTreeMap::values);
        let api = slices.flat_map(|slice| {
            let of_slice = slice.ports.iter().filter_map(|port| {
                Port::of(port.port.unwrap_or_default(), port.protocol.as_deref().unwrap_or_default())
            });
            let ports: Vec<Port> = of_slice.collect();
            let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
            let addresses = addresses.filter_map(|address| address.parse::<IpAddr>().ok());
            addresses.flat_map(move |ip| ports.clone().into_iter().map(move |port| (ip, port)))
        });
        let served = ingresses.chain(api.map(|at| (at, "the API server"))).collect();
        std::mem::replace(&mut self.served, served) != self.served
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
        nodes.filter(|(name, host)| host.is_available && has(name)).collect()
    }
    /// Who has a port of a node, in words; services apart.
    pub(super) fn occupant(&self, name: &str, node: &Host, address: IpAddr, port: Port) -> Option<String> {
        if let Some(service) = self.node_ports.get(&port) {
            return Some(format!("a node port of service {service}"));
        }
        if node.agent == Some(port) {
            return Some("the node's agent".to_owned());
        }
        if let Some(what) = self.served.get(&(address, port)) {
            return Some((*what).to_owned());
        }
        let takes = |(at, own): &Taken| *own == port && at.is_none_or(|at| at == address);
        let pods = self.pods.get(name)?;
        pods.iter().find(|(_, ports)| ports.iter().any(takes)).map(|(pod, _)| format!("pod {pod}"))
    }
}

/// As upstream, a node that takes no new pods still takes traffic.
fn host(node: &NodeView) -> Host {
    let is_ready = is_true(&node.status.conditions, "Ready");
    let is_kept_out = node.metadata.labels.get(EXCLUDED).is_some()
        || node.spec.taints.iter().any(|taint| &*taint.key == GOING);
    let internal = node.status.addresses.iter().filter(|address| &*address.kind == "InternalIP");
    Host {
        is_available: is_ready && !is_kept_out && !node.metadata.is_deleting(),
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
