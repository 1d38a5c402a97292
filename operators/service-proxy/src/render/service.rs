//! What a service has in the table. Pure.
//!
//! Upstream: pkg/proxy/nftables/proxier.go, pkg/proxy/serviceport.go.

use super::{
    Place,
    endpoints::{Addresses, Endpoints, endpoints},
    part::{
        Destination, GUARDED, NODE_PORTS, Part, Protocol, REFUSED, REFUSED_NODE_PORTS, SERVICES, at, on, port,
    },
};
use crate::{render::base::MASQUERADE, status::Health};
use ipnet::Ipv4Net;
use proa_kit::views::{EndpointSliceView, ServiceView, service::ServicePort};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4},
};

/// Label: another proxy serves it.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";
/// Seconds of stickiness when a service does not say.
const STICKY_SECONDS: i32 = 10_800;
/// Endpoints that are chosen by rules.
const MOST_RULES: usize = 8;

/// The part of a service.
pub(super) fn part(service: &ServiceView, slices: &[&EndpointSliceView], place: &Place<'_>) -> Part {
    let mut part = Part::default();
    let Ok(address) = service.spec.cluster_ip.parse::<Ipv4Addr>() else { return part };
    let elsewhere = service.metadata.labels.get(OTHER_PROXY).is_some();
    if elsewhere || &*service.spec.kind == "ExternalName" {
        return part;
    }
    let mut ready_here = BTreeSet::new();
    for own in &service.spec.ports {
        let (Some(protocol), Some(number)) = (Protocol::of(&own.protocol), port(own.port)) else { continue };
        let endpoints = endpoints(slices, &own.name, protocol, place.node);
        let of = Port::new(service, own, address, protocol, number);
        of.render(&endpoints, place, &mut part);
        ready_here.extend(endpoints.ready_here);
    }
    part.health =
        port(service.spec.health_check_node_port).map(|port| Health { port, endpoints: ready_here.len() });
    part
}

/// Who goes where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Cluster,
    Local,
}

impl Policy {
    fn of(text: &str) -> Self {
        if text == "Local" { Self::Local } else { Self::Cluster }
    }
}

/// One port of a service.
struct Port<'a> {
    service: &'a ServiceView,
    /// Names of chains and sets end with it.
    id: String,
    protocol: Protocol,
    number: u16,
    address: Ipv4Addr,
    node_port: Option<u16>,
    /// Addresses outside the cluster: external ones, then those of load balancers.
    external: Vec<Ipv4Addr>,
    balancers: Vec<Ipv4Addr>,
    internal_policy: Policy,
    external_policy: Policy,
    /// Seconds of stickiness.
    sticky: Option<i32>,
}

impl<'a> Port<'a> {
    fn new(
        service: &'a ServiceView,
        own: &ServicePort,
        address: Ipv4Addr,
        protocol: Protocol,
        number: u16,
    ) -> Self {
        let (meta, spec) = (&service.metadata, &service.spec);
        let config = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
        let seconds = config.and_then(|client| client.timeout_seconds).filter(|seconds| *seconds > 0);
        Self {
            service,
            id: format!("{}/{}/{protocol}/{number}", meta.namespace, meta.name),
            protocol,
            number,
            address,
            node_port: port(own.node_port),
            external: spec.external_ips.iter().filter_map(|ip| ip.parse().ok()).collect(),
            balancers: balancers(service),
            internal_policy: Policy::of(&spec.internal_traffic_policy),
            external_policy: Policy::of(&spec.external_traffic_policy),
            sticky: (&*spec.session_affinity == "ClientIP").then(|| seconds.unwrap_or(STICKY_SECONDS)),
        }
    }

    fn render(&self, endpoints: &Endpoints, place: &Place<'_>, part: &mut Part) {
        self.chains(endpoints, place, part);
        self.internal(endpoints, part);
        self.outside(endpoints, part);
        self.guard(part);
        if self.protocol == Protocol::Udp {
            self.datagrams(endpoints, part);
        }
    }

    fn chain(&self, kind: &str) -> String {
        format!("{kind}/{}", self.id)
    }
    fn is_external(&self) -> bool {
        self.node_port.is_some() || !self.external.is_empty() || !self.balancers.is_empty()
    }

