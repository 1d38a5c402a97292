//! Which history may go: what is older than the age to keep, or has more newer bytes behind it than to keep. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::Revision;

/// How finely history is cut: a limit is overshot by at most this part of it.
const STEPS: u32 = 8;

/// Remembers when revisions were written, roughly.
pub(super) struct Retention {
    keep_age: Duration,
    keep_bytes: u64,
    /// Bytes written so far.
    written: u64,
    /// Revisions with the time and the bytes written when they were the last one, oldest first.
    marks: VecDeque<Mark>,
}

#[derive(Clone, Copy)]
struct Mark {
    revision: Revision,
    at: Duration,
    written: u64,
}

impl Retention {
    pub(super) fn new(keep_age: Duration, keep_bytes: u64) -> Self {
        Retention { keep_age, keep_bytes, written: 0, marks: VecDeque::new() }
    }

    /// Notes that a batch was written; answers with the revision up to which history may go now, if any.
    pub(super) fn wrote(&mut self, revision: Revision, bytes: u64, now: Duration) -> Option<Revision> {
        self.written += bytes;
        let mut due = None;
        while let Some(mark) = self.marks.front().filter(|mark| self.is_due(mark, now)) {
            due = Some(mark.revision);
            self.marks.pop_front();
        }
        if self.marks.back().is_none_or(|last| self.is_far(last, now)) {
            self.marks.push_back(Mark { revision, at: now, written: self.written });
        }
        due
    }

    fn is_due(&self, mark: &Mark, now: Duration) -> bool {
        now.saturating_sub(mark.at) >= self.keep_age || self.written - mark.written >= self.keep_bytes
    }

    fn is_far(&self, last: &Mark, now: Duration) -> bool {
        now.saturating_sub(last.at) >= self.keep_age / STEPS
            || self.written - last.written >= self.keep_bytes / u64::from(STEPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn keeps_what_is_young_and_small() {
        let mut retention = Retention::new(5 * MINUTE, 1000);
        for second in 0..300 {
            assert_eq!(retention.wrote(Revision(second + 1), 3, Duration::from_secs(second)), None);
        }
    }

    #[test]
    fn drops_by_age_within_an_eighth() {
        let mut retention = Retention::new(8 * MINUTE, u64::MAX);
        let mut compacted = Revision::ZERO;
        for second in 1..=3600u64 {
            let due = retention.wrote(Revision(second), 1, Duration::from_secs(second));
            if let Some(due) = due {
                assert!(due > compacted, "never goes back");
                compacted = due;
            }
            assert!(second - compacted.0 >= 480 || compacted.0 == 0, "too young to go");
            assert!(second - compacted.0 <= 480 + 60 + 1, "kept too long");
            assert!(retention.marks.len() <= 10);
        }
        assert!(compacted.0 > 3000);
    }

    #[test]
    fn drops_by_bytes_whatever_the_age() {
        let mut retention = Retention::new(5 * MINUTE, 8000);
        let due: Vec<_> = (1..=100).filter_map(|n| retention.wrote(Revision(n), 100, MINUTE)).collect();
        assert_eq!(due.first(), Some(&Revision(1)));
        assert!(due.last().is_some_and(|last| (9..=20).contains(&last.0)), "{due:?}");
    }
}
