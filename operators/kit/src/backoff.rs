//! Exponential backoff per key, as client-go's work queue does it.
//!
//! Upstream: client-go `util/workqueue/default_rate_limiters.go` (5 ms doubling up to 1000 s; capped here at 5 min).

use std::{collections::HashMap, hash::Hash, time::Duration};

/// First delay.
const FIRST: Duration = Duration::from_millis(5);
/// Longest delay.
const LONGEST: Duration = Duration::from_secs(300);

/// Failures in a row per key; a key that succeeds is forgotten, so memory is bounded by the failing objects.
#[derive(Debug)]
pub struct Backoff<K> {
    failures: HashMap<K, u32>,
}

impl<K> Default for Backoff<K> {
    fn default() -> Self {
        Self { failures: HashMap::new() }
    }
}

impl<K: Eq + Hash> Backoff<K> {
    /// Counts one more failure; the time to wait before the next try.
    pub fn failed(&mut self, key: K) -> Duration {
        let failures = self.failures.entry(key).or_default();
        *failures = failures.saturating_add(1);
        delay(*failures)
    }
    /// The key succeeded or is gone.
    pub fn succeeded(&mut self, key: &K) {
        self.failures.remove(key);
    }
}

/// Delay after so many failures in a row.
pub fn delay(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap_and_start_over_after_success() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.failed("a"), Duration::from_millis(5));
        assert_eq!(backoff.failed("a"), Duration::from_millis(10));
        assert_eq!(backoff.failed("b"), Duration::from_millis(5));
        backoff.succeeded(&"a");
        assert_eq!(backoff.failed("a"), Duration::from_millis(5));
        assert_eq!(delay(u32::MAX), LONGEST);
    }
}
