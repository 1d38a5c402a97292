//! Rules about other pods: where the pods are that a rule selects, and where pods are that keep others away or want them.
//!
//! Invariants: a group counts, per node and per value of its label, the placed pods that its selector matches; it is made
//! by one pass over all pods when a rule first needs it, and kept up to date from then on, so that no pod is ever compared
//! with all others. Many pods of one template share a group. Bans are the required anti-affinity of placed pods, wishes
//! their preferences and what they must be near.
//! Upstream: pkg/scheduler/framework/plugins/{interpodaffinity,podtopologyspread}.

use super::{
    Candidate,
    namespaces::Namespaces,
    nodes::{Nodes, Slot},
    pod_rules::{Place, Term},
};
use proa_kit::views::PodView;
use std::{
    collections::HashMap,
    hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash},
};

/// Groups remembered; beyond, all are forgotten and made again as needed.
const REMEMBERED: usize = 8192;

/// Pods by node.
type Counts = HashMap<Slot, u32>;
/// Pods by the value of a node label.
pub type Values = HashMap<Box<str>, u32>;
#[derive(Debug)]
struct Counted {
    term: Term,
    by_slot: Counts,
    by_value: Values,
}

impl Counted {
    fn new(term: &Term) -> Self {
        Self { term: term.clone(), by_slot: Counts::new(), by_value: Values::new() }
    }
    fn step(&mut self, nodes: &Nodes, slot: Slot, comes: bool) {
        step(&mut self.by_slot, slot, comes);
        if let Some(value) = nodes.get(slot).and_then(|node| node.label(&self.term.topology)) {
            step(&mut self.by_value, value.into(), comes);
        }
    }
}

fn step<K: Eq + Hash + Clone>(counts: &mut HashMap<K, u32>, key: K, comes: bool) {
    match (counts.get_mut(&key), comes) {
        (Some(count), true) => *count += 1,
        (Some(1), false) => drop(counts.remove(&key)),
        (Some(count), false) => *count -= 1,
        (None, true) => drop(counts.insert(key, 1)),
        (None, false) => {}
    }
}

/// The groups. A pod finds those that it may belong to by its labels.
#[derive(Debug, Default)]
struct Groups {
    all: Vec<Counted>,
    by_place: HashMap<Place, usize>,
    /// By namespace and one pair of labels that every pod of the group has, hashed.
    by_pair: HashMap<u64, Vec<usize>>,
    /// Those without such a pair.
    others: Vec<usize>,
}

impl Groups {
    fn get(&self, term: &Term) -> Option<&Counted> {
        self.by_place.get(&term.place()).map(|at| &self.all[*at])
    }
    fn insert(&mut self, group: Counted) {
        let at = self.all.len();
        self.by_place.insert(group.term.place(), at);
        // The pair by which the fewest are found.
        let found = |namespaces: &[Box<str>], pair| -> usize {
            namespaces.iter().filter_map(|own| self.by_pair.get(&hash(own, pair))).map(Vec::len).sum()
        };
        match group.term.pairs().min_by_key(|(namespaces, pair)| found(namespaces, *pair)) {
            Some((namespaces, pair)) => {
                for namespace in namespaces {
                    let found = self.by_pair.entry(hash(namespace, pair)).or_default();
                    // A namespace may be named twice.
                    if found.last() != Some(&at) {
                        found.push(at);
                    }
                }
            }
            None => self.others.push(at),
        }
        self.all.push(group);
    }
    /// A pod comes to a node or leaves it.
    fn count(&mut self, pod: &Candidate, namespaces: &Namespaces, nodes: &Nodes, slot: Slot, comes: bool) {
        let Self { all, by_pair, others, .. } = self;
        let namespace = &pod.view.metadata.namespace;
        let pairs = pod.view.metadata.labels.iter().map(|pair| hash(namespace, pair));
        let found = pairs.filter_map(|pair| by_pair.get(&pair)).chain([&*others]).flatten();
        for at in found {
            let group = &mut all[*at];
            if group.term.matches(&pod.view, namespaces) {
                group.step(nodes, slot, comes);
            }
        }
    }
}

/// Equal for equal pairs; others are told apart when the pod is compared with the term.
fn hash(namespace: &str, pair: (&str, &str)) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((namespace, pair))
}

