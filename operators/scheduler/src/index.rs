//! The snapshot: nodes with what runs on them, pods that wait, and what has been decided but not yet seen.
//!
//! Invariants: a pod is placed, waiting, or none of the scheduler's business; a placed pod counts on its node exactly
//! once. A decided pod is placed at once (`assume`) and stays so until the watch shows it bound, shows it gone, or the
//! binding fails. A waiting pod for which room is made keeps that room from pods that are less important: it is nominated
//! from the decision on, until it is placed, gone, or nominated elsewhere. Changes that cannot make a waiting pod fit
//! (heartbeats, statuses) wake no one.
//! Upstream: pkg/scheduler/backend/cache/cache.go, backend/queue/nominator.go, pkg/scheduler/eventhandlers.go.

pub mod budgets;
pub mod candidate;
pub mod images;
pub mod namespaces;
pub mod nodes;
pub mod pod_rules;
pub mod ports;
pub mod resources;
pub mod rules;
pub mod storage;
mod waiting;
pub mod workloads;

use crate::{
    Lane,
    plan::{filter::volume_binding, preempt::Choice, trial},
};
use budgets::Budgets;
pub use candidate::Candidate;
use nodes::{Nodes, Rank, Slot};
use proa_kit::{
    Change, Key, Timestamp, View,
    views::{
        NamespaceView, NodeView, PersistentVolumeClaimView, PersistentVolumeView, PodDisruptionBudgetView,
        PodView, ReplicaSetView, ReplicationControllerView, ServiceView, StatefulSetView, StorageClassView,
    },
};
use rules::Rules;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use storage::{Restocked, Storage};
use workloads::Workloads;

/// Scheduler whose pods are ours.
const OWN: &str = "default-scheduler";

#[derive(Clone, Copy, Debug)]
struct Placed {
    slot: Slot,
    priority: i32,
    /// Not seen yet.
    assumed: bool,
}

/// What a lane writes.
#[derive(Clone, Debug)]
enum Decided {
    Binding(Key),
    /// Its volumes.
    Volumes(Key),
    /// The pods that go for it, each with its node.
    Preemption(Key, Vec<(Slot, Rank)>),
}

/// The snapshot.
#[derive(Debug)]
pub struct Cluster {
    pub(crate) nodes: Nodes,
    pub(crate) rules: Rules,
    pub(crate) budgets: Budgets,
    pub(crate) storage: Storage,
    workloads: Workloads,
    /// Nodes or namespaces came, went or have other labels: what rules count by labels is out of date.
    is_relabelled: bool,
    /// Pods came or went: rules about other pods may let more through.
    moved: bool,
    /// Claims, volumes or classes changed: pods that those keep away may be let through.
    restocked: Restocked,
    /// Pods whose volumes were not bound, and why.
    failures: Vec<(Arc<Candidate>, String)>,
    placed: HashMap<Key, Placed>,
    waiting: waiting::Queue,
    /// Nodes where room is made for waiting pods.
    nominations: HashMap<Key, Slot>,
    /// Nodes that changed so that pods may fit which fitted nowhere.
    eased: HashSet<Slot>,
    decided: Vec<Option<Decided>>,
    next_lane: Lane,
    now: Timestamp,
}

