//! Prefers nodes whose CPU and memory would be used alike.
//!
//! Upstream: pkg/scheduler/framework/plugins/noderesources/balanced_allocation.go.

use super::MOST;
use crate::index::{Candidate, nodes::Node};

/// How much the pod improves the balance, around 75. A pod that asks for nothing changes none.
pub fn score(pod: &Candidate, node: &Node) -> i64 {
    let needed = &pod.requests.needed;
    if needed.is_zero() {
        return 0;
    }
    let (all, used) = (&node.allocatable, &node.load.requested);
    let before = balance([(all.milli_cpu, used.milli_cpu), (all.memory, used.memory)]);
    let after = balance([
        (all.milli_cpu, used.milli_cpu + needed.milli_cpu),
        (all.memory, used.memory + needed.memory),
    ]);
    MOST / 2 + (MOST / 2 + after - before) / 2
}

/// 100 when both are used alike, 50 when one is full and the other empty.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a mark from 50 to 100")]
fn balance(parts: [(i64, i64); 2]) -> i64 {
    let share = |(all, used): (i64, i64)| (all != 0).then(|| (used as f64 / all as f64).min(1.0));
    let [Some(cpu), Some(memory)] = parts.map(share) else { return MOST };
    ((1.0 - (cpu - memory).abs() / 2.0) * MOST as f64) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_use_is_best() {
        assert_eq!(balance([(100, 50), (10, 5)]), 100);
        assert_eq!(balance([(100, 100), (10, 0)]), 50);
        assert_eq!(balance([(100, 300), (10, 10)]), 100);
        assert_eq!(balance([(0, 0), (10, 10)]), 100);
    }
}
