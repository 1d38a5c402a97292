//! Rules about other pods: where the pods are that a rule selects, and where pods are that keep others away.
//!
//! Invariants: a group counts, per node and per value of its label, the placed pods that its selector matches; it is made by one pass over all pods
//! when a rule first needs it, and kept up to date from then on, so that no pod is ever compared with all others. Many
//! pods of one template share a group. Bans are the required anti-affinity of placed pods.
//! Deliberately absent: selectors of namespaces other than the empty one; preferences.
//! Upstream: pkg/scheduler/framework/plugins/{interpodaffinity,podtopologyspread}.

use super::{
    Candidate,
    nodes::{Nodes, Slot},
};
use proa_kit::{
    Pairs,
    selector::LabelSelector,
    views::{
        PodView,
        pod_spec::{PodAffinity, PodAffinityTerm, Requirement, TopologySpreadConstraint},
    },
};
use std::{collections::HashMap, hash::Hash, sync::Arc};

/// Groups remembered; beyond, all are forgotten and made again as needed.
const REMEMBERED: usize = 2048;

/// Which pods a rule is about, and which label makes a domain.
#[derive(Clone, Debug)]
pub struct Term {
    /// Equal for equal selections.
    pub key: Arc<str>,
    /// Label of nodes.
    pub topology: Box<str>,
    /// Namespaces; all when absent.
    namespaces: Option<Box<[Box<str>]>>,
    selector: Option<LabelSelector>,
}

impl Term {
    fn new(namespaces: Option<Box<[Box<str>]>>, selector: Option<LabelSelector>, topology: &str) -> Self {
        let key = serde_json::to_string(&(&namespaces, &selector)).unwrap_or_default().into();
        Self { key, topology: topology.into(), namespaces, selector }
    }
    fn place(&self) -> Place {
        (self.key.clone(), self.topology.clone())
    }
    /// Whether it is the same rule.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.topology == other.topology
    }
    /// Whether it is about the pod.
    pub fn matches(&self, pod: &PodView) -> bool {
        self.namespaces.as_deref().is_none_or(|list| list.contains(&pod.metadata.namespace))
            && self.selector.as_ref().is_some_and(|selector| selector.matches(&pod.metadata.labels))
    }
}

/// A spread that must hold.
#[derive(Clone, Debug)]
pub struct Spread {
    /// Which pods are counted, and by what.
    pub term: Term,
    /// Largest allowed difference.
    pub max_skew: i64,
    /// Fewest domains.
    pub min_domains: usize,
    /// Whether nodes that the pod's own labels rule out are left out.
    pub honours_affinity: bool,
    /// Whether nodes that it does not tolerate are.
    pub honours_taints: bool,
}

/// The rules of one pod that must hold.
#[derive(Clone, Debug, Default)]
pub struct PodRules {
    /// Near these.
    pub affinity: Vec<Term>,
    /// Away from these.
    pub anti_affinity: Vec<Term>,
    /// Spread.
    pub spreads: Vec<Spread>,
    /// A rule that cannot be kept.
    pub refusal: Option<&'static str>,
}

impl PodRules {
    /// The rules of a pod.
    pub fn of(pod: &PodView) -> Self {
        let mut rules = Self::default();
        if let Some(affinity) = &pod.spec.affinity {
            rules.affinity = rules.terms(pod, affinity.pod_affinity.as_ref());
            rules.anti_affinity = rules.terms(pod, affinity.pod_anti_affinity.as_ref());
        }
        let strict =
            |constraint: &&TopologySpreadConstraint| &*constraint.when_unsatisfiable == "DoNotSchedule";
        rules.spreads =
            pod.spec.topology_spread_constraints.iter().filter(strict).map(|own| spread(pod, own)).collect();
        rules
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.affinity.is_empty() && self.anti_affinity.is_empty() && self.spreads.is_empty()
    }
    fn terms(&mut self, pod: &PodView, affinity: Option<&PodAffinity>) -> Vec<Term> {
        let required =
            affinity.map_or(&[][..], |own| &own.required_during_scheduling_ignored_during_execution);
        if required.iter().any(|term| term.namespace_selector.as_ref().is_some_and(|own| !own.is_empty())) {
            self.refusal =
                Some("pod affinity by labels of namespaces is not supported by this scheduler yet");
        }
        required.iter().map(|own| term(pod, own)).collect()
    }
    fn all(&self) -> impl Iterator<Item = &Term> {
        let spreads = self.spreads.iter().map(|spread| &spread.term);
        self.affinity.iter().chain(&self.anti_affinity).chain(spreads)
    }
}

