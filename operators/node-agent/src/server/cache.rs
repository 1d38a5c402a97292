//! Outcomes of reviews, for a while.

use parking_lot::Mutex;
use std::{collections::HashMap, hash::Hash, time::Duration};
use tokio::time::Instant;

/// Most outcomes that are remembered.
const CAPACITY: usize = 4096;

/// Remembers values until they expire.
pub(super) struct Cache<K, V> {
    entries: Mutex<HashMap<K, (V, Instant)>>,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::new(HashMap::new()) }
    }

    /// The value, unless it expired.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let entries = self.entries.lock();
        entries.get(key).filter(|(_, until)| *until > Instant::now()).map(|(value, _)| value.clone())
    }

    /// Remembers a value. When there are too many, expired ones go, and if that does not help all do.
    pub(super) fn put(&self, key: K, value: V, lasts: Duration) {
        let now = Instant::now();
        let mut entries = self.entries.lock();
        if entries.len() >= CAPACITY {
            entries.retain(|_, (_, until)| *until > now);
        }
        if entries.len() >= CAPACITY {
            entries.clear();
        }
        entries.insert(key, (value, now + lasts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn values_expire_and_do_not_pile_up() {
        let cache = Cache::new();
        cache.put(1, "one", Duration::from_secs(5));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(cache.get(&1), Some("one"));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(cache.get(&1), None);
        for key in 0..3 * CAPACITY {
            cache.put(key, "many", Duration::from_secs(5));
        }
        assert!(cache.entries.lock().len() <= CAPACITY);
    }
}
