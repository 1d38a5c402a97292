//! Rules about other pods: required affinity, anti-affinity of the pod and of others, spread.
//!
//! Flow: the domains that a pod's rules allow are worked out once per pod (`Domains`); a node is then looked up in them,
//! as it is or as it would be with other pods (`Shift`). A pod that is the first of those that it wants to be near may go
//! anywhere. Pods that are going still count.
//! Upstream: pkg/scheduler/framework/plugins/{interpodaffinity,podtopologyspread}/filtering.go.

use super::{Rejection, node_affinity, taint_toleration};
use crate::index::{
    Candidate,
    namespaces::Namespaces,
    nodes::{Node, Nodes},
    pod_rules::{PodRules, Spread, Term},
    rules::{Rules, Values},
};
use proa_kit::views::NodeView;
use std::collections::HashMap;

pub(super) const AFFINITY: &str = "node(s) didn't match pod affinity rules";
pub(super) const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
pub(super) const OTHERS: &str = "node(s) didn't satisfy existing pods anti-affinity rules";
pub(super) const SPREAD: &str = "node(s) didn't match pod topology spread constraints";
pub(super) const NO_LABEL: &str =
    "node(s) didn't match pod topology spread constraints (missing required label)";

/// Where a pod may go by rules about other pods: rules, and values of their labels where such pods are.
#[derive(Debug)]
pub struct Domains<'a> {
    pod: &'a Candidate,
    namespaces: &'a Namespaces,
    near: Vec<(&'a Term, Option<&'a Values>)>,
    /// Whether the pod is one of those that it wants to be near.
    is_kin: bool,
    away: Vec<(&'a Term, Option<&'a Values>)>,
    banned: Vec<(&'a Term, &'a Values)>,
    spreads: Vec<Counted<'a>>,
}

/// How many pods each rule would count on one node beyond those that are there. Empty: as it is.
#[derive(Clone, Debug, Default)]
pub struct Shift {
    near: Vec<i64>,
    away: Vec<i64>,
    banned: Vec<i64>,
    spreads: Vec<i64>,
    /// Rules of pods that would come, none of which is among the bans.
    others: i64,
}

#[derive(Debug)]
struct Counted<'a> {
    spread: &'a Spread,
    counts: HashMap<&'a str, i64>,
    /// The domain with the fewest pods, and the number of pods in the next.
    least: Option<(&'a str, i64)>,
    second: Option<i64>,
    own: i64,
}

impl<'a> Domains<'a> {
    /// The domains of a pod.
    pub fn of(pod: &'a Candidate, rules: &'a Rules, nodes: &'a Nodes) -> Self {
        let PodRules { affinity, anti_affinity, spreads, .. } = &pod.rules;
        let namespaces = &rules.namespaces;
        Self {
            pod,
            namespaces,
            near: affinity.iter().map(|term| (term, rules.values(term))).collect(),
            is_kin: affinity.iter().all(|term| term.matches(&pod.view, namespaces)),
            away: anti_affinity.iter().map(|term| (term, rules.values(term))).collect(),
            banned: rules.bans(&pod.view).collect(),
            spreads: spreads.iter().map(|spread| counted(pod, spread, rules, nodes)).collect(),
        }
    }
    /// Whether a node lies in them.
    pub fn allow(&self, node: &Node, shift: &Shift) -> Result<(), Rejection> {
        for (spread, by) in self.spreads.iter().zip(padded(&shift.spreads)) {
            spread.allows(node, by)?;
        }
        self.allow_near(node, shift)?;
        let away = self.away.iter().map(|(term, values)| (*term, *values)).zip(padded(&shift.away));
        if lies_in(node, away) {
            return Err(Rejection::PodAntiAffinity);
        }
        let banned =
            self.banned.iter().map(|(term, values)| (*term, Some(*values))).zip(padded(&shift.banned));
        if shift.others > 0 || lies_in(node, banned) { Err(Rejection::OthersAntiAffinity) } else { Ok(()) }
    }
    fn allow_near(&self, node: &Node, shift: &Shift) -> Result<(), Rejection> {
        let mut is_near = true;
        let mut is_anywhere = false;
        for ((term, values), by) in self.near.iter().zip(padded(&shift.near)) {
            let Some(own) = node.label(&term.topology) else { return Err(Rejection::PodAffinity) };
            is_near &= count(*values, own) + by > 0;
            // With the pods of this node taken away or added, there may be none left, or one.
            is_anywhere |= values.is_some_and(|values| values.keys().any(|value| &**value != own))
                || count(*values, own) + by > 0;
        }
        if is_near || self.is_kin && !is_anywhere { Ok(()) } else { Err(Rejection::PodAffinity) }
    }
    /// One pod more (or less) on a node.
    pub fn step(&self, shift: &mut Shift, node: &Node, other: &Candidate, by: i64) {
        let matching = |(term, _): &(&Term, Option<&Values>)| term.matches(&other.view, self.namespaces);
        bump(&mut shift.near, self.near.iter().map(matching), by);
        bump(&mut shift.away, self.away.iter().map(matching), by);
        let counted = |counted: &Counted<'_>| {
            counted.spread.term.matches(&other.view, self.namespaces)
                && node
                    .view
                    .as_ref()
                    .is_some_and(|view| counts_in(self.pod, &self.pod.rules.spreads, counted.spread, view))
        };
        bump(&mut shift.spreads, self.spreads.iter().map(counted), by);
        for term in
            other.rules.anti_affinity.iter().filter(|term| term.matches(&self.pod.view, self.namespaces))
        {
            if node.label(&term.topology).is_none() {
                continue;
            }
            match self.banned.iter().position(|(ban, _)| ban.is_same(term)) {
                Some(at) => bump(&mut shift.banned, (0..self.banned.len()).map(|own| own == at), by),
                None => shift.others += by,
            }
        }
    }
}

