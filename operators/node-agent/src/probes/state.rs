//! What a row of outcomes of one probe means. Pure.
//!
//! Upstream: `doProbe` in `pkg/kubelet/prober/worker.go`.

/// How many outcomes in a row it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    /// Successes until the probe counts as successful.
    pub(super) success: u32,
    /// Failures until it counts as failed.
    pub(super) failure: u32,
}

/// The outcomes so far.
#[derive(Clone, Debug)]
pub(super) struct State {
    thresholds: Thresholds,
    /// The last outcome and how often it came in a row.
    run: Option<(bool, u32)>,
}

impl State {
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, run: None }
    }

    /// Takes an outcome in. What the probe says then; nothing while it is undecided, so that what was said before holds.
    pub(super) fn take(&mut self, success: bool) -> Option<bool> {
        let run = match self.run {
            Some((last, run)) if last == success => run.saturating_add(1),
            _ => 1,
        };
        self.run = Some((success, run));
        let needed = if success { self.thresholds.success } else { self.thresholds.failure };
        (run >= needed).then_some(success)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the probe says after each outcome: `+` success, `-` failure; `.` where it is undecided.
    fn said(success: u32, failure: u32, outcomes: &str) -> String {
        let mut state = State::new(Thresholds { success, failure });
        let say = |outcome| match state.take(outcome == '+') {
            Some(true) => '+',
            Some(false) => '-',
            None => '.',
        };
        outcomes.chars().map(say).collect()
    }

    #[test]
    fn thresholds_count_rows() {
        assert_eq!(said(1, 3, "--+---+"), "..+..-+");
        assert_eq!(said(2, 1, "+-++-"), ".-.+-");
        assert_eq!(said(1, 1, "+-+"), "+-+");
        assert_eq!(said(1, 2, "-----"), ".----");
    }

    proptest! {
        #[test]
        fn a_probe_says_only_what_the_last_outcomes_were(
            success in 1_u32..4, failure in 1_u32..4, outcomes in prop::collection::vec(any::<bool>(), 0..40),
        ) {
            let mut state = State::new(Thresholds { success, failure });
            for end in 0..outcomes.len() {
                let last = outcomes[end];
                let needed = if last { success } else { failure } as usize;
                let row = outcomes[..=end].iter().rev().take_while(|o| **o == last).count();
                prop_assert_eq!(state.take(last), (row >= needed).then_some(last));
            }
        }
    }
}
