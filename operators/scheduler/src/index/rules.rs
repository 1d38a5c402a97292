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
use std::{collections::HashMap, hash::Hash};

/// Groups remembered; beyond, all are forgotten and made again as needed.
const REMEMBERED: usize = 2048;

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

/// What placed pods mean for others.
#[derive(Debug, Default)]
pub struct Rules {
    /// Labels of namespaces, which some rules are about.
    pub namespaces: Namespaces,
    groups: HashMap<Place, Counted>,
    bans: HashMap<Place, Counted>,
    /// By what they weigh.
    wishes: HashMap<(i64, Place), Counted>,
}

impl Rules {
    /// A pod comes to a node or leaves it; the node must still be known.
    pub(super) fn count(&mut self, pod: &Candidate, slot: Slot, nodes: &Nodes, comes: bool) {
        let namespaces = &self.namespaces;
        for group in self.groups.values_mut().filter(|group| group.term.matches(&pod.view, namespaces)) {
            group.step(nodes, slot, comes);
        }
        for term in &pod.rules.anti_affinity {
            count(&mut self.bans, &term.place(), term, nodes, slot, comes);
        }
        for (weight, term) in pod.rules.wishes() {
            count(&mut self.wishes, &(weight, term.place()), term, nodes, slot, comes);
        }
    }
    /// Makes the groups that a pod's rules need.
    pub(super) fn prepare<'a>(
        &mut self,
        pod: &Candidate,
        nodes: &Nodes,
        placed: &(impl Iterator<Item = (&'a Candidate, Slot)> + Clone),
    ) {
        for term in pod.rules.all() {
            if self.groups.contains_key(&term.place()) {
                continue;
            }
            if self.groups.len() >= REMEMBERED {
                self.groups.clear();
            }
            let mut group = Counted::new(term);
            for (_, slot) in placed.clone().filter(|(pod, _)| term.matches(&pod.view, &self.namespaces)) {
                group.step(nodes, slot, true);
            }
            self.groups.insert(term.place(), group);
        }
    }
    /// Whether labels of namespaces decide what any of them is about.
    pub(super) fn know_namespaces(&self) -> bool {
        let all = self.groups.values().chain(self.bans.values()).chain(self.wishes.values());
        all.into_iter().any(|counted| counted.term.knows_namespaces())
    }
    /// Labels of nodes or namespaces changed: everything is counted anew, groups when they are needed.
    pub(super) fn recount<'a>(&mut self, nodes: &Nodes, placed: impl Iterator<Item = (&'a Candidate, Slot)>) {
        self.groups.clear();
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
        self.groups.get(&term.place()).map(|group| &group.by_value)
    }
    /// Pods by node that a term is about.
    pub fn by_slot(&self, term: &Term) -> Option<&HashMap<Slot, u32>> {
        self.groups.get(&term.place()).map(|group| &group.by_slot)
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