fn term(pod: &PodView, own: &PodAffinityTerm) -> Term {
    let namespaces = match (&own.namespace_selector, &*own.namespaces) {
        (Some(_), _) => None,
        (None, []) => Some([pod.metadata.namespace.clone()].into()),
        (None, _) => Some(own.namespaces.clone()),
    };
    let mut selector = own.label_selector.clone();
    add_keys(&mut selector, &own.match_label_keys, "In", &pod.metadata.labels);
    add_keys(&mut selector, &own.mismatch_label_keys, "NotIn", &pod.metadata.labels);
    Term::new(namespaces, selector, &own.topology_key)
}

fn spread(pod: &PodView, own: &TopologySpreadConstraint) -> Spread {
    let mut selector = own.label_selector.clone();
    add_keys(&mut selector, &own.match_label_keys, "In", &pod.metadata.labels);
    let honours =
        |policy: &Option<Box<str>>, default| policy.as_ref().map_or(default, |own| &**own == "Honor");
    Spread {
        term: Term::new(Some([pod.metadata.namespace.clone()].into()), selector, &own.topology_key),
        max_skew: i64::from(own.max_skew),
        min_domains: own.min_domains.and_then(|own| usize::try_from(own).ok()).unwrap_or(1),
        honours_affinity: honours(&own.node_affinity_policy, true),
        honours_taints: honours(&own.node_taints_policy, false),
    }
}

/// The pod's own values of these labels become requirements.
fn add_keys(selector: &mut Option<LabelSelector>, keys: &[Box<str>], operator: &str, labels: &Pairs) {
    let Some(selector) = selector.as_mut().filter(|_| !keys.is_empty()) else { return };
    let mut all = selector.match_expressions.to_vec();
    for key in keys {
        if let Some(value) = labels.get(key) {
            let values = [value.into()].into();
            all.push(Requirement { key: key.clone(), operator: operator.into(), values });
        }
    }
    selector.match_expressions = all.into();
}

/// Pods by node.
type Counts = HashMap<Slot, u32>;
/// Pods by the value of a node label.
pub type Values = HashMap<Box<str>, u32>;
/// A term's selection and its label.
type Place = (Arc<str>, Box<str>);

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
    groups: HashMap<Place, Counted>,
    bans: HashMap<Place, Counted>,
}

impl Rules {
    /// A pod comes to a node or leaves it; the node must still be known.
    pub(super) fn count(&mut self, pod: &Candidate, slot: Slot, nodes: &Nodes, comes: bool) {
        for group in self.groups.values_mut().filter(|group| group.term.matches(&pod.view)) {
            group.step(nodes, slot, comes);
        }
        for term in &pod.rules.anti_affinity {
            let ban = self.bans.entry(term.place()).or_insert_with(|| Counted::new(term));
            ban.step(nodes, slot, comes);
            if ban.by_slot.is_empty() {
                self.bans.remove(&term.place());
            }
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
            for (_, slot) in placed.clone().filter(|(pod, _)| term.matches(&pod.view)) {
                group.step(nodes, slot, true);
            }
            self.groups.insert(term.place(), group);
        }
    }
    /// Labels of nodes changed: everything is counted anew, groups when they are needed.
    pub(super) fn recount<'a>(&mut self, nodes: &Nodes, placed: impl Iterator<Item = (&'a Candidate, Slot)>) {
        self.groups.clear();
        if self.bans.is_empty() {
            return;
        }
        self.bans.clear();
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
        let about = self.bans.values().filter(|ban| ban.term.matches(pod));
        about.map(|ban| (&ban.term, &ban.by_value))
    }
}
