//! The nodes with what runs on them.
//!
//! Invariants: a node keeps its slot while it exists, holds pods or is nominated for some, so that pods may arrive before
//! their node; sums are those of the pods that were added and not yet removed. A nominated pod counts in none of them.
//! Upstream: pkg/scheduler/framework/types.go (NodeInfo), backend/cache/{cache,snapshot}.go, backend/queue/nominator.go.

use super::{Candidate, images::Images, ports::HostPort, resources::Amounts};
use proa_kit::{
    Key,
    views::{NodeView, PodView},
};
use proa_meta::quantity::Quantity;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Number of a node in the snapshot.
pub type Slot = u32;
/// Order of the pods of a node: by priority, so that those which may have to go come first.
pub type Rank = (i32, Key);

/// What pods take of a node.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// What they need.
    pub requested: Amounts,
    /// Their number.
    pub pods: i64,
    /// Ports they take.
    pub ports: Vec<HostPort>,
}

impl Load {
    /// A pod comes.
    pub fn add(&mut self, pod: &Candidate) {
        self.requested.add(&pod.requests.needed);
        self.pods += 1;
        self.ports.extend(pod.ports.iter().cloned());
    }
    /// A pod goes.
    pub fn remove(&mut self, pod: &Candidate) {
        self.requested.subtract(&pod.requests.needed);
        self.pods -= 1;
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|own| own == port) {
                self.ports.swap_remove(at);
            }
        }
    }
}

/// A node and the sums of its pods.
#[derive(Clone, Debug, Default)]
pub struct Node {
    /// Name.
    pub name: Box<str>,
    /// The node; absent while only pods name it.
    pub view: Option<Arc<NodeView>>,
    /// What pods can use.
    pub allocatable: Amounts,
    /// How many pods it takes.
    pub most_pods: i64,
    /// What its pods take.
    pub load: Load,
    /// CPU and memory of its pods for scoring.
    pub scored: (i64, i64),
    /// Its pods.
    pub residents: BTreeMap<Rank, Arc<Candidate>>,
    /// Pods that wait and for which room is made here.
    pub nominated: BTreeMap<Key, Arc<Candidate>>,
}

impl Node {
    /// A label of the node.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.view.as_ref()?.metadata.labels.get(key)
    }
    /// Its pods of a lower priority than this one's.
    pub fn lower(&self, pod: &Candidate) -> impl Iterator<Item = &Arc<Candidate>> {
        let priority = pod.priority();
        self.residents.iter().take_while(move |((own, _), _)| *own < priority).map(|(_, resident)| resident)
    }
    /// The nominated pods that this one must leave room for.
    pub fn reserved<'a>(&'a self, pod: &'a Candidate) -> impl Iterator<Item = &'a Arc<Candidate>> {
        let comes_first = |other: &&Arc<Candidate>| {
            other.priority() >= pod.priority() && other.view.metadata.uid != pod.view.metadata.uid
        };
        self.nominated.values().filter(comes_first)
    }
    /// A pod comes.
    fn add(&mut self, pod: &Candidate) {
        self.load.add(pod);
        self.scored.0 += pod.requests.scored.0;
        self.scored.1 += pod.requests.scored.1;
    }
    /// A pod goes.
    fn remove(&mut self, pod: &Candidate) {
        self.load.remove(pod);
        self.scored.0 -= pod.requests.scored.0;
        self.scored.1 -= pod.requests.scored.1;
    }
    fn set(&mut self, view: &Arc<NodeView>) {
        self.allocatable = Amounts::read(&view.status.allocatable);
        let pods = view.status.allocatable.get("pods").and_then(|text| Quantity::parse(text).ok());
        self.most_pods = pods.map_or(0, |pods| pods.value());
        self.view = Some(view.clone());
    }
}

/// All nodes.
#[derive(Debug, Default)]
pub struct Nodes {
    slots: Vec<Node>,
    by_name: HashMap<Box<str>, Slot>,
    free: Vec<Slot>,
    existing: usize,
    /// Number of pods by priority.
    priorities: BTreeMap<i32, usize>,
    images: Images,
    /// Where the next search starts.
    pub(crate) start: usize,
}

