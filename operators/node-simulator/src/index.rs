//! The pods of the simulated nodes.

use proa_kit::{
    Change, Key, Meta, Pairs,
    queue::Queue,
    views::{meta, pod::PodStatus},
};
use serde::Deserialize;
use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::Arc,
};

/// A pod as a simulated node sees it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct SimulatedPod {
    /// Metadata with annotations: they say how the pod behaves.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: Spec,
    /// Status.
    #[serde(default)]
    pub status: PodStatus,
}

proa_kit::view!(SimulatedPod, proa_kit::Kind::namespaced("", "v1", "Pod", "pods"));

/// What a simulated node reads of a pod's spec.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    /// Node.
    pub node_name: Box<str>,
    /// `Always`, `OnFailure` or `Never`.
    pub restart_policy: Box<str>,
    /// Containers.
    pub containers: Box<[Container]>,
    /// Init containers.
    pub init_containers: Box<[Container]>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Container {
    /// Name.
    pub name: Box<str>,
    /// Image.
    pub image: Box<str>,
}

impl SimulatedPod {
    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        let annotations: &Pairs = &self.metadata.annotations;
        annotations.get(name)
    }
}

/// The simulated nodes and their pods.
pub(crate) struct Nodes {
    names: HashSet<Box<str>>,
    pods: HashMap<Key, Arc<SimulatedPod>>,
    addresses: HashMap<Box<str>, Ipv4Addr>,
    network: (Ipv4Addr, u8),
    next: u32,
}

impl Nodes {
    pub(crate) fn new(names: impl Iterator<Item = String>, network: (Ipv4Addr, u8)) -> Self {
        Self {
            names: names.map(String::into_boxed_str).collect(),
            pods: HashMap::new(),
            addresses: HashMap::new(),
            network,
            next: 0,
        }
    }
    pub(crate) fn pod(&self, key: &Key) -> Option<Arc<SimulatedPod>> {
        self.pods.get(key).cloned()
    }
    /// The pod's address: one that no other pod has while the network is large enough.
    pub(crate) fn address(&mut self, uid: &str) -> Ipv4Addr {
        if let Some(address) = self.addresses.get(uid) {
            return *address;
        }
        let (first, bits) = self.network;
        let size = (1_u32 << (32 - u32::from(bits).clamp(1, 30))) - 2;
        let address = Ipv4Addr::from(u32::from(first) + 1 + self.next % size);
        self.next = self.next.wrapping_add(1);
        self.addresses.insert(uid.into(), address);
        address
    }
}

/// Takes a change of a pod in and wakes the pod when it is on one of the nodes.
pub(crate) fn take_in(nodes: &mut Nodes, change: &Change<SimulatedPod>, wake: &Queue<Key>) {
    if let Some(pod) = &change.new {
        if nodes.names.contains(&pod.spec.node_name) {
            let key = Key::new(&pod.metadata.namespace, &pod.metadata.name);
            nodes.pods.insert(key.clone(), pod.clone());
            wake.mark(key);
        }
    } else if let Some(old) = &change.old {
        nodes.pods.remove(&Key::new(&old.metadata.namespace, &old.metadata.name));
        nodes.addresses.remove(&old.metadata.uid);
    }
}