    fn chains(&self, endpoints: &Endpoints, place: &Place<'_>, part: &mut Part) {
        let uses_all = self.internal_policy == Policy::Cluster || self.is_external();
        let uses_here = self.internal_policy == Policy::Local
            || self.is_external() && self.external_policy == Policy::Local;
        if uses_all && !endpoints.anywhere.is_empty() {
            part.chains.insert(self.chain("svc"), self.choice(&endpoints.anywhere));
        }
        if uses_here && !endpoints.here.is_empty() {
            part.chains.insert(self.chain("local"), self.choice(&endpoints.here));
        }
        if self.sticky.is_some() {
            let used = uses_all.then_some(&endpoints.anywhere).into_iter();
            used.chain(uses_here.then_some(&endpoints.here))
                .flatten()
                .for_each(|to| self.endpoint(*to, part));
        }
        if self.is_external() && !endpoints.anywhere.is_empty() {
            part.chains.insert(self.chain("ext"), self.entrance(endpoints, place));
        }
    }

    /// Rules that lead to one of the endpoints, each as likely as the others.
    fn choice(&self, to: &Addresses) -> Vec<String> {
        if self.sticky.is_some() {
            let known = |to: &SocketAddrV4| {
                format!("ip saddr @{} goto {}", self.stickiness(*to), self.endpoint_chain(*to))
            };
            let new: Vec<String> = to.iter().map(|to| format!("goto {}", self.endpoint_chain(*to))).collect();
            return to.iter().map(known).chain(one_of("", &new, "vmap", &new)).collect();
        }
        let rules: Vec<String> =
            to.iter().map(|to| format!("meta l4proto {} dnat to {to}", self.protocol)).collect();
        let values: Vec<String> = to.iter().map(|to| format!("{} . {}", to.ip(), to.port())).collect();
        one_of(&format!("meta l4proto {} dnat ip to ", self.protocol), &rules, "map", &values)
    }

    fn endpoint_chain(&self, to: SocketAddrV4) -> String {
        format!("ep/{}/{}/{}", self.id, to.ip(), to.port())
    }
    /// Clients of an endpoint. The name holds the timeout, because that of an existing set cannot be changed.
    fn stickiness(&self, to: SocketAddrV4) -> String {
        let seconds = self.sticky.unwrap_or(STICKY_SECONDS);
        format!("clients/{seconds}/{}/{}/{}", self.id, to.ip(), to.port())
    }
    fn endpoint(&self, to: SocketAddrV4, part: &mut Part) {
        let (set, seconds) = (self.stickiness(to), self.sticky.unwrap_or(STICKY_SECONDS));
        let rules = vec![
            format!("update @{set} {{ ip saddr }}"),
            format!("meta l4proto {} dnat to {to}", self.protocol),
        ];
        part.chains.insert(self.endpoint_chain(to), rules);
        part.sets.insert(set, format!("type ipv4_addr ; flags dynamic,timeout ; timeout {seconds}s ;"));
    }

    /// What comes from outside. With the policy `Local`, pods and the node itself still go everywhere.
    fn entrance(&self, endpoints: &Endpoints, place: &Place<'_>) -> Vec<String> {
        let all = self.chain("svc");
        if self.external_policy == Policy::Cluster {
            return vec![MASQUERADE.to_owned(), format!("goto {all}")];
        }
        let mut rules = vec![
            format!("ip saddr {} goto {all}", place.pod_cidr),
            format!("fib saddr type local {MASQUERADE} goto {all}"),
        ];
        if !endpoints.here.is_empty() {
            rules.push(format!("goto {}", self.chain("local")));
        }
        rules
    }

    /// Clients inside, by the cluster's address.
    fn internal(&self, endpoints: &Endpoints, part: &mut Part) {
        let (chain, has_any) = match self.internal_policy {
            Policy::Cluster => ("svc", !endpoints.anywhere.is_empty()),
            Policy::Local => ("local", !endpoints.here.is_empty()),
        };
        let key = at(self.address, self.protocol, self.number);
        if has_any {
            part.element(SERVICES, key, format!("goto {}", self.chain(chain)));
        } else {
            part.element(REFUSED, key, refusal(endpoints));
        }
    }

