//! Which shares of the network are whose.
//!
//! Invariants: a share is free, or somebody's; who has a share that is not of this size has all that it touches. What is
//! decided counts at once; what the watch says of a node replaces what was decided about it.

use crate::PodNetwork;
use ipnet::Ipv4Net;
use proa_kit::{Change, ObjectRef, Typed, queue::Queue, views::NodeView};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    ops::Range,
    sync::Arc,
};

/// All shares.
#[derive(Debug)]
pub struct Shares {
    network: PodNetwork,
    nodes: HashMap<Arc<str>, Known>,
    /// How many nodes have a share, by its number.
    taken: BTreeMap<usize, usize>,
    /// Where the search for a free one begins.
    next: usize,
    /// Nodes for which none was left.
    waiting: HashSet<Arc<str>>,
}

#[derive(Debug)]
struct Known {
    view: Arc<NodeView>,
    has: Range<usize>,
}

impl Shares {
    /// All of them free.
    pub fn new(network: PodNetwork) -> Self {
        let mut shares =
            Self { network, nodes: HashMap::new(), taken: BTreeMap::new(), next: 0, waiting: HashSet::new() };
        shares.next = shares.usual().start;
        shares
    }
    /// Those that are given before the reserved ones.
    fn usual(&self) -> Range<usize> {
        let count = self.count();
        self.network.reserved.min(count - 1)..count
    }
    fn count(&self) -> usize {
        let PodNetwork { network, node_bits, .. } = self.network;
        1 << node_bits.saturating_sub(network.prefix_len()).min(24)
    }
    /// A node whose share is not written.
    pub(crate) fn without(&self, node: &str) -> Option<ObjectRef> {
        let known = self.nodes.get(node)?;
        known.view.spec.pod_cidr.is_empty().then(|| known.view.reference())
    }
    /// Gives a node a free share; `None` when there is none.
    pub(crate) fn give(&mut self, node: &Arc<str>) -> Option<Ipv4Net> {
        // What was decided and may have been written stays decided.
        if let Some(known) = self.nodes.get(node).filter(|known| !known.has.is_empty()) {
            return self.share(known.has.start);
        }
        let usual = self.usual();
        let reserved = (0..usual.start).rev();
        let mut numbers = (self.next..usual.end).chain(usual.start..self.next).chain(reserved);
        let Some(number) = numbers.find(|number| !self.taken.contains_key(number)) else {
            self.waiting.insert(node.clone());
            return None;
        };
        if usual.contains(&number) {
            self.next = if number + 1 < usual.end { number + 1 } else { usual.start };
        }
        self.set(node, number..number + 1);
        self.share(number)
    }
    fn share(&self, number: usize) -> Option<Ipv4Net> {
        let bits = self.network.node_bits.max(self.network.network.prefix_len());
        let size = 32 - u32::from(bits);
        let offset = u32::try_from(u64::try_from(number).ok()? << size).ok()?;
        let address = u32::from(self.network.network.network()) + offset;
        Ipv4Net::new(address.into(), bits).ok()
    }
    /// A share that was given and certainly not written.
    pub fn take_back(&mut self, node: &Arc<str>, wake: &Queue<Arc<str>>) {
        if self.nodes.get(node).is_some_and(|known| known.view.spec.pod_cidr.is_empty()) {
            self.set(node, 0..0);
            self.wake_one(wake);
        }
    }
    /// Takes in a change of a node.
    pub fn node(&mut self, change: &Change<NodeView>, wake: &Queue<Arc<str>>) {
        let Some(latest) = change.latest() else { return };
        let name: Arc<str> = (&*latest.metadata.name).into();
        let Some(view) = &change.new else {
            self.set(&name, 0..0);
            self.nodes.remove(&name);
            self.waiting.remove(&name);
            self.wake_one(wake);
            return;
        };
        let replaced = change.old.as_ref().is_some_and(|old| old.metadata.uid != view.metadata.uid);
        let known = self.nodes.entry(name.clone()).or_insert_with(|| Known { view: view.clone(), has: 0..0 });
        known.view = view.clone();
        if !view.spec.pod_cidr.is_empty() {
            let has = self.touched(&view.spec.pod_cidr);
            self.set(&name, has);
            self.waiting.remove(&name);
        } else if replaced || known.has.is_empty() {
            self.set(&name, 0..0);
            // A node that waits is woken when a share becomes free.
            if !self.waiting.contains(&name) || replaced {
                wake.mark(name);
            }
        }
    }
    fn wake_one(&mut self, wake: &Queue<Arc<str>>) {
        if self.taken.len() < self.count()
            && let Some(name) = self.waiting.iter().next().cloned()
        {
            self.waiting.remove(&name);
            wake.mark(name);
        }
    }
    fn set(&mut self, node: &str, has: Range<usize>) {
        let Some(known) = self.nodes.get_mut(node) else { return };
        let had = std::mem::replace(&mut known.has, has.clone());
        for number in had {
            if let Some(count) = self.taken.get_mut(&number) {
                *count -= 1;
                if *count == 0 {
                    self.taken.remove(&number);
                }
            }
        }
        for number in has {
            *self.taken.entry(number).or_default() += 1;
        }
    }
    /// Numbers of the shares that a network touches; none when it lies outside or is of the other family.
    fn touched(&self, cidr: &str) -> Range<usize> {
        let Ok(cidr) = cidr.parse::<Ipv4Net>() else { return 0..0 };
        let whole = self.network.network;
        let (begin, end) = (u32::from(whole.network()), u32::from(whole.broadcast()));
        let (first, last) = (u32::from(cidr.network()).max(begin), u32::from(cidr.broadcast()).min(end));
        if first > last {
            return 0..0;
        }
        let size = 32 - u32::from(self.network.node_bits.max(whole.prefix_len()));
        let number = |address: u32| usize::try_from(u64::from(address - begin) >> size).unwrap_or(usize::MAX);
        number(first)..number(last) + 1
    }
}
