//! The rules of one pod about other pods, as its spec says them.
//!
//! Upstream: pkg/scheduler/framework/types.go (AffinityTerm), plugins/podtopologyspread/common.go.

use super::namespaces::Namespaces;
use proa_kit::{
    Pairs,
    selector::LabelSelector,
    views::{
        PodView,
        pod_spec::{Affinity, PodAffinity, PodAffinityTerm, Requirement, TopologySpreadConstraint},
    },
};
use std::sync::Arc;

/// How pods are spread that do not say: by label, and how much that is watered down. Upstream: systemDefaultConstraints.
const DEFAULT_SPREADS: [(&str, i64); 2] = [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)];
/// What a pod's required affinity weighs for those that come later: they are wanted near. Upstream: HardPodAffinityWeight.
const REQUIRED_WEIGHT: i64 = 1;
const NONE: Affinity = Affinity { node_affinity: None, pod_affinity: None, pod_anti_affinity: None };

/// A term's selection and its label.
pub(super) type Place = (Arc<str>, Box<str>);

/// Which pods a rule is about, and which label makes a domain.
#[derive(Clone, Debug)]
pub struct Term {
    /// Equal for equal selections.
    pub key: Arc<str>,
    /// Label of nodes.
    pub topology: Box<str>,
    /// Of these namespaces.
    namespaces: Box<[Box<str>]>,
    /// And of those with such labels.
    namespace_selector: Option<LabelSelector>,
    selector: Option<LabelSelector>,
}

impl Term {
    fn new(
        namespaces: Box<[Box<str>]>,
        namespace_selector: Option<LabelSelector>,
        selector: Option<LabelSelector>,
        topology: &str,
    ) -> Self {
        let key = serde_json::to_string(&(&namespaces, &namespace_selector, &selector)).unwrap_or_default();
        Self { key: key.into(), topology: topology.into(), namespaces, namespace_selector, selector }
    }
    /// A pair of labels that each pod has that it is about, with its namespaces; none when labels of namespaces count.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&[Box<str>], (&str, &str))> {
        let selector = self.selector.as_ref().filter(|_| self.namespace_selector.is_none());
        let pairs = selector.into_iter().flat_map(|selector| selector.match_labels.iter());
        pairs.map(move |pair| (&*self.namespaces, pair))
    }
    /// Its selection and its label.
    pub(super) fn place(&self) -> Place {
        (self.key.clone(), self.topology.clone())
    }
    /// Whether it is the same rule.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key == other.key && self.topology == other.topology
    }
    /// Whether labels of namespaces decide what it is about.
    pub(super) fn knows_namespaces(&self) -> bool {
        self.namespace_selector.as_ref().is_some_and(|selector| !selector.is_empty())
    }
    /// Whether it is about the pod.
    pub fn matches(&self, pod: &PodView, namespaces: &Namespaces) -> bool {
        let own = &pod.metadata.namespace;
        self.selector.as_ref().is_some_and(|selector| selector.matches(&pod.metadata.labels))
            && (self.namespaces.contains(own)
                || self
                    .namespace_selector
                    .as_ref()
                    .is_some_and(|selector| namespaces.match_one(selector, own)))
    }
}

/// A spread over domains.
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

/// The rules of one pod.
#[derive(Clone, Debug, Default)]
pub struct PodRules {
    /// Near these it must be.
    pub affinity: Vec<Term>,
    /// Away from these.
    pub anti_affinity: Vec<Term>,
    /// Near these it would like to be, by so much; away from them, if that is less than nothing.
    pub preferred: Vec<(i64, Term)>,
    /// Spreads that must hold.
    pub spreads: Vec<Spread>,
    /// Spreads that should.
    pub wished_spreads: Vec<Spread>,
    /// Whether those are the ones of pods that do not say.
    pub is_default: bool,
}

