//! Which of the nodes that fit is best: one rule per file, weighed as upstream weighs them.
//!
//! Every rule gives 0 to 100. Rules that compare nodes with each other give a raw figure first, which is then scaled by
//! the largest one. Upstream: pkg/scheduler/framework/runtime/framework.go (RunScorePlugins), plugins/helper.

pub mod balanced_allocation;
pub mod image_locality;
pub mod least_allocated;
pub mod node_affinity;
pub mod pod_affinity;
pub mod taint_toleration;
pub mod topology_spread;

use crate::index::{
    Candidate,
    nodes::{Node, Nodes, Slot},
    rules::Rules,
};

/// The best mark.
pub(crate) const MOST: i64 = 100;

/// Weight of the rules about other pods.
const ABOUT_PODS: i64 = 2;

/// A rule that compares nodes: its weight, whether less is better, and the raw figure of a node.
type Comparing = (i64, bool, fn(&Candidate, &Node) -> i64);

const COMPARING: [Comparing; 2] = [(3, true, taint_toleration::raw), (2, false, node_affinity::raw)];

/// The node with the highest sum; of equal ones the first, which the rotating search spreads.
pub fn best(nodes: &Nodes, rules: &Rules, pod: &Candidate, found: &[Slot]) -> Slot {
    let [first, _, ..] = found else { return found.first().copied().unwrap_or_default() };
    let known: Vec<(Slot, &Node)> =
        found.iter().filter_map(|slot| Some((*slot, nodes.get(*slot)?))).collect();
    let mut sums: Vec<i64> = known
        .iter()
        .map(|(_, node)| least_allocated::score(pod, node) + balanced_allocation::score(pod, node))
        .collect();
    for (weight, less_is_better, raw) in COMPARING {
        let figures: Vec<i64> = known.iter().map(|(_, node)| raw(pod, node)).collect();
        add_scaled(&mut sums, &figures, weight, less_is_better);
    }
    let about_pods =
        [pod_affinity::scores(pod, rules, &known), topology_spread::scores(pod, rules, nodes, &known)];
    for scores in about_pods.into_iter().flatten() {
        sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += ABOUT_PODS * score);
    }
    if let Some(scores) = image_locality::scores(pod, nodes, &known) {
        sums.iter_mut().zip(scores).for_each(|(sum, score)| *sum += score);
    }
    let mut best = (*first, i64::MIN);
    for ((slot, _), sum) in known.iter().zip(sums) {
        if sum > best.1 {
            best = (*slot, sum);
        }
    }
    best.0
}

/// Scales raw figures by the largest and adds them. Equal figures change nothing.
fn add_scaled(sums: &mut [i64], figures: &[i64], weight: i64, less_is_better: bool) {
    let largest = figures.iter().copied().max().unwrap_or(0);
    if largest == 0 {
        return;
    }
    for (sum, figure) in sums.iter_mut().zip(figures) {
        let scaled = figure * MOST / largest;
        *sum += weight * if less_is_better { MOST - scaled } else { scaled };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_scaled_by_the_largest() {
        let mut sums = [0, 0, 0];
        add_scaled(&mut sums, &[1, 2, 4], 2, false);
        assert_eq!(sums, [50, 100, 200]);
        add_scaled(&mut sums, &[1, 2, 4], 1, true);
        assert_eq!(sums, [125, 150, 200]);
        add_scaled(&mut sums, &[0, 0, 0], 9, true);
        assert_eq!(sums, [125, 150, 200]);
    }
}
