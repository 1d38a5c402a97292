//! Spreads pods over domains where they should but need not be spread.
//!
//! Upstream: pkg/scheduler/framework/plugins/podtopologyspread/scoring.go.

use super::MOST;
use crate::{
    index::{
        Candidate,
        nodes::{Node, Nodes, Slot},
        pod_rules::Spread,
        rules::Rules,
    },
    plan::filter::pod_rules::counts_in,
};
use std::collections::HashMap;

/// Each of these domains is one node.
const HOST_NAME: &str = "kubernetes.io/hostname";

/// 0 to 100 for each node, 0 for one that lacks a label; nothing for a pod without such spreads.
pub fn scores(pod: &Candidate, rules: &Rules, all: &Nodes, nodes: &[(Slot, &Node)]) -> Option<Vec<i64>> {
    let spreads = &pod.rules.wished_spreads;
    if spreads.is_empty() {
        return None;
    }
    let has_labels = |node: &Node| spreads.iter().all(|spread| node.label(&spread.term.topology).is_some());
    let known: Vec<(Slot, &Node)> = nodes.iter().copied().filter(|(_, node)| has_labels(node)).collect();
    let weighed: Vec<Weighed<'_>> =
        spreads.iter().map(|spread| Weighed::new(pod, spread, rules, all, &known)).collect();
    let cost = |(slot, node): (Slot, &Node)| -> i64 {
        rounded(weighed.iter().map(|own| own.cost(slot, node)).sum())
    };
    let costs: Vec<i64> = known.iter().map(|node| cost(*node)).collect();
    let mut scaled = scaled(&costs).into_iter();
    Some(
        nodes.iter().map(|(_, node)| if has_labels(node) { scaled.next().unwrap_or(0) } else { 0 }).collect(),
    )
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
    /// By node; else `by_value` counts.
    by_slot: Option<HashMap<Slot, i64>>,
    by_value: HashMap<&'a str, i64>,
    /// The more domains, the more each pod too many weighs.
    weight: f64,
}

impl<'a> Weighed<'a> {
    fn new(
        pod: &'a Candidate,
        spread: &'a Spread,
        rules: &Rules,
        all: &'a Nodes,
        known: &[(Slot, &'a Node)],
    ) -> Self {
        let placed = rules.by_slot(&spread.term);
        let on = |slot: Slot| placed.and_then(|own| own.get(&slot)).copied().map_or(0, i64::from);
        if &*spread.term.topology == HOST_NAME {
            let by_slot = known.iter().map(|(slot, _)| (*slot, on(*slot))).collect();
            return Self {
                spread,
                by_slot: Some(by_slot),
                by_value: HashMap::new(),
                weight: weight(known.len()),
            };
        }
        let values = known.iter().filter_map(|(_, node)| node.label(&spread.term.topology));
        let mut by_value: HashMap<&str, i64> = values.map(|value| (value, 0)).collect();
        for (slot, node) in (0..).zip(all.slots()) {
            let Some(value) = node.label(&spread.term.topology) else { continue };
            let counts = |view| counts_in(pod, &pod.rules.wished_spreads, spread, view);
            if on(slot) > 0
                && let Some(count) = by_value.get_mut(value)
                && node.view.as_ref().is_some_and(|view| counts(view))
            {
                *count += on(slot);
            }
        }
        Self { spread, by_slot: None, weight: weight(by_value.len()), by_value }
    }
    #[expect(clippy::cast_precision_loss, reason = "numbers of pods")]
    fn cost(&self, slot: Slot, node: &Node) -> f64 {
        let count = match &self.by_slot {
            Some(by_slot) => by_slot.get(&slot),
            None => node.label(&self.spread.term.topology).and_then(|value| self.by_value.get(value)),
        };
        count.copied().unwrap_or(0) as f64 * self.weight + (self.spread.max_skew - 1) as f64
    }
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
