//! Which service has which ports of which addresses, and what it could have.
//!
//! Invariant: a port of an address is one service's. What a service was given counts from the plan on, and what it loses
//! until that is written; its status counts only when it is seen for the first time.

mod host;
mod ingress;
pub mod pool;

pub use ingress::IngressView;

use crate::plan::is_own;
use host::Hosts;
use pool::Pool;
use proa_kit::{
    Change, Key, View,
    queue::Queue,
    views::{EndpointSliceView, IngressClassView, NodeView, PodView, ServiceView, service::ServicePort},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    net::IpAddr,
    sync::Arc,
};

/// A port of a transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Port(u16, &'static str);

/// Every port: addresses of the pool are not shared.
const WHOLE: Port = Port(0, "");

impl Port {
    /// `None` for what is no port.
    fn of(number: i32, protocol: &str) -> Option<Self> {
        let protocol = match protocol {
            "UDP" => "UDP",
            "SCTP" => "SCTP",
            _ => "TCP",
        };
        u16::try_from(number).ok().filter(|number| *number > 0).map(|number| Self(number, protocol))
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

type Slot = (IpAddr, Port);

/// All there is.
#[derive(Debug, Default)]
pub struct Index {
    pool: Option<Pool>,
    services: BTreeMap<Key, Known>,
    held: BTreeMap<Slot, Key>,
    hosts: Hosts,
    /// Services that did not get all they could have.
    waiting: BTreeSet<Key>,
}

#[derive(Debug)]
struct Known {
    view: Arc<ServiceView>,
    slots: BTreeSet<Slot>,
    /// What it had and its status may still show.
    leaving: BTreeSet<Slot>,
    /// What its users were told last.
    told: Option<String>,
}

/// What a service is given.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) service: Arc<ServiceView>,
    pub(crate) addresses: Vec<IpAddr>,
    /// Reason and text of an event, when there is something new to tell.
    pub(crate) news: Option<(&'static str, String)>,
}

impl Index {
    /// With addresses of a pool, or else of nodes.
    pub fn new(pool: Option<Pool>) -> Self {
        Self { pool, ..Self::default() }
    }
    /// Takes in a change of a service.
    pub fn service(&mut self, change: &Change<ServiceView>, wake: &Queue<Key>) {
        let Some(latest) = change.latest() else { return };
        let key = latest.key();
        let moved = self.hosts.service(change);
        self.wake(&moved, wake);
        match change.new.as_ref().filter(|service| is_own(service)) {
            Some(view) => {
                self.know(&key, view);
                wake.mark(key);
            }
            None => {
                self.hold(&key, BTreeSet::new());
                self.free(&key, wake);
                self.services.remove(&key);
                self.waiting.remove(&key);
            }
        }
    }
    fn know(&mut self, key: &Key, view: &Arc<ServiceView>) {
        if let Some(known) = self.services.get_mut(key) {
            known.view = view.clone();
            return;
        }
        let new = Known { view: view.clone(), slots: BTreeSet::new(), leaving: BTreeSet::new(), told: None };
        self.services.insert(key.clone(), new);
        let shown = view.status.load_balancer.ingress.iter().filter_map(|own| own.ip.parse().ok());
        let mut slots = self.slots(view, shown);
        slots.retain(|slot| !self.held.contains_key(slot));
        self.hold(key, slots);
    }
    /// Takes in a change of a node.
    pub fn node(&mut self, change: &Change<NodeView>, wake: &Queue<Key>) {
        if self.hosts.node(change) {
            self.services.keys().for_each(|key| wake.mark(key.clone()));
        }
    }
    /// Takes in a change of a slice.
    pub fn slice(&mut self, change: &Change<EndpointSliceView>, wake: &Queue<Key>) {
        let moved = self.hosts.slice(change);
        self.wake(&moved, wake);
        let services = change.both().filter_map(|slice| host::service_of(slice));
        for key in services.filter(|key| self.services.get(key).is_some_and(|known| is_local(&known.view))) {
            wake.mark(key);
        }
    }
    /// Takes in a change of a pod.
    pub fn pod(&mut self, change: &Change<PodView>, wake: &Queue<Key>) {
        let moved = self.hosts.pod(change);
        self.wake(&moved, wake);
    }
    /// Takes in a change of an ingress.
    pub fn ingress(&mut self, change: &Change<IngressView>, wake: &Queue<Key>) {
        let moved = self.hosts.ingresses.ingress(change);
        self.wake(&moved, wake);
    }
    /// Takes in a change of a class of ingresses.
    pub fn class(&mut self, change: &Change<IngressClassView>, wake: &Queue<Key>) {
        let moved = self.hosts.ingresses.class(change);
        self.wake(&moved, wake);
    }
    /// Wakes those that want one of these ports.
    fn wake(&self, moved: &BTreeSet<Port>, wake: &Queue<Key>) {
        if !moved.is_empty() {
            let wanting = self.services.iter().filter(|(_, known)| self.wants(known, moved));
            wanting.for_each(|(key, _)| wake.mark(key.clone()));
        }
    }
    fn wants(&self, known: &Known, among: &BTreeSet<Port>) -> bool {
        match self.pool {
            Some(_) => among.contains(&WHOLE),
            None => ports(&known.view).any(|port| among.contains(&port)),
        }
    }
    /// Takes note that what a service was given is written: what its status no longer shows others may have.
    pub fn settle(&mut self, key: &Key, wake: &Queue<Key>) {
        // Nothing is written about one that is going.
        if self.services.get(key).is_some_and(|known| !known.view.metadata.is_deleting()) {
            self.free(key, wake);
        }
    }
    /// Gives a service what it can have; `None` when it is nobody's business or all is said.
    pub(crate) fn give(&mut self, key: &Key) -> Option<Given> {
        let service = self.services.get(key).map(|known| known.view.clone())?;
        if service.metadata.is_deleting() {
            return None;
        }
        let (addresses, problem) = match self.pool.clone() {
            Some(pool) => self.of_pool(key, &service, &pool),
            None => self.of_nodes(key, &service),
        };
        self.hold(key, self.slots(&service, addresses.iter().copied()));
        match &problem {
            Some(_) => self.waiting.insert(key.clone()),
            None => self.waiting.remove(key),
        };
        let told = self.services.get_mut(key).map(|known| &mut known.told)?;
        let note = problem.as_ref().map(|(_, note)| note.clone());
        let is_new = *told != note;
        *told = note;
        Some(Given { service, addresses, news: problem.filter(|_| is_new) })
    }
    fn slots(&self, service: &ServiceView, addresses: impl Iterator<Item = IpAddr>) -> BTreeSet<Slot> {
        let ports: Vec<Port> = if self.pool.is_some() { vec![WHOLE] } else { ports(service).collect() };
        addresses.flat_map(|address| ports.iter().map(move |port| (address, *port))).collect()
    }
    /// Gives it these, and keeps what it had until that is freed.
    fn hold(&mut self, key: &Key, slots: BTreeSet<Slot>) {
        let Some(known) = self.services.get_mut(key) else { return };
        known.leaving.append(&mut known.slots);
        known.leaving.retain(|slot| !slots.contains(slot));
        known.slots.clone_from(&slots);
        self.held.extend(slots.into_iter().map(|slot| (slot, key.clone())));
    }
    /// Gives up what it had, and wakes others that wait for that.
    fn free(&mut self, key: &Key, wake: &Queue<Key>) {
        let Some(known) = self.services.get_mut(key) else { return };
        let freed = std::mem::take(&mut known.leaving);
        freed.iter().for_each(|slot| drop(self.held.remove(slot)));
        let freed: BTreeSet<Port> = freed.into_iter().map(|(_, port)| port).collect();
        if !freed.is_empty() {
            let wants = |key: &Key| self.services.get(key).is_some_and(|known| self.wants(known, &freed));
            let waiting = self.waiting.iter().filter(|other| *other != key && wants(other));
            waiting.for_each(|other| wake.mark(other.clone()));
        }
    }
    /// Who else has it.
    fn other(&self, slot: &Slot, key: &Key) -> Option<&Key> {
        self.held.get(slot).filter(|holder| *holder != key)
    }

    /// One address of each family, and what is wrong with those that it does not get.
    fn of_pool(&self, key: &Key, service: &ServiceView, pool: &Pool) -> (Vec<IpAddr>, Option<Problem>) {
        let asked = &*service.spec.load_balancer_ip;
        let wanted: Option<IpAddr> = asked.parse().ok();
        if wanted.is_none() && !asked.is_empty() {
            return (Vec::new(), Some((FAILED, format!("spec.loadBalancerIP {asked:?} is no address"))));
        }
        if wanted.is_some_and(|wanted| !families(service).contains(&wanted.is_ipv6())) {
            let note = format!("spec.loadBalancerIP {asked} is of a family that the service does not have");
            return (Vec::new(), Some((FAILED, note)));
        }
        let had = self.services.get(key).map(|known| known.slots.clone()).unwrap_or_default();
        let (mut addresses, mut problem) = (Vec::new(), None);
        for is_v6 in families(service) {
            let wanted = wanted.filter(|address| address.is_ipv6() == is_v6);
            let own = had.iter().map(|(address, _)| *address).find(|address| {
                address.is_ipv6() == is_v6
                    && pool.has(*address)
                    && wanted.is_none_or(|wanted| wanted == *address)
            });
            let found = match (own, wanted) {
                (Some(own), _) => Ok(own),
                (None, Some(wanted)) => self.asked(key, wanted, pool),
                (None, None) => pool
                    .free(is_v6, |range| self.taken(*range.start(), *range.end()))
                    .ok_or_else(|| format!("all {} addresses of the pool are in use", family(is_v6))),
            };
            match found {
                Ok(address) => addresses.push(address),
                Err(why) => problem = Some((FAILED, why)),
            }
        }
        (addresses, problem)
    }
    fn asked(&self, key: &Key, wanted: IpAddr, pool: &Pool) -> Result<IpAddr, String> {
        if !pool.has(wanted) {
            return Err(format!("spec.loadBalancerIP {wanted} is not in the pool"));
        }
        match self.other(&(wanted, WHOLE), key) {
            Some(other) => Err(format!("spec.loadBalancerIP {wanted} is in use by service {other}")),
            None => Ok(wanted),
        }
    }
    fn taken(&self, first: IpAddr, last: IpAddr) -> impl Iterator<Item = IpAddr> {
        self.held.range((first, WHOLE)..=(last, WHOLE)).map(|((address, _), _)| *address)
    }

    /// The addresses of all nodes where its ports are free, and whose they are where they are not.
    fn of_nodes(&self, key: &Key, service: &ServiceView) -> (Vec<IpAddr>, Option<Problem>) {
        let (mut addresses, mut seen, mut problem) = (Vec::new(), HashSet::new(), None);
        let candidates = self.hosts.candidates(is_local(service).then_some(key));
        for is_v6 in families(service) {
            for (name, node) in &candidates {
                for address in node.addresses.iter().copied().filter(|address| address.is_ipv6() == is_v6) {
                    let taken = ports(service).find_map(|port| {
                        let slot = (address, port);
                        let other = self.other(&slot, key).map(|other| format!("service {other}"));
                        Some((port, other.or_else(|| self.hosts.occupant(key, name, node, slot))?))
                    });
                    if let Some((port, who)) = taken {
                        let note = || format!("port {port} of node {name} is in use by {who}");
                        problem.get_or_insert_with(|| (FAILED, note()));
                    } else if seen.insert(address) {
                        addresses.push(address);
                    }
                }
            }
        }
        if addresses.is_empty() && problem.is_none() {
            problem = Some(self.nowhere(service, candidates.is_empty()));
        }
        (addresses, problem)
    }
    /// Why there is not even a node whose ports could be taken.
    fn nowhere(&self, service: &ServiceView, has_no_nodes: bool) -> Problem {
        if !self.hosts.has_candidates() {
            return ("UnAvailableLoadBalancer", "There are no available nodes for LoadBalancer".to_owned());
        }
        if has_no_nodes {
            let note = "no node has a ready endpoint, as externalTrafficPolicy Local requires";
            return (FAILED, note.to_owned());
        }
        let families: Vec<_> = families(service).into_iter().map(family).collect();
        (FAILED, format!("no node has an address of family {}", families.join(" or ")))
    }
}

/// Reason and text of a warning.
type Problem = (&'static str, String);

const FAILED: &str = "AllocationFailed";

fn ports(service: &ServiceView) -> impl Iterator<Item = Port> {
    service.spec.ports.iter().filter_map(|port: &ServicePort| Port::of(port.port, &port.protocol))
}

/// Whether only nodes with endpoints of its own take what comes from outside.
fn is_local(service: &ServiceView) -> bool {
    &*service.spec.external_traffic_policy == "Local"
}

/// Whether each of its families is IPv6.
fn families(service: &ServiceView) -> Vec<bool> {
    match &*service.spec.ip_families {
        [] => vec![false],
        families => families.iter().map(|family| &**family == "IPv6").collect(),
    }
}

fn family(is_v6: bool) -> &'static str {
    if is_v6 { "IPv6" } else { "IPv4" }
}
