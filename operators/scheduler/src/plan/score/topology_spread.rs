//! Spreads pods over domains where they should but need not be spread.
//!
//! Upstream: pkg/scheduler/framework/plugins/podtopologyspread/scoring.go.

use super::MOST;
use crate::{
    index::{
        Candidate,
        nodes::{Node, Nodes, Slot},
        pod_rules::{PodRules, Spread},
        rules::{Rules, Values},
    },
    plan::filter::pod_rules::{counts_in, is_honoured},
};
use std::collections::{HashMap, HashSet};

/// Each of these domains is one node.
const HOST_NAME: &str = "kubernetes.io/hostname";

/// 0 to 100 for each node; nothing for a pod without such spreads. A node that lacks a label of a spread of the pod's own
/// has 0; for the default ones it counts as far as it has them.
pub fn scores(pod: &Candidate, rules: &Rules, all: &Nodes, nodes: &[(Slot, &Node)]) -> Option<Vec<i64>> {
    let PodRules { wished_spreads: spreads, is_default, .. } = &pod.rules;
    if spreads.is_empty() {
        return None;
    }
    let is_known =
        |node: &Node| *is_default || spreads.iter().all(|spread| node.label(&spread.term.topology).is_some());
    let known: Vec<(Slot, &Node)> = nodes.iter().copied().filter(|(_, node)| is_known(node)).collect();
    let weighed: Vec<Weighed<'_>> =
        spreads.iter().map(|spread| Weighed::new(pod, spread, rules, all, &known)).collect();
    let cost = |(slot, node): (Slot, &Node)| -> i64 {
        rounded(weighed.iter().map(|own| own.cost(slot, node)).sum())
    };
    let costs: Vec<i64> = known.iter().map(|node| cost(*node)).collect();
    let mut scaled = scaled(&costs).into_iter();
    Some(nodes.iter().map(|(_, node)| if is_known(node) { scaled.next().unwrap_or(0) } else { 0 }).collect())
}

#[expect(clippy::cast_possible_truncation, reason = "far below what is exact")]
fn rounded(cost: f64) -> i64 {
    cost.round() as i64
}

/// Less is better.
fn scaled(costs: &[i64]) -> Vec<i64> {
    let (least, largest) =
        (costs.iter().min().copied().unwrap_or(0), costs.iter().max().copied().unwrap_or(0));
    let one = |cost: &i64| if largest == 0 { MOST } else { MOST * (largest + least - cost) / largest };
    costs.iter().map(one).collect()
}

/// A spread, and how many pods each of its domains has.
struct Weighed<'a> {
    spread: &'a Spread,
    counts: Counts<'a>,
    /// The more domains, the more each pod too many weighs.
    weight: f64,
}

enum Counts<'a> {
    /// A domain is a node.
    Nodes(Option<&'a HashMap<Slot, u32>>),
    /// Pods on all nodes count.
    All(Option<&'a Values>),
    /// Those on some.
    Some(HashMap<&'a str, i64>),
}

impl<'a> Weighed<'a> {
    fn new(
        pod: &'a Candidate,
        spread: &'a Spread,
        rules: &'a Rules,
        all: &'a Nodes,
        known: &[(Slot, &'a Node)],
    ) -> Self {
        let (topology, placed) = (&spread.term.topology, rules.by_slot(&spread.term));
        if &**topology == HOST_NAME {
            return Self { spread, counts: Counts::Nodes(placed), weight: weight(known.len()) };
        }
        let domains: HashSet<Option<&str>> = known.iter().map(|(_, node)| node.label(topology)).collect();
        let weight = weight(domains.len());
        if counts_everywhere(pod, spread) {
            return Self { spread, counts: Counts::All(rules.values(&spread.term)), weight };
        }
        let rules = &pod.rules;
        let mut counts: HashMap<&str, i64> = HashMap::new();
        for (slot, count) in placed.into_iter().flatten() {
            let Some(node) = all.get(*slot) else { continue };
            let (Some(view), Some(value)) = (&node.view, node.label(topology)) else { continue };
            let is_counted = match rules.is_default {
                true => is_honoured(pod, spread, view),
                false => counts_in(pod, &rules.wished_spreads, spread, view),
            };
            if is_counted {
                *counts.entry(value).or_default() += i64::from(*count);
            }
        }
        Self { spread, counts: Counts::Some(counts), weight }
    }
    /// A node without the label costs nothing here.
    #[expect(clippy::cast_precision_loss, reason = "numbers of pods")]
    fn cost(&self, slot: Slot, node: &Node) -> f64 {
        let Some(value) = node.label(&self.spread.term.topology) else { return 0.0 };
        let of = |count: Option<&u32>| count.copied().map_or(0, i64::from);
        let count = match &self.counts {
            Counts::Nodes(counts) => of(counts.and_then(|counts| counts.get(&slot))),
            Counts::All(counts) => of(counts.and_then(|counts| counts.get(value))),
            Counts::Some(counts) => counts.get(value).copied().unwrap_or(0),
        };
        count as f64 * self.weight + (self.spread.max_skew - 1) as f64
    }
}

/// Whether no node is left out, so that the pods of each value are known.
fn counts_everywhere(pod: &Candidate, spread: &Spread) -> bool {
    let spec = &pod.view.spec;
    let is_bound_to_labels = !spec.node_selector.is_empty()
        || spec.affinity.as_ref().is_some_and(|affinity| affinity.node_affinity.is_some());
    (pod.rules.is_default || pod.rules.wished_spreads.len() == 1)
        && !(spread.honours_affinity && is_bound_to_labels)
        && !spread.honours_taints
}

#[expect(clippy::cast_precision_loss, reason = "numbers of nodes")]
fn weight(domains: usize) -> f64 {
    ((domains + 2) as f64).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_emptiest_domain_is_best_and_equal_ones_are_alike() {
        assert_eq!(scaled(&[0, 5, 10]), [100, 50, 0]);
        assert_eq!(scaled(&[5, 10]), [100, 50]);
        assert_eq!(scaled(&[0, 0]), [100, 100]);
    }
}
