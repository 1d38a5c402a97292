//! The nodes with what runs on them.
//!
//! Invariants: a node keeps its slot while it exists or holds pods, so that pods may arrive before their node; sums are
//! those of the pods that were added and not yet removed.
//! Upstream: pkg/scheduler/framework/types.go (NodeInfo), backend/cache/{cache,snapshot}.go.

use super::{Candidate, ports::HostPort, resources::Amounts};
use proa_kit::views::NodeView;
use proa_meta::quantity::Quantity;
use std::{collections::HashMap, sync::Arc};

/// Number of a node in the snapshot.
pub type Slot = u32;

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
    /// What its pods need.
    pub requested: Amounts,
    /// CPU and memory of its pods for scoring.
    pub scored: (i64, i64),
    /// Number of its pods.
    pub pods: i64,
    /// Ports its pods take.
    pub ports: Vec<HostPort>,
    /// Pods by their controller.
    pub siblings: HashMap<u64, u32>,
}

impl Node {
    /// A label of the node.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.view.as_ref()?.metadata.labels.get(key)
    }
    /// A pod comes.
    fn add(&mut self, pod: &Candidate) {
        self.requested.add(&pod.requests.needed);
        self.scored.0 += pod.requests.scored.0;
        self.scored.1 += pod.requests.scored.1;
        self.pods += 1;
        self.ports.extend(pod.ports.iter().cloned());
        if let Some(controller) = pod.controller {
            *self.siblings.entry(controller).or_default() += 1;
        }
    }
    /// A pod goes.
    fn remove(&mut self, pod: &Candidate) {
        self.requested.subtract(&pod.requests.needed);
        self.scored.0 -= pod.requests.scored.0;
        self.scored.1 -= pod.requests.scored.1;
        self.pods -= 1;
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|own| own == port) {
                self.ports.swap_remove(at);
            }
        }
        if let Some(controller) = pod.controller
            && let Some(count) = self.siblings.get_mut(&controller)
        {
            *count -= 1;
            if *count == 0 {
                self.siblings.remove(&controller);
            }
        }
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
        node.set(view);
        slot
    }
    /// A node was deleted.
    pub(super) fn remove(&mut self, name: &str) {
        let Some(slot) = self.find(name) else { return };
        let node = &mut self.slots[slot as usize];
        self.existing -= usize::from(node.view.is_some());
        node.view = None;
        self.release(slot);
    }
    fn release(&mut self, slot: Slot) {
        let node = &mut self.slots[slot as usize];
        if node.view.is_none() && node.pods == 0 {
            self.by_name.remove(&node.name);
            *node = Node::default();
            self.free.push(slot);
        }
    }
    /// A pod comes to the node of this name.
    pub(super) fn place(&mut self, name: &str, pod: &Candidate) -> Slot {
        let slot = self.slot(name);
        self.slots[slot as usize].add(pod);
        slot
    }
    /// A pod leaves its node.
    pub(super) fn displace(&mut self, slot: Slot, pod: &Candidate) {
        self.slots[slot as usize].remove(pod);
        self.release(slot);
    }
}