    /// Clients outside, by node port and addresses.
    fn outside(&self, endpoints: &Endpoints, part: &mut Part) {
        let refused = endpoints.anywhere.is_empty()
            || self.external_policy == Policy::Local && endpoints.here.is_empty();
        let refusal = refused.then(|| refusal(endpoints));
        let entrance = (!endpoints.anywhere.is_empty()).then(|| format!("goto {}", self.chain("ext")));
        let mut add = |maps: (&'static str, &'static str), key: String| {
            for (map, value) in [(maps.0, entrance.as_deref()), (maps.1, refusal)] {
                if let Some(value) = value {
                    part.element(map, key.clone(), value);
                }
            }
        };
        if let Some(port) = self.node_port {
            add((NODE_PORTS, REFUSED_NODE_PORTS), on(self.protocol, port));
        }
        for address in self.external.iter().chain(&self.balancers) {
            add((SERVICES, REFUSED), at(*address, self.protocol, self.number));
        }
    }

    /// Who may use the load balancer. Its own address is the node's, when a balancer gave it to the node.
    fn guard(&self, part: &mut Part) {
        let ranges = ranges(service_ranges(self.service).chain(self.balancers.iter().map(|ip| (*ip).into())));
        let is_open = service_ranges(self.service).next().is_none()
            || ranges.iter().any(|range| range.prefix_len() == 0);
        if self.balancers.is_empty() || is_open {
            return;
        }
        let ranges: Vec<String> = ranges.iter().map(ToString::to_string).collect();
        let (chain, rule) = (self.chain("guard"), format!("ip saddr != {{ {} }} drop", ranges.join(", ")));
        for address in &self.balancers {
            part.element(GUARDED, at(*address, self.protocol, self.number), format!("goto {chain}"));
        }
        part.chains.insert(chain, vec![rule]);
    }

    fn datagrams(&self, endpoints: &Endpoints, part: &mut Part) {
        let addresses =
            [self.address].into_iter().chain(self.external.iter().chain(&self.balancers).copied());
        let at = addresses.map(|address| Destination::At(SocketAddrV4::new(address, self.number)));
        for destination in at.chain(self.node_port.map(Destination::Node)) {
            // Those of this node may still serve while others are ready elsewhere.
            let all = endpoints.anywhere.union(&endpoints.here).copied().collect();
            part.datagrams.insert(destination, all);
        }
    }
}

/// Few choices are one rule each, where the first of three is taken once in three times, the second every other time of
/// the rest; many are one map. A map costs nft more with every later change of the table, rules cost packets more.
fn one_of(before: &str, rules: &[String], map: &str, values: &[String]) -> Vec<String> {
    let count = rules.len();
    if count <= MOST_RULES {
        let pick =
            |left: usize| if left > 1 { format!("numgen random mod {left} 0 ") } else { String::new() };
        return rules.iter().enumerate().map(|(i, rule)| format!("{}{rule}", pick(count - i))).collect();
    }
    let elements: Vec<String> =
        values.iter().enumerate().map(|(i, value)| format!("{i} : {value}")).collect();
    vec![format!("{before}numgen random mod {count} {map} {{ {} }}", elements.join(", "))]
}

/// Without any endpoint clients hear of it; with endpoints on other nodes only, they may try again.
fn refusal(endpoints: &Endpoints) -> &'static str {
    if endpoints.anywhere.is_empty() { "goto refuse" } else { "drop" }
}

fn balancers(service: &ServiceView) -> Vec<Ipv4Addr> {
    let ingress = service.status.load_balancer.ingress.iter();
    let is_address =
        |ingress: &&proa_kit::views::service::Ingress| ingress.ip_mode.as_deref() != Some("Proxy");
    ingress.filter(is_address).filter_map(|ingress| ingress.ip.parse().ok()).collect()
}

fn service_ranges(service: &ServiceView) -> impl Iterator<Item = Ipv4Net> {
    let ranges = service.spec.load_balancer_source_ranges.iter();
    ranges.filter_map(|range| range.trim().parse::<Ipv4Net>().ok()).map(|range| range.trunc())
}

/// Without those that others hold: nft takes no overlap.
fn ranges(all: impl Iterator<Item = Ipv4Net>) -> Vec<Ipv4Net> {
    Ipv4Net::aggregate(&all.collect())
}
