//! Rules about other pods: required affinity, anti-affinity of the pod and of others, spread.
//!
//! Flow: the domains that a pod's rules allow are worked out once per pod (`Domains`); a node is then looked up in them.
//! A pod that is the first of those that it wants to be near may go anywhere. Pods that are going still count.
//! Upstream: pkg/scheduler/framework/plugins/{interpodaffinity,podtopologyspread}/filtering.go.

use super::{Rejection, node_affinity, taint_toleration};
use crate::index::{
    Candidate,
    nodes::{Node, Nodes},
    rules::{PodRules, Rules, Spread, Values},
};
use std::collections::HashMap;

pub(super) const AFFINITY: &str = "node(s) didn't match pod affinity rules";
pub(super) const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
pub(super) const OTHERS: &str = "node(s) didn't satisfy existing pods anti-affinity rules";
pub(super) const SPREAD: &str = "node(s) didn't match pod topology spread constraints";
pub(super) const NO_LABEL: &str =
    "node(s) didn't match pod topology spread constraints (missing required label)";

/// Where a pod may go by rules about other pods: labels, and values where such pods are.
#[derive(Debug, Default)]
pub struct Domains<'a> {
    near: Vec<(&'a str, Option<&'a Values>)>,
    is_first: bool,
    away: Vec<(&'a str, &'a Values)>,
    banned: Vec<(&'a str, &'a Values)>,
    spreads: Vec<Counted<'a>>,
}

#[derive(Debug)]
struct Counted<'a> {
    spread: &'a Spread,
    counts: HashMap<&'a str, i64>,
    least: i64,
    own: i64,
}

impl<'a> Domains<'a> {
    /// The domains of a pod; none when no rule is about it.
    pub fn of(pod: &'a Candidate, rules: &'a Rules, nodes: &'a Nodes) -> Option<Self> {
        let banned: Vec<_> = rules.bans(&pod.view).collect();
        if pod.rules.is_empty() && banned.is_empty() {
            return None;
        }
        let PodRules { affinity, anti_affinity, spreads, refusal: _ } = &pod.rules;
        let near: Vec<_> = affinity.iter().map(|term| (&*term.topology, rules.values(term))).collect();
        Some(Self {
            is_first: near.iter().all(|(_, values)| values.is_none_or(HashMap::is_empty))
                && affinity.iter().all(|term| term.matches(&pod.view)),
            near,
            away: anti_affinity
                .iter()
                .filter_map(|term| Some((&*term.topology, rules.values(term)?)))
                .collect(),
            banned,
            spreads: spreads.iter().map(|spread| counted(pod, spread, rules, nodes)).collect(),
        })
    }
    /// Whether a node lies in them.
    pub fn allow(&self, node: &Node) -> Result<(), Rejection> {
        for spread in &self.spreads {
            spread.allows(node)?;
        }
        for (label, values) in &self.near {
            let Some(own) = node.label(label) else { return Err(Rejection::PodAffinity) };
            if !self.is_first && !values.is_some_and(|values| values.contains_key(own)) {
                return Err(Rejection::PodAffinity);
            }
        }
        let lies_in = |domains: &[(&str, &Values)]| {
            domains
                .iter()
                .any(|(label, values)| node.label(label).is_some_and(|own| values.contains_key(own)))
        };
        if lies_in(&self.away) {
            return Err(Rejection::PodAntiAffinity);
        }
        if lies_in(&self.banned) { Err(Rejection::OthersAntiAffinity) } else { Ok(()) }
    }
}

impl Counted<'_> {
    fn allows(&self, node: &Node) -> Result<(), Rejection> {
        let own = node.label(&self.spread.term.topology).ok_or(Rejection::SpreadLabel)?;
        let count = self.counts.get(own).copied().unwrap_or(0);
        if count + self.own - self.least > self.spread.max_skew { Err(Rejection::Spread) } else { Ok(()) }
    }
}

/// Pods per domain, over the nodes that come into question.
fn counted<'a>(pod: &'a Candidate, spread: &'a Spread, rules: &Rules, nodes: &'a Nodes) -> Counted<'a> {
    let spec = &pod.view.spec;
    let by_slot = rules.by_slot(&spread.term);
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for (slot, node) in (0..).zip(nodes.slots()) {
        let Some(view) = &node.view else { continue };
        let all =
            pod.rules.spreads.iter().all(|other| view.metadata.labels.get(&other.term.topology).is_some());
        let counts_in = all
            && (!spread.honours_affinity || node_affinity::fits(spec, view))
            && (!spread.honours_taints || taint_toleration::fits(spec, view));
        if let Some(own) = node.label(&spread.term.topology).filter(|_| counts_in) {
            *counts.entry(own).or_default() +=
                by_slot.and_then(|own| own.get(&slot)).copied().map_or(0, i64::from);
        }
    }
    let least =
        if counts.len() < spread.min_domains { 0 } else { counts.values().copied().min().unwrap_or(0) };
    Counted { spread, least, own: i64::from(spread.term.matches(&pod.view)), counts }
}