impl Nodes {
    /// Number of existing nodes.
    pub fn len(&self) -> usize {
        self.existing
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.existing == 0
    }
    /// Images that nodes have.
    pub fn images(&self) -> &Images {
        &self.images
    }
    /// All slots, also those without an existing node.
    pub fn slots(&self) -> &[Node] {
        &self.slots
    }
    /// A node.
    pub fn get(&self, slot: Slot) -> Option<&Node> {
        self.slots.get(slot as usize)
    }
    /// Slot of a name.
    pub fn find(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied()
    }
    /// Whether there is a node of this name.
    pub fn exists(&self, name: &str) -> bool {
        self.find(name).and_then(|slot| self.get(slot)).is_some_and(|node| node.view.is_some())
    }
    fn slot(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.find(name) {
            return slot;
        }
        let node = Node { name: name.into(), ..Node::default() };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = node;
                slot
            }
            None => {
                self.slots.push(node);
                Slot::try_from(self.slots.len() - 1).expect("fewer than four thousand million nodes")
            }
        };
        self.by_name.insert(name.into(), slot);
        slot
    }
    /// A node was created or changed; its slot.
    pub(super) fn set(&mut self, view: &Arc<NodeView>) -> Slot {
        let slot = self.slot(&view.metadata.name);
        let node = &mut self.slots[slot as usize];
        self.existing += usize::from(node.view.is_none());
        let before = node.view.as_ref().map_or(&[][..], |before| &before.status.images);
        self.images.change(slot, before, &view.status.images);
        node.set(view);
        slot
    }
    /// A node was deleted.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(slot) = self.find(name) else { return };
        let node = &mut self.slots[slot as usize];
        self.existing -= usize::from(node.view.is_some());
        if let Some(before) = node.view.take() {
            self.images.change(slot, &before.status.images, &[]);
        }
        self.release(slot);
    }
    fn release(&mut self, slot: Slot) {
        let node = &mut self.slots[slot as usize];
        if node.view.is_none() && node.residents.is_empty() && node.nominated.is_empty() {
            self.by_name.remove(&node.name);
            *node = Node::default();
            self.free.push(slot);
        }
    }
    /// A pod comes to the node of this name.
    pub(super) fn place(&mut self, name: &str, key: Key, pod: Arc<Candidate>) -> Slot {
        let slot = self.slot(name);
        let node = &mut self.slots[slot as usize];
        node.add(&pod);
        *self.priorities.entry(pod.priority()).or_default() += 1;
        node.residents.insert((pod.priority(), key), pod);
        slot
    }
    /// A pod leaves its node.
    pub(super) fn displace(&mut self, slot: Slot, rank: &Rank) {
        let node = &mut self.slots[slot as usize];
        let Some(pod) = node.residents.remove(rank) else { return };
        node.remove(&pod);
        if let Some(count) = self.priorities.get_mut(&rank.0) {
            *count -= 1;
            if *count == 0 {
                self.priorities.remove(&rank.0);
            }
        }
        self.release(slot);
    }
    /// A pod on its node.
    pub(super) fn resident(&self, slot: Slot, rank: &Rank) -> Option<&Arc<Candidate>> {
        self.get(slot)?.residents.get(rank)
    }
    fn resident_mut(&mut self, slot: Slot, rank: &Rank) -> Option<&mut Candidate> {
        self.slots.get_mut(slot as usize)?.residents.get_mut(rank).map(Arc::make_mut)
    }
    /// A newer view of a pod that needs what it needed.
    pub(super) fn renew(&mut self, slot: Slot, rank: &Rank, view: &Arc<PodView>) {
        if let Some(pod) = self.resident_mut(slot, rank) {
            pod.view = view.clone();
        }
    }
    /// A pod is about to be deleted to make room, or its deletion failed.
    pub(super) fn preempted(&mut self, slot: Slot, rank: &Rank, is_preempted: bool) {
        if let Some(pod) = self.resident_mut(slot, rank) {
            pod.is_preempted = is_preempted;
        }
    }
    /// All pods on nodes.
    pub fn residents(&self) -> impl Iterator<Item = (&Candidate, Slot)> + Clone {
        (0..).zip(&self.slots).flat_map(|(slot, node)| node.residents.values().map(move |pod| (&**pod, slot)))
    }
    /// The lowest priority of any pod on a node.
    pub fn lowest_priority(&self) -> Option<i32> {
        self.priorities.first_key_value().map(|(priority, _)| *priority)
    }
    /// Room is made for a pod on the node of this name.
    pub(super) fn nominate(&mut self, name: &str, key: Key, pod: Arc<Candidate>) -> Slot {
        let slot = self.slot(name);
        self.slots[slot as usize].nominated.insert(key, pod);
        slot
    }
    /// No longer.
    pub(super) fn withdraw(&mut self, slot: Slot, key: &Key) {
        self.slots[slot as usize].nominated.remove(key);
        self.release(slot);
    }
}
