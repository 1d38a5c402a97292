//! The nodes, when each was heard of, and their pods.
//!
//! Invariants: a pod is listed under the node it names, whether that exists or not; a change wakes the pods of a node
//! only if it changes what happens to them. What has a time is noted by plans, which know it: here it is only said that
//! something is new.

mod zones;

pub use zones::Disruption;

use proa_kit::{
    Change, Key, ObjectRef, Timestamp, Typed, View, conditions,
    queue::Queue,
    views::{LeaseView, NodeView, PodView, node::Taint},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use zones::{Zones, zone_of};

/// Taint of nodes that are off.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What is decided about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A node, by name.
    Node(Arc<str>),
    /// A pod.
    Pod(Key),
}

/// A node as it was heard of.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// The node; absent while only its pods or its lease are known.
    pub view: Option<Arc<NodeView>>,
    /// When it was heard of last, as noted by a plan.
    pub heard: Option<Timestamp>,
    /// Heard of since then.
    pub is_fresh: bool,
    /// When it was first missing, as noted by a plan.
    pub missing: Option<Timestamp>,
    /// Whether its arrival was announced.
    pub is_registered: bool,
    zone: Arc<str>,
    renewed: Option<Timestamp>,
    pods: HashSet<Key>,
}

impl Health {
    /// Whether its condition `Ready` is true.
    pub fn is_ready(&self) -> bool {
        self.view.as_ref().is_some_and(|node| conditions::is_true(&node.status.conditions, "Ready"))
    }
    /// Whether its kubelet is silent.
    pub fn is_lost(&self) -> bool {
        let ready = self.view.as_ref().and_then(|node| conditions::find(&node.status.conditions, "Ready"));
        ready.is_some_and(|ready| &*ready.status == "Unknown")
    }
    /// Whether an administrator says that it is off: what still runs there never ends by itself.
    pub fn is_out_of_service(&self) -> bool {
        let mut taints = self.view.iter().flat_map(|node| &node.spec.taints);
        !self.is_ready() && taints.any(|taint| &*taint.key == OUT_OF_SERVICE)
    }
    /// Its taints that evict.
    pub fn evicting(&self) -> impl Iterator<Item = &Taint> {
        self.view.iter().flat_map(|node| &node.spec.taints).filter(|taint| &*taint.effect == "NoExecute")
    }
}

/// All nodes.
#[derive(Debug, Default)]
pub struct Nodes {
    nodes: HashMap<Arc<str>, Health>,
    pods: HashMap<Key, Arc<PodView>>,
    zones: Zones,
    /// Nodes whose departure was not announced yet.
    gone: HashMap<Arc<str>, ObjectRef>,
    /// Since when pods that tolerate a while are being evicted.
    pub(crate) evictions: HashMap<Key, Timestamp>,
}

impl Nodes {
    /// A node.
    pub fn get(&self, name: &str) -> Option<&Health> {
        self.nodes.get(name)
    }
    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Health> {
        self.nodes.get_mut(name)
    }
    /// A node that is gone, once.
    pub(crate) fn take_gone(&mut self, name: &str) -> Option<ObjectRef> {
        self.gone.remove(name)
    }
    /// A pod.
    pub fn pod_by(&self, key: &Key) -> Option<&Arc<PodView>> {
        self.pods.get(key)
    }
    /// How much of a node's zone fails.
    pub fn disruption(&self, name: &str) -> Disruption {
        self.nodes.get(name).map(|health| self.zones.disruption(&health.zone)).unwrap_or_default()
    }
    /// When a node of a node's zone was tainted for eviction last.
    pub(crate) fn tainted(&mut self, name: &str) -> Option<&mut Option<Timestamp>> {
        self.zones.tainted(&self.nodes.get(name)?.zone)
    }
    /// Takes in a change of a node.
    pub fn node(&mut self, change: &Change<NodeView>, wake: &Queue<Item>) {
        let Some(latest) = change.latest() else { return };
        let name: Arc<str> = (&*latest.metadata.name).into();
        let health = self.nodes.entry(name.clone()).or_default();
        let heartbeat = |node: &Option<Arc<NodeView>>| {
            node.as_ref()
                .and_then(|node| conditions::find(&node.status.conditions, "Ready")?.last_heartbeat_time)
        };
        let (was_ready, taints) = (health.is_ready(), health.evicting().cloned().collect::<Vec<_>>());
        let (had, was_off) = (health.view.is_some(), health.is_out_of_service());
        health.is_fresh |= change.new.is_some() && heartbeat(&health.view) != heartbeat(&change.new);
        health.view.clone_from(&change.new);
        let has = change.new.is_some();
        let concerned = had != has
            || was_ready != health.is_ready()
            || was_off != health.is_out_of_service()
            || !health.evicting().eq(&taints);
        health.is_registered &= has;
        let pods: Vec<Key> = if concerned { health.pods.iter().cloned().collect() } else { Vec::new() };
        let (is_ready, is_empty) = (health.is_ready(), health.pods.is_empty());
        let zone = change.new.as_ref().map_or_else(|| health.zone.clone(), |node| zone_of(node));
        let left = std::mem::replace(&mut health.zone, zone.clone());
        pods.into_iter().for_each(|pod| wake.mark(Item::Pod(pod)));
        let mut failing = if left == zone { Vec::new() } else { self.zones.put(&name, &left, None) };
        failing.extend(self.zones.put(&name, &zone, has.then_some(is_ready)));
        failing.into_iter().for_each(|name| wake.mark(Item::Node(name)));
        if !has {
            self.gone.insert(name.clone(), latest.reference());
            if is_empty {
                self.nodes.remove(&name);
            }
        }
        wake.mark(Item::Node(name));
    }
    /// Takes in a change of a lease.
    pub fn lease(&mut self, change: &Change<LeaseView>, wake: &Queue<Item>) {
        let Some(lease) = &change.new else { return };
        let name: Arc<str> = (&*lease.metadata.name).into();
        let Some(health) = self.nodes.get_mut(&name) else { return };
        if lease.spec.renew_time > health.renewed {
            health.renewed = lease.spec.renew_time;
            health.is_fresh = true;
            wake.mark(Item::Node(name));
        }
    }
    /// Takes in a change of a pod.
    pub fn pod(&mut self, change: &Change<PodView>, wake: &Queue<Item>) {
        let node_of =
            |pod: &Option<Arc<PodView>>| pod.as_ref().map_or("".into(), |pod| pod.spec.node_name.clone());
        let (old, new) = (node_of(&change.old), node_of(&change.new));
        let Some(key) = change.latest().map(|pod| pod.key()) else { return };
        if old != new {
            self.leave(&old, &key);
        }
        let Some(pod) = change.new.as_ref().filter(|_| !new.is_empty()) else {
            self.pods.remove(&key);
            self.evictions.remove(&key);
            return;
        };
        let replaced = change.old.as_ref().is_some_and(|old| old.metadata.uid != pod.metadata.uid);
        if replaced {
            self.evictions.remove(&key);
        }
        self.pods.insert(key.clone(), pod.clone());
        let health = self.nodes.entry((&*new).into()).or_default();
        health.pods.insert(key.clone());
        if !health.is_ready() || health.evicting().next().is_some() {
            wake.mark(Item::Pod(key));
        }
    }
    fn leave(&mut self, node: &str, key: &Key) {
        if let Some(health) = self.nodes.get_mut(node) {
            health.pods.remove(key);
            if health.pods.is_empty() && health.view.is_none() {
                self.nodes.remove(node);
            }
        }
    }
}