/// What placed pods mean for others.
#[derive(Debug, Default)]
pub struct Rules {
    /// Labels of namespaces, which some rules are about.
    pub namespaces: Namespaces,
    groups: Groups,
    bans: HashMap<Place, Counted>,
    /// By what they weigh.
    wishes: HashMap<(i64, Place), Counted>,
}

impl Rules {
    /// A pod comes to a node or leaves it; the node must still be known.
    pub(super) fn count(&mut self, pod: &Candidate, slot: Slot, nodes: &Nodes, comes: bool) {
        self.groups.count(pod, &self.namespaces, nodes, slot, comes);
        for term in &pod.rules.anti_affinity {
            count(&mut self.bans, &term.place(), term, nodes, slot, comes);
        }
        for (weight, term) in pod.rules.wishes() {
            count(&mut self.wishes, &(weight, term.place()), term, nodes, slot, comes);
        }
    }
    /// Makes the groups that a pod's rules need, in one pass over the placed pods.
    pub(super) fn prepare<'a>(
        &mut self,
        pod: &Candidate,
        nodes: &Nodes,
        placed: impl Iterator<Item = (&'a Candidate, Slot)>,
    ) {
        if pod.rules.all().all(|term| self.groups.get(term).is_some()) {
            return;
        }
        if self.groups.all.len() + pod.rules.all().count() > REMEMBERED {
            self.groups = Groups::default();
        }
        let mut missing: Vec<Counted> = Vec::new();
        for term in pod.rules.all().filter(|term| self.groups.get(term).is_none()) {
            if !missing.iter().any(|own| own.term.place() == term.place()) {
                missing.push(Counted::new(term));
            }
        }
        for (other, slot) in placed {
            for group in missing.iter_mut().filter(|own| own.term.matches(&other.view, &self.namespaces)) {
                group.step(nodes, slot, true);
            }
        }
        missing.into_iter().for_each(|group| self.groups.insert(group));
    }
    /// Whether labels of namespaces decide what any of them is about.
    pub(super) fn know_namespaces(&self) -> bool {
        let all = self.groups.all.iter().chain(self.bans.values()).chain(self.wishes.values());
        all.into_iter().any(|counted| counted.term.knows_namespaces())
    }
    /// Labels of nodes or namespaces changed: everything is counted anew, groups when they are needed.
    pub(super) fn recount<'a>(&mut self, nodes: &Nodes, placed: impl Iterator<Item = (&'a Candidate, Slot)>) {
        self.groups = Groups::default();
        if self.bans.is_empty() && self.wishes.is_empty() {
            return;
        }
        self.bans.clear();
        self.wishes.clear();
        placed
            .filter(|(pod, _)| !pod.rules.is_empty())
            .for_each(|(pod, slot)| self.count(pod, slot, nodes, true));
    }
    /// Where the pods are that a term is about, by its label.
    pub fn values(&self, term: &Term) -> Option<&Values> {
        self.groups.get(term).map(|group| &group.by_value)
    }
    /// Pods by node that a term is about.
    pub fn by_slot(&self, term: &Term) -> Option<&HashMap<Slot, u32>> {
        self.groups.get(term).map(|group| &group.by_slot)
    }
    /// Rules by which placed pods keep this one away, and where those pods are.
    pub fn bans<'a>(&'a self, pod: &PodView) -> impl Iterator<Item = (&'a Term, &'a Values)> {
        let about = self.bans.values().filter(|ban| ban.term.matches(pod, &self.namespaces));
        about.map(|ban| (&ban.term, &ban.by_value))
    }
    /// What placed pods would like this one to do, by weight, and where they are.
    pub fn wishes<'a>(&'a self, pod: &PodView) -> impl Iterator<Item = (i64, &'a Term, &'a Values)> {
        let about = self.wishes.iter().filter(|(_, wish)| wish.term.matches(pod, &self.namespaces));
        about.map(|((weight, _), wish)| (*weight, &wish.term, &wish.by_value))
    }
}

/// A pod with a rule comes to a node or leaves it. What no pod has any more is forgotten.
fn count<K: Eq + Hash + Clone>(
    all: &mut HashMap<K, Counted>,
    key: &K,
    term: &Term,
    nodes: &Nodes,
    slot: Slot,
    comes: bool,
) {
    let counted = all.entry(key.clone()).or_insert_with(|| Counted::new(term));
    counted.step(nodes, slot, comes);
    if counted.by_slot.is_empty() {
        all.remove(key);
    }
}