impl Cluster {
    /// Nothing known yet.
    pub fn new(lanes: Lane) -> Self {
        Self {
            nodes: Nodes::default(),
            rules: Rules::default(),
            budgets: Budgets::default(),
            storage: Storage::default(),
            workloads: Workloads::default(),
            is_relabelled: false,
            moved: false,
            restocked: Restocked::default(),
            failures: Vec::new(),
            placed: HashMap::new(),
            waiting: waiting::Queue::default(),
            nominations: HashMap::new(),
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
        let labels = |node: &Option<Arc<NodeView>>| node.as_ref().map(|node| node.metadata.labels.clone());
        if labels(&change.old) != labels(&change.new) {
            let slot = change.latest().and_then(|node| self.nodes.find(&node.metadata.name));
            // Nothing is counted on a node without pods.
            let has_pods =
                slot.and_then(|slot| self.nodes.get(slot)).is_some_and(|node| !node.residents.is_empty());
            self.is_relabelled |= has_pods;
        }
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
    }
    /// Takes in a change of a namespace.
    pub fn namespace(&mut self, change: &Change<NamespaceView>) {
        if self.rules.namespaces.set(change) {
            self.is_relabelled |= self.rules.know_namespaces();
            self.moved |= self.waiting.has_kept_by_rules();
        }
    }
    /// Takes in a change of a disruption budget.
    pub fn budget(&mut self, change: &Change<PodDisruptionBudgetView>) {
        self.budgets.change(change);
    }
    /// Takes in a change of a claim.
    pub fn claim(&mut self, change: &Change<PersistentVolumeClaimView>) {
        for (pod, why) in self.storage.claim(change) {
            self.not_bound(pod, Some(why));
        }
        if self.waiting.has_kept_by_volumes() {
            self.restocked.claim(change);
        }
    }
    /// Takes in a change of a volume.
    pub fn volume(&mut self, change: &Change<PersistentVolumeView>) {
        self.storage.volume(change);
        if self.waiting.has_kept_by_volumes() {
            self.restocked.volume(change);
        }
    }
    /// Takes in a change of a storage class.
    pub fn class(&mut self, change: &Change<StorageClassView>) {
        self.storage.class(change);
        if self.waiting.has_kept_by_volumes() {
            self.restocked.class(change);
        }
    }
    /// Takes in a change of a service.
    pub fn service(&mut self, change: &Change<ServiceView>) {
        self.workloads.service(change);
    }
    /// Takes in a change of a replica set.
    pub fn replica_set(&mut self, change: &Change<ReplicaSetView>) {
        self.workloads.replica_set(change);
    }
    /// Takes in a change of a stateful set.
    pub fn stateful_set(&mut self, change: &Change<StatefulSetView>) {
        self.workloads.stateful_set(change);
    }
    /// Takes in a change of a replication controller.
    pub fn replication_controller(&mut self, change: &Change<ReplicationControllerView>) {
        self.workloads.replication_controller(change);
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
        self.withdraw(key);
        self.displace(key);
    }
    fn bound(&mut self, key: Key, pod: &Arc<PodView>) {
        self.waiting.remove(&key);
        self.withdraw(&key);
        if let Some(placed) = self.placed.get_mut(&key) {
            let rank = (placed.priority, key.clone());
            let known = self.nodes.resident(placed.slot, &rank);
            let is_known = known
                .is_some_and(|known| placed.assumed && is_kin(&known.view, pod) || is_same(&known.view, pod));
            if is_known && self.nodes.get(placed.slot).is_some_and(|node| node.name == pod.spec.node_name) {
                placed.assumed = false;
                self.nodes.renew(placed.slot, &rank, pod);
                self.storage.forget(&key);
                return;
            }
        }
        self.displace(&key);
        self.place(key, &Arc::new(Candidate::new(pod.clone())), &pod.spec.node_name, false);
    }
    fn unbound(&mut self, key: Key, pod: &Arc<PodView>) {
        let placed = self.resident(&key).map(|known| known.view.metadata.uid == pod.metadata.uid);
        if let Some(is_it) = placed {
            // The binding is on its way, and this is a change from before it.
            if is_it && self.is_assumed(&key) {
                return;
            }
            self.gone(&key);
        }
        let known = self.waiting.get(&key).map(|known| known.view.clone());
        if known.as_ref().is_some_and(|known| known.metadata.uid != pod.metadata.uid) {
            self.gone(&key);
        }
        let known = self.waiting.get(&key).cloned();
        let same = known.as_ref().filter(|known| is_same(&known.view, pod));
        let renewed =
            Arc::new(same.map_or_else(|| Candidate::new(pod.clone()), |same| same.renewed(pod.clone())));
        let lost_its_place = self.follow_nomination(&key, known.as_deref(), &renewed);
        if same.is_some() && !lost_its_place {
            self.waiting.refresh(&key, renewed);
        } else {
            self.waiting.ready(key, renewed);
        }
    }
    fn place(&mut self, key: Key, pod: &Arc<Candidate>, node: &str, assumed: bool) {
        let priority = pod.priority();
        let slot = self.nodes.place(node, key.clone(), pod.clone());
        self.rules.count(pod, slot, &self.nodes, true);
        self.storage.count(pod, true);
        self.moved |= self.waiting.has_kept_by_rules();
        self.placed.insert(key, Placed { slot, priority, assumed });
    }
    /// A pod leaves its node, where others may fit now.
    fn displace(&mut self, key: &Key) {
        let Some(pod) = self.resident(key).cloned() else { return };
        let Some(Placed { slot, priority, .. }) = self.placed.remove(key) else { return };
        self.rules.count(&pod, slot, &self.nodes, false);
        self.storage.count(&pod, false);
        self.storage.forget(key);
        if self.waiting.has_kept_by_volumes() {
            self.restocked.left(&pod, &self.storage);
        }
        self.nodes.displace(slot, &(priority, key.clone()));
        self.moved |= self.waiting.has_kept_by_rules();
        self.eased.insert(slot);
    }
    fn resident(&self, key: &Key) -> Option<&Arc<Candidate>> {
        let placed = self.placed.get(key)?;
        self.nodes.resident(placed.slot, &(placed.priority, key.clone()))
    }
    fn is_assumed(&self, key: &Key) -> bool {
        self.placed.get(key).is_some_and(|placed| placed.assumed)
    }
    /// Where room is made for a waiting pod.
    pub(crate) fn nomination(&self, key: &Key) -> Option<Slot> {
        self.nominations.get(key).copied()
    }
    fn nominate(&mut self, key: &Key, pod: Arc<Candidate>, node: &str) {
        let before = self.nominations.get(key).copied();
        let slot = self.nodes.nominate(node, key.clone(), pod);
        if before.is_some_and(|before| before != slot) {
            self.withdraw(key);
        }
        self.nominations.insert(key.clone(), slot);
    }
    /// No room is made for the pod any more: others may take it. Whether it was.
    pub(crate) fn withdraw(&mut self, key: &Key) -> bool {
        let Some(slot) = self.nominations.remove(key) else { return false };
        self.nodes.withdraw(slot, key);
        self.eased.insert(slot);
        true
    }
    /// Takes over what the pod's status says about its nomination, if that changed: it may still say what was before the
    /// last decision. Whether the pod lost its place.
    fn follow_nomination(&mut self, key: &Key, known: Option<&Candidate>, pod: &Arc<Candidate>) -> bool {
        let said = known.map_or("", |known| &known.view.status.nominated_node_name);
        let says = &*pod.view.status.nominated_node_name;
        match self.nomination(key).and_then(|slot| self.nodes.get(slot)).map(|node| node.name.clone()) {
            Some(node) if said == says => self.nominate(key, pod.clone(), &node),
            _ if said == says => {}
            _ if says.is_empty() => return self.withdraw(key),
            _ => self.nominate(key, pod.clone(), says),
        }
        false
    }
    /// The next pod to decide about.
    pub(crate) fn next(&mut self, now: Timestamp) -> Option<(Key, Arc<Candidate>)> {
        self.now = now;
        for pod in self.storage.expired(now) {
            self.not_bound(pod, Some("timed out waiting for the condition".to_owned()));
        }
        if std::mem::take(&mut self.is_relabelled) {
            self.rules.recount(&self.nodes, self.nodes.residents());
        }
        self.retry_eased();
        let (key, pod) = self.waiting.pop(now)?;
        let mut tried = Arc::unwrap_or_clone(pod);
        (tried.attempts, tried.tried) = (tried.attempts + 1, Some(now));
        if tried.view.spec.topology_spread_constraints.is_empty() {
            tried.rules.drop_default();
            if let Some(selector) = self.workloads.selector(&tried.view) {
                tried.rules.add_default(&tried.view, &selector);
            }
        }
        if !tried.rules.is_empty() {
            self.rules.prepare(&tried, &self.nodes, self.nodes.residents());
        }
        Some((key, Arc::new(tried)))
    }
    /// One pass over the pods that fit nowhere, for all that changed meanwhile. A pod that waits for others to go from a
    /// node is tried whenever something changed there, since somebody else may have taken its place.
    fn retry_eased(&mut self) {
        if !self.has_eased() {
            return;
        }
        let (eased, moved) = (std::mem::take(&mut self.eased), std::mem::take(&mut self.moved));
        let restocked = std::mem::take(&mut self.restocked);
        let nodes: Vec<_> = eased.iter().filter_map(|slot| self.nodes.get(*slot)).collect();
        let (nominations, storage) = (&self.nominations, &self.storage);
        self.waiting.retry(self.now, |key, pod| {
            let nominated = nominations.get(key);
            let preempts = nominated.is_none() && pod.may_preempt();
            pod.is_kept_by_rules && (moved || !nodes.is_empty())
                || pod.is_kept_by_volumes && storage.concerns(pod, &restocked)
                || nominated.is_some_and(|slot| eased.contains(slot))
                || nodes.iter().any(|node| trial::may_fit(pod, node, preempts))
        });
    }
    /// A lane binds a pod to a node.
    pub(crate) fn assume(&mut self, lane: Lane, key: Key, pod: Arc<Candidate>, slot: Slot) {
        let Some(name) = self.nodes.get(slot).map(|node| node.name.clone()) else { return };
        self.place_assumed(&key, pod, &name);
        self.decide(lane, Decided::Binding(key));
    }
    /// A pod counts on a node until its volumes are bound, and is bound then.
    pub(crate) fn assume_until_bound(
        &mut self,
        lane: Lane,
        key: Key,
        pod: Arc<Candidate>,
        slot: Slot,
        choices: &[volume_binding::Choice],
    ) {
        let Some(name) = self.nodes.get(slot).map(|node| node.name.clone()) else { return };
        self.place_assumed(&key, pod, &name);
        self.storage.wait(&key, &name, choices, self.now);
        self.decide(lane, Decided::Volumes(key));
    }
    fn place_assumed(&mut self, key: &Key, mut pod: Arc<Candidate>, node: &str) {
        self.withdraw(key);
        Arc::make_mut(&mut pod).rules.drop_default();
        self.place(key.clone(), &pod, node, true);
    }
    /// The next pod whose volumes are bound, and its node.
    pub(crate) fn next_bindable(&mut self, lane: Lane) -> Option<(Arc<Candidate>, Box<str>)> {
        while let Some(key) = self.storage.next_ready() {
            let placed = self.placed.get(&key).filter(|placed| placed.assumed);
            let node = placed.and_then(|placed| self.nodes.get(placed.slot)).map(|node| node.name.clone());
            if let Some((pod, node)) = self.resident(&key).cloned().zip(node) {
                self.decide(lane, Decided::Binding(key));
                return Some((pod, node));
            }
        }
        None
    }
    /// Pods whose volumes were not bound, and why, since the last time that this was asked.
    pub(crate) fn take_failures(&mut self) -> Vec<(Arc<Candidate>, String)> {
        std::mem::take(&mut self.failures)
    }
    /// A pod fits nowhere.
    pub(crate) fn fits_nowhere(&mut self, key: Key, pod: Arc<Candidate>) {
        self.waiting.nowhere(key, pod);
    }
    /// A lane makes others go from a node so that a pod will fit there. The pods for which room was made there before and
    /// that are less important: they look for another place.
    pub(crate) fn preempt(
        &mut self,
        lane: Lane,
        key: Key,
        pod: Arc<Candidate>,
        choice: &Choice,
    ) -> Vec<Arc<Candidate>> {
        let Choice { slot, node, victims } = choice;
        let nominated = self.nodes.get(*slot).into_iter().flat_map(|node| node.nominated.values());
        let is_lower = |other: &Arc<Candidate>| other.priority() < pod.priority();
        let lower: Vec<_> = nominated.filter(|other| is_lower(other)).cloned().collect();
        for other in lower.iter().map(|other| other.view.key()) {
            self.withdraw(&other);
            self.waiting.wake(&other, self.now);
        }
        let going: Vec<(Slot, Rank)> = victims
            .iter()
            .filter(|own| !own.is_going())
            .map(|own| (*slot, (own.priority(), own.view.key())))
            .collect();
        going.iter().for_each(|(slot, rank)| self.nodes.preempted(*slot, rank, true));
        self.nominate(&key, pod.clone(), node);
        self.waiting.hold(key.clone(), pod);
        self.decide(lane, Decided::Preemption(key, going));
        lower
    }
    fn decide(&mut self, lane: Lane, what: Decided) {
        if let Some(decided) = self.decided.get_mut(usize::from(lane)) {
            *decided = Some(what);
        }
    }
    /// What a lane wrote came through, or failed: then the pod waits again.
    pub fn settled(&mut self, lane: Lane, succeeded: bool) {
        let decided = self.decided.get_mut(usize::from(lane)).and_then(Option::take);
        match decided {
            Some(Decided::Binding(key)) if !succeeded => self.not_bound(key, None),
            Some(Decided::Volumes(key)) if !succeeded && self.storage.is_awaiting(&key) => {
                self.not_bound(key, None);
            }
            Some(Decided::Preemption(key, _)) if succeeded => self.waiting.release(&key, self.now),
            Some(Decided::Preemption(key, going)) => {
                going.iter().for_each(|(slot, rank)| self.nodes.preempted(*slot, rank, false));
                if let Some(pod) = self.waiting.get(&key).cloned().filter(|_| self.waiting.is_held(&key)) {
                    self.waiting.failed(key, pod, self.now);
                }
            }
            Some(Decided::Binding(_) | Decided::Volumes(_)) | None => {}
        }
    }
    /// The pod waits again. Why, if that is not said elsewhere.
    fn not_bound(&mut self, key: Key, why: Option<String>) {
        if let Some(pod) = self.resident(&key).filter(|_| self.is_assumed(&key)).cloned() {
            self.displace(&key);
            self.failures.extend(why.map(|why| (pod.clone(), why)));
            self.waiting.failed(key, pod, self.now);
        }
    }
    /// Whether there is something to decide, now.
    pub fn has_work(&self) -> bool {
        let is_bound = self.storage.has_ready() || !self.failures.is_empty();
        is_bound || self.waiting.has_ready() || self.has_eased() && !self.waiting.is_empty()
    }
    fn has_eased(&self) -> bool {
        self.moved || !self.restocked.is_empty() || !self.eased.is_empty()
    }
    /// When a pod that must wait after a failure is ready again.
    pub(crate) fn next_retry(&self) -> Option<Timestamp> {
        self.waiting.next_strict().into_iter().chain(self.storage.next_expiry()).min()
    }
    /// The lane that shall work, if there is work.
    pub(crate) fn lane_to_wake(&mut self) -> Option<Lane> {
        if self.waiting.is_empty() {
            self.eased.clear();
            self.moved = false;
            self.restocked = Restocked::default();
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
