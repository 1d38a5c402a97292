//! Which service has which ports of which addresses, and what it could have.
//!
//! Invariant: a port of an address is one service's. What a service was given counts from the plan on; its status counts
//! only when it is seen for the first time.

mod host;
pub mod pool;

pub use host::IngressView;

use crate::plan::is_own;
use host::Hosts;
use pool::Pool;
use proa_kit::{
    Change, Key, View,
    queue::Queue,
    views::{EndpointSliceView, NodeView, PodView, ServiceView, service::ServicePort},
};
use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// Whether something became free that nobody was told of.
    freed: bool,
}

#[derive(Debug)]
struct Known {
    view: Arc<ServiceView>,
    slots: BTreeSet<Slot>,
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
        if !moved.is_empty() {
            let wants = |known: &Known| ports(&known.view).any(|port| moved.contains(&port));
            self.services
                .iter()
                .filter(|(_, known)| wants(known))
                .for_each(|(key, _)| wake.mark(key.clone()));
        }
        match change.new.as_ref().filter(|service| is_own(service)) {
            Some(view) => {
                self.know(&key, view);
                wake.mark(key);
            }
            None => {
                self.hold(&key, BTreeSet::new());
                self.services.remove(&key);
                self.waiting.remove(&key);
                self.offer(wake);
            }
        }
    }
    fn know(&mut self, key: &Key, view: &Arc<ServiceView>) {
        if let Some(known) = self.services.get_mut(key) {
            known.view = view.clone();
            return;
        }
        self.services.insert(key.clone(), Known { view: view.clone(), slots: BTreeSet::new(), told: None });
        let shown = view.status.load_balancer.ingress.iter().filter_map(|own| own.ip.parse().ok());
        let mut slots = self.slots(view, shown);
        slots.retain(|slot| !self.held.contains_key(slot));
        self.hold(key, slots);
    }
    /// Takes in a change of a node.
    pub fn node(&mut self, change: &Change<NodeView>, wake: &Queue<Key>) {
        if self.hosts.node(change) {
            self.wake_all(wake);
        }
    }
    /// Takes in a change of a slice.
    pub fn slice(&mut self, change: &Change<EndpointSliceView>, wake: &Queue<Key>) {
        if self.hosts.slice(change) {
            self.wake_all(wake);
        }
        let services = change.both().filter_map(|slice| host::service_of(slice));
        for key in services.filter(|key| self.services.get(key).is_some_and(|known| is_local(&known.view))) {
            wake.mark(key);
        }
    }
    /// Takes in a change of a pod.
    pub fn pod(&mut self, change: &Change<PodView>, wake: &Queue<Key>) {
        if self.hosts.pod(change) {
            self.wake_all(wake);
        }
    }
    /// Takes in a change of an ingress.
    pub fn ingress(&mut self, change: &Change<IngressView>, wake: &Queue<Key>) {
        if self.hosts.ingress(change) {
            self.wake_all(wake);
        }
    }
    fn wake_all(&self, wake: &Queue<Key>) {
        self.services.keys().for_each(|key| wake.mark(key.clone()));
    }
    /// Wakes those that wait, when something became free.
    pub fn offer(&mut self, wake: &Queue<Key>) {
        if std::mem::take(&mut self.freed) {
            std::mem::take(&mut self.waiting).into_iter().for_each(|key| wake.mark(key));
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
    fn hold(&mut self, key: &Key, slots: BTreeSet<Slot>) {
        let Some(known) = self.services.get_mut(key) else { return };
        let had = std::mem::replace(&mut known.slots, slots.clone());
        for slot in had.difference(&slots) {
            self.held.remove(slot);
            self.freed = true;
        }
        self.held.extend(slots.into_iter().map(|slot| (slot, key.clone())));
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
                (None, None) => {
                    pool.free(is_v6, |range| self.taken(*range.start(), *range.end())).ok_or_else(|| {
                        let family = if is_v6 { "IPv6" } else { "IPv4" };
                        format!("all {family} addresses of the pool are in use")
                    })
                }
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
        let (mut addresses, mut problem) = (Vec::new(), None);
        let candidates = self.hosts.candidates(is_local(service).then_some(key));
        for is_v6 in families(service) {
            for (name, node) in &candidates {
                for address in node.addresses.iter().copied().filter(|address| address.is_ipv6() == is_v6) {
                    let taken = ports(service).find_map(|port| {
                        let other = self.other(&(address, port), key).map(|other| format!("service {other}"));
                        Some((port, other.or_else(|| self.hosts.occupant(name, node, address, port))?))
                    });
                    match taken {
                        Some((port, who)) if problem.is_none() => {
                            let note = format!("port {port} of node {name} is in use by {who}");
                            problem = Some((FAILED, note));
                        }
                        Some(_) => {}
                        None if addresses.contains(&address) => {}
                        None => addresses.push(address),
                    }
                }
            }
        }
        if self.hosts.candidates(None).is_empty() {
            let note = "There are no available nodes for LoadBalancer".to_owned();
            problem = Some(("UnAvailableLoadBalancer", note));
        }
        (addresses, problem)
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
