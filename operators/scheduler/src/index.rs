//! The snapshot: nodes with what runs on them, pods that wait, and what has been decided but not yet seen.
//!
//! Invariants: a pod is placed, waiting, or none of the scheduler's business; a placed pod counts on its node exactly
//! once. A decided pod is placed at once (`assume`) and stays so until the watch shows it bound, shows it gone, or the
//! binding fails. Changes that cannot make a waiting pod fit (heartbeats, statuses) wake no one.
//! Upstream: pkg/scheduler/backend/cache/cache.go, pkg/scheduler/eventhandlers.go.

pub mod nodes;
pub mod ports;
pub mod resources;
pub mod rules;
mod waiting;

use crate::{Lane, plan::filter};
use nodes::{Nodes, Slot};
use ports::{HostPort, host_ports};
use proa_kit::{
    Change, Key, Timestamp, View,
    views::{NodeView, PodView},
};
use resources::Requests;
use rules::{PodRules, Rules};
use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher},
    sync::Arc,
};

/// Scheduler whose pods are ours.
const OWN: &str = "default-scheduler";

/// A pod with what decisions need, worked out once.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The pod.
    pub view: Arc<PodView>,
    /// What it needs.
    pub requests: Requests,
    /// Host ports it takes.
    pub ports: Vec<HostPort>,
    /// Its controller's uid, hashed.
    pub controller: Option<u64>,
    /// Rules about other pods.
    pub rules: PodRules,
    /// Whether such rules, its own or others', kept it away when it was tried last.
    pub is_kept_by_rules: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried last.
    pub tried: Option<Timestamp>,
}

impl Candidate {
    /// Not tried yet.
    pub fn new(view: Arc<PodView>) -> Self {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        Self {
            requests: Requests::of(&view.spec),
            ports: host_ports(&view.spec),
            controller: view.metadata.controller().map(|owner| hasher.hash_one(&owner.uid)),
            rules: PodRules::of(&view),
            is_kept_by_rules: false,
            attempts: 0,
            tried: None,
            view,
        }
    }
    /// The same with a newer view of the same spec.
    fn renewed(&self, view: Arc<PodView>) -> Self {
        Self { view, ..self.clone() }
    }
}

#[derive(Debug)]
struct Placed {
    pod: Arc<Candidate>,
    slot: Slot,
    /// Not seen yet.
    assumed: bool,
}

/// The snapshot.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) nodes: Nodes,
    pub(crate) rules: Rules,
    /// Nodes came, went or have other labels: what rules count by labels is out of date.
    is_relabelled: bool,
    /// Pods came or went: rules about other pods may let more through.
    moved: bool,
    placed: HashMap<Key, Placed>,
    waiting: waiting::Queue,
    /// Nodes that changed so that pods may fit which fitted nowhere.
    eased: HashSet<Slot>,
    /// What each lane writes.
    decided: Vec<Option<Key>>,
    next_lane: Lane,
    now: Timestamp,
}

