//! Prefers to be near pods that the pod likes or that like it, and away from the others.
//!
//! Upstream: pkg/scheduler/framework/plugins/interpodaffinity/scoring.go.

use super::MOST;
use crate::index::{
    Candidate,
    nodes::{Node, Slot},
    pod_rules::Term,
    rules::{Rules, Values},
};

/// 0 to 100 for each node; nothing when no pod likes or dislikes another.
pub fn scores(pod: &Candidate, rules: &Rules, nodes: &[(Slot, &Node)]) -> Option<Vec<i64>> {
    let own = pod.rules.preferred.iter();
    let own = own.filter_map(|(weight, term)| Some((*weight, term, rules.values(term)?)));
    let all: Vec<(i64, &Term, &Values)> = own.chain(rules.wishes(&pod.view)).collect();
    if all.is_empty() {
        return None;
    }
    let sum = |node: &Node| -> i64 {
        let count = |term: &Term, values: &Values| -> Option<i64> {
            values.get(node.label(&term.topology)?).copied().map(i64::from)
        };
        all.iter().map(|(weight, term, values)| weight * count(term, values).unwrap_or(0)).sum()
    };
    Some(scaled(&nodes.iter().map(|(_, node)| sum(node)).collect::<Vec<_>>()))
}

/// From the least to the largest; nothing for anybody when they are equal.
fn scaled(sums: &[i64]) -> Vec<i64> {
    let (least, largest) = (sums.iter().min().copied().unwrap_or(0), sums.iter().max().copied().unwrap_or(0));
    let range = (largest - least).max(1);
    sums.iter().map(|sum| MOST * (sum - least) / range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_scaled_between_the_least_and_the_largest() {
        assert_eq!(scaled(&[-10, 0, 30]), [0, 25, 100]);
        assert_eq!(scaled(&[7, 7]), [0, 0]);
    }
}
