//! The pods of the simulated nodes.

use proa_kit::{
    Change, Key, Meta, Pairs, Timestamp,
    conditions::Condition,
    queue::Queue,
    views::{meta, null_as_default, pod_spec::Resources},
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
    /// What was reported last.
    #[serde(default)]
    pub status: Status,
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
    /// Resources of the pod as a whole.
    pub resources: Option<Box<Resources>>,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: Box<str>,
    /// Image.
    pub image: Box<str>,
    /// Requests and limits.
    pub resources: Resources,
    /// What a change of them means.
    #[serde(deserialize_with = "null_as_default")]
    pub resize_policy: Box<[ResizePolicy]>,
}

/// Whether a container restarts when its amount of a resource changes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResizePolicy {
    /// `cpu` or `memory`.
    pub resource_name: Box<str>,
    /// `NotRequired` or `RestartContainer`.
    pub restart_policy: Box<str>,
}

/// What a simulated node reads of what it reported.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    /// `Pending`, `Running`, `Succeeded` or `Failed`.
    pub phase: Box<str>,
    /// When the node took the pod over.
    pub start_time: Option<Timestamp>,
    /// The generation that was reported on.
    pub observed_generation: i64,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
    /// Containers.
    #[serde(deserialize_with = "null_as_default")]
    pub container_statuses: Box<[Reported]>,
}

/// What was reported of a container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reported {
    /// Name.
    pub name: Box<str>,
    /// How often it was restarted.
    pub restart_count: i32,
    /// Its state.
    pub state: ReportedState,
    /// What it was given.
    pub resources: Option<Resources>,
}

/// The state that was reported of a container, as far as it is not known from the time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ReportedState {
    /// It runs.
    pub running: Option<Running>,
}

/// Since when a container runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Since then.
    pub started_at: Option<Timestamp>,
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