impl Cluster {
    /// Nothing known yet.
    pub fn new(lanes: Lane) -> Self {
        Self {
            nodes: Nodes::default(),
            rules: Rules::default(),
            is_relabelled: false,
            moved: false,
            placed: HashMap::new(),
            waiting: waiting::Queue::default(),
            eased: HashSet::new(),
            decided: vec![None; usize::from(lanes.max(1))],
            next_lane: 0,
            now: Timestamp::UNIX_EPOCH,
        }
    }
    /// The nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }
    /// Number of pods that wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
    /// Takes in a change of a node.
    pub fn node(&mut self, change: &Change<NodeView>) {
        match (&change.old, &change.new) {
            (_, Some(new)) => {
                let slot = self.nodes.set(new);
                if change.old.as_ref().is_none_or(|old| may_ease(old, new)) {
                    self.eased.insert(slot);
                }
            }
            (Some(old), None) => self.nodes.remove(&old.metadata.name),
            (None, None) => {}
        }
        let labels = |node: &Option<Arc<NodeView>>| node.as_ref().map(|node| node.metadata.labels.clone());
        self.is_relabelled |= labels(&change.old) != labels(&change.new);
    }
    /// Takes in a change of a pod.
    pub fn pod(&mut self, change: &Change<PodView>) {
        let Some(latest) = change.latest() else { return };
        let key = latest.key();
        match &change.new {
            Some(pod) if !pod.is_terminal() && !pod.spec.node_name.is_empty() => self.bound(key, pod),
            Some(pod) if is_ours(pod) => self.unbound(key, pod),
            _ => self.gone(&key),
        }
    }
    fn gone(&mut self, key: &Key) {
        self.waiting.remove(key);
        if let Some(slot) = self.displace(key) {
            self.eased.insert(slot);
        }
    }
    fn bound(&mut self, key: Key, pod: &Arc<PodView>) {
        self.waiting.remove(&key);
        if let Some(placed) = self.placed.get_mut(&key)
            && (placed.assumed && is_kin(&placed.pod.view, pod) || is_same(&placed.pod.view, pod))
            && self.nodes.get(placed.slot).is_some_and(|node| node.name == pod.spec.node_name)
        {
            placed.assumed = false;
            return;
        }
        if let Some(slot) = self.displace(&key) {
            self.eased.insert(slot);
        }
        self.place(key, Arc::new(Candidate::new(pod.clone())), &pod.spec.node_name, false);
    }
    fn unbound(&mut self, key: Key, pod: &Arc<PodView>) {
        if let Some(placed) = self.placed.get(&key) {
            // The binding is on its way, and this is a change from before it.
            if placed.assumed && placed.pod.view.metadata.uid == pod.metadata.uid {
                return;
            }
            self.gone(&key);
        }
        match self.waiting.get(&key) {
            Some(known) if is_same(&known.view, pod) => {
                let renewed = Arc::new(known.renewed(pod.clone()));
                self.waiting.refresh(&key, renewed);
            }
            _ => self.waiting.ready(key, Arc::new(Candidate::new(pod.clone()))),
        }
    }
    fn place(&mut self, key: Key, pod: Arc<Candidate>, node: &str, assumed: bool) {
        let slot = self.nodes.place(node, &pod);
        self.rules.count(&pod, slot, &self.nodes, true);
        self.moved |= self.waiting.has_kept_by_rules();
        self.placed.insert(key, Placed { pod, slot, assumed });
    }
    fn displace(&mut self, key: &Key) -> Option<Slot> {
        let placed = self.placed.remove(key)?;
        self.rules.count(&placed.pod, placed.slot, &self.nodes, false);
        self.nodes.displace(placed.slot, &placed.pod);
        self.moved |= self.waiting.has_kept_by_rules();
        Some(placed.slot)
    }
    /// The next pod to decide about.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<(Key, Arc<Candidate>)> {
        self.now = now;
        if std::mem::take(&mut self.is_relabelled) {
            let placed = self.placed.values().map(|placed| (&*placed.pod, placed.slot));
            self.rules.recount(&self.nodes, placed);
        }
        self.retry_eased();
        let (key, pod) = self.waiting.pop(now)?;
        if !pod.rules.is_empty() {
            let placed = self.placed.values().map(|placed| (&*placed.pod, placed.slot));
            self.rules.prepare(&pod, &self.nodes, &placed);
        }
        let tried = Candidate { attempts: pod.attempts + 1, tried: Some(now), ..Candidate::clone(&pod) };
        Some((key, Arc::new(tried)))
    }
    /// One pass over the pods that fit nowhere, for all that changed meanwhile.
    fn retry_eased(&mut self) {
        if !self.has_eased() {
            return;
        }
        let (eased, moved) = (std::mem::take(&mut self.eased), std::mem::take(&mut self.moved));
        let nodes: Vec<_> = eased.iter().filter_map(|slot| self.nodes.get(*slot)).collect();
        self.waiting.retry(self.now, |pod| {
            pod.is_kept_by_rules && (moved || !nodes.is_empty())
                || nodes.iter().any(|node| filter::node(pod, node).is_ok())
        });
    }
    /// A lane binds a pod to a node.
    pub(crate) fn assume(&mut self, lane: Lane, key: Key, pod: Arc<Candidate>, slot: Slot) {
        let Some(name) = self.nodes.get(slot).map(|node| node.name.clone()) else { return };
        self.place(key.clone(), pod, &name, true);
        if let Some(decided) = self.decided.get_mut(usize::from(lane)) {
            *decided = Some(key);
        }
    }
    /// A pod fits nowhere.
    pub(crate) fn fits_nowhere(&mut self, key: Key, pod: Arc<Candidate>) {
        self.waiting.nowhere(key, pod);
    }
    /// What a lane wrote came through, or failed: then the pod waits again.
    pub fn settled(&mut self, lane: Lane, succeeded: bool) {
        let key = self.decided.get_mut(usize::from(lane)).and_then(Option::take);
        let Some(key) = key.filter(|_| !succeeded) else { return };
        let Some(pod) =
            self.placed.get(&key).filter(|placed| placed.assumed).map(|placed| placed.pod.clone())
        else {
            return;
        };
        if let Some(slot) = self.displace(&key) {
            self.eased.insert(slot);
        }
        self.waiting.failed(key, pod, self.now);
    }
    /// Whether there is something to decide, now.
    pub fn has_work(&self) -> bool {
        self.waiting.has_ready() || self.has_eased() && !self.waiting.is_empty()
    }
    fn has_eased(&self) -> bool {
        self.moved || !self.eased.is_empty()
    }
    /// When a pod that must wait after a failure is ready again.
    pub(crate) fn next_retry(&self) -> Option<Timestamp> {
        self.waiting.next_strict()
    }
    /// The lane that shall work, if there is work.
    pub(crate) fn lane_to_wake(&mut self) -> Option<Lane> {
        if self.waiting.is_empty() {
            self.eased.clear();
            self.moved = false;
        }
        if !self.has_work() {
            return None;
        }
        let lanes = Lane::try_from(self.decided.len()).unwrap_or(Lane::MAX);
        self.next_lane = (self.next_lane + 1) % lanes;
        Some(self.next_lane)
    }
}

/// Whether two versions of a pod are placed alike: what else changes is its status.
fn is_same(old: &PodView, new: &PodView) -> bool {
    is_kin(old, new) && old.metadata.generation == new.metadata.generation
}

/// Whether they are the same pod with the same labels.
fn is_kin(old: &PodView, new: &PodView) -> bool {
    old.metadata.uid == new.metadata.uid && old.metadata.labels == new.metadata.labels
}

fn is_ours(pod: &PodView) -> bool {
    pod.is_active() && &*pod.spec.scheduler_name == OWN && pod.spec.scheduling_gates.is_empty()
}

/// Whether a node changed in what pods ask for.
fn may_ease(old: &NodeView, new: &NodeView) -> bool {
    old.metadata.labels != new.metadata.labels
        || old.spec.taints != new.spec.taints
        || old.spec.unschedulable != new.spec.unschedulable
        || old.status.allocatable != new.status.allocatable
}