fn count(values: Option<&Values>, own: &str) -> i64 {
    values.and_then(|values| values.get(own)).copied().map_or(0, i64::from)
}

fn padded(shifts: &[i64]) -> impl Iterator<Item = i64> {
    shifts.iter().copied().chain(std::iter::repeat(0))
}

fn bump(shifts: &mut Vec<i64>, matches: impl ExactSizeIterator<Item = bool>, by: i64) {
    shifts.resize(matches.len(), 0);
    for (shift, _) in shifts.iter_mut().zip(matches).filter(|(_, matches)| *matches) {
        *shift += by;
    }
}

fn lies_in<'a>(
    node: &Node,
    mut domains: impl Iterator<Item = ((&'a Term, Option<&'a Values>), i64)>,
) -> bool {
    domains
        .any(|((term, values), by)| node.label(&term.topology).is_some_and(|own| count(values, own) + by > 0))
}

impl Counted<'_> {
    fn allows(&self, node: &Node, by: i64) -> Result<(), Rejection> {
        let own = node.label(&self.spread.term.topology).ok_or(Rejection::SpreadLabel)?;
        let count = self.counts.get(own).copied().unwrap_or(0) + by;
        let skew = count + self.own - self.fewest(own, count);
        if skew > self.spread.max_skew { Err(Rejection::Spread) } else { Ok(()) }
    }
    /// Pods in the domain with the fewest, when one of them has `count`.
    fn fewest(&self, own: &str, count: i64) -> i64 {
        if self.counts.len() < self.spread.min_domains {
            return 0;
        }
        let others = match self.least {
            Some((value, _)) if value == own => self.second,
            least => least.map(|(_, count)| count),
        };
        let own = self.counts.contains_key(own).then_some(count);
        others.into_iter().chain(own).min().unwrap_or(0)
    }
}

/// Whether the pods of a node count for a spread: it must come into question for the pod.
pub fn counts_in(pod: &Candidate, all: &[Spread], spread: &Spread, view: &NodeView) -> bool {
    let has_label = |other: &Spread| view.metadata.labels.get(&other.term.topology).is_some();
    all.iter().all(has_label) && is_honoured(pod, spread, view)
}

/// Whether a node is not left out for its labels or taints.
pub fn is_honoured(pod: &Candidate, spread: &Spread, view: &NodeView) -> bool {
    let spec = &pod.view.spec;
    (!spread.honours_affinity || node_affinity::fits(spec, view))
        && (!spread.honours_taints || taint_toleration::fits(spec, view))
}

/// Pods per domain, over the nodes that come into question.
fn counted<'a>(pod: &'a Candidate, spread: &'a Spread, rules: &Rules, nodes: &'a Nodes) -> Counted<'a> {
    let by_slot = rules.by_slot(&spread.term);
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for (slot, node) in (0..).zip(nodes.slots()) {
        let Some(view) = node.view.as_ref().filter(|view| counts_in(pod, &pod.rules.spreads, spread, view))
        else {
            continue;
        };
        if let Some(own) = view.metadata.labels.get(&spread.term.topology) {
            *counts.entry(own).or_default() +=
                by_slot.and_then(|own| own.get(&slot)).copied().map_or(0, i64::from);
        }
    }
    let (mut least, mut second) = (None::<(&str, i64)>, None);
    for (value, count) in &counts {
        match least {
            Some((_, fewest)) if fewest <= *count => {
                second = Some(second.map_or(*count, |second: i64| second.min(*count)));
            }
            before => {
                second = before.map(|(_, count)| count);
                least = Some((value, *count));
            }
        }
    }
    Counted {
        spread,
        least,
        second,
        own: i64::from(spread.term.matches(&pod.view, &rules.namespaces)),
        counts,
    }
}