impl PodRules {
    /// The rules of a pod.
    pub fn of(pod: &PodView) -> Self {
        let Affinity { pod_affinity, pod_anti_affinity, .. } = pod.spec.affinity.as_deref().unwrap_or(&NONE);
        let (near, away) = (pod_affinity.as_ref(), pod_anti_affinity.as_ref());
        let required = |own: Option<&PodAffinity>| {
            let terms = own.map_or(&[][..], |own| &own.required_during_scheduling_ignored_during_execution);
            terms.iter().map(|own| term(pod, own)).collect()
        };
        let preferred = |own: Option<&PodAffinity>, sign: i64| -> Vec<(i64, Term)> {
            let terms = own.map_or(&[][..], |own| &own.preferred_during_scheduling_ignored_during_execution);
            terms
                .iter()
                .map(|own| (sign * i64::from(own.weight), term(pod, &own.pod_affinity_term)))
                .collect()
        };
        let spreads = |when: &str| {
            let constraints = pod.spec.topology_spread_constraints.iter();
            constraints.filter(|own| &*own.when_unsatisfiable == when).map(|own| spread(pod, own)).collect()
        };
        Self {
            affinity: required(near),
            anti_affinity: required(away),
            preferred: [preferred(near, 1), preferred(away, -1)].concat(),
            spreads: spreads("DoNotSchedule"),
            wished_spreads: spreads("ScheduleAnyway"),
            is_default: false,
        }
    }
    /// A pod that says nothing of spreads is spread with those that the same services and controller select.
    pub(super) fn add_default(&mut self, pod: &PodView, selector: &LabelSelector) {
        self.is_default = true;
        let namespaces: Box<[Box<str>]> = [pod.metadata.namespace.clone()].into();
        let one = |(topology, max_skew)| Spread {
            term: Term::new(namespaces.clone(), None, Some(selector.clone()), topology),
            max_skew,
            min_domains: 1,
            honours_affinity: true,
            honours_taints: false,
        };
        self.wished_spreads = DEFAULT_SPREADS.map(one).into();
    }
    /// A placed pod needs them no more.
    pub(super) fn drop_default(&mut self) {
        if std::mem::take(&mut self.is_default) {
            self.wished_spreads = Vec::new();
        }
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }
    /// What all of them are about.
    pub(super) fn all(&self) -> impl Iterator<Item = &Term> {
        let preferred = self.preferred.iter().map(|(_, term)| term);
        let spreads = self.spreads.iter().chain(&self.wished_spreads).map(|spread| &spread.term);
        self.affinity.iter().chain(&self.anti_affinity).chain(preferred).chain(spreads)
    }
    /// What it would like newcomers to do: to come near, or, by less than nothing, to stay away.
    pub(super) fn wishes(&self) -> impl Iterator<Item = (i64, &Term)> {
        let near = self.affinity.iter().map(|term| (REQUIRED_WEIGHT, term));
        near.chain(self.preferred.iter().map(|(weight, term)| (*weight, term)))
    }
}

fn term(pod: &PodView, own: &PodAffinityTerm) -> Term {
    let namespaces = match (&own.namespace_selector, &*own.namespaces) {
        (None, []) => [pod.metadata.namespace.clone()].into(),
        _ => own.namespaces.clone(),
    };
    let mut selector = own.label_selector.clone();
    add_keys(&mut selector, &own.match_label_keys, "In", &pod.metadata.labels);
    add_keys(&mut selector, &own.mismatch_label_keys, "NotIn", &pod.metadata.labels);
    Term::new(namespaces, own.namespace_selector.clone(), selector, &own.topology_key)
}

fn spread(pod: &PodView, own: &TopologySpreadConstraint) -> Spread {
    let mut selector = own.label_selector.clone();
    add_keys(&mut selector, &own.match_label_keys, "In", &pod.metadata.labels);
    let honours =
        |policy: &Option<Box<str>>, default| policy.as_ref().map_or(default, |own| &**own == "Honor");
    Spread {
        term: Term::new([pod.metadata.namespace.clone()].into(), None, selector, &own.topology_key),
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
