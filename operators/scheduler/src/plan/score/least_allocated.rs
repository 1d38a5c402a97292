//! Prefers nodes with much left.
//!
//! Upstream: pkg/scheduler/framework/plugins/noderesources/least_allocated.go.

use super::MOST;
use crate::index::{Candidate, nodes::Node};

/// Share of CPU and memory that would be left.
pub fn score(pod: &Candidate, node: &Node) -> i64 {
    let (all, used, asked) = (&node.allocatable, node.scored, pod.requests.scored);
    let parts = [(all.milli_cpu, used.0 + asked.0), (all.memory, used.1 + asked.1)];
    let (mut sum, mut count) = (0, 0);
    for (all, used) in parts.into_iter().filter(|(all, _)| *all != 0) {
        sum += left(all, used);
        count += 1;
    }
    if count == 0 { 0 } else { sum / count }
}

fn left(all: i64, used: i64) -> i64 {
    if used > all { 0 } else { share(all - used, all) }
}

/// Hundredths, also of amounts whose product does not fit 64 bits.
fn share(part: i64, all: i64) -> i64 {
    i64::try_from(i128::from(part) * i128::from(MOST) / i128::from(all)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_mark_and_falls_with_use(all in 1_i64..i64::MAX, a in 0_i64..i64::MAX, b in 0_i64..i64::MAX) {
            let (less, more) = (a.min(b), a.max(b));
            prop_assert!((0..=MOST).contains(&left(all, less)));
            prop_assert!(left(all, less) >= left(all, more));
        }
    }
}
