//! Answers of others that are remembered for a while: bounded, by the digest of the question.

use parking_lot::Mutex;
use ring::digest;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Answers that are remembered at most.
const MOST: usize = 4096;

/// The digest of a question.
pub(crate) type Key = [u8; 32];

/// Answers by the digests of their questions.
pub(crate) struct Remembered<V>(Mutex<HashMap<Key, (Instant, V)>>);

impl<V> Default for Remembered<V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

/// What a question is remembered by: secrets are part of some.
pub(crate) fn key(question: &[u8]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(digest::digest(&digest::SHA256, question).as_ref());
    key
}

impl<V: Clone> Remembered<V> {
    /// The answer, while it counts.
    pub(crate) fn get(&self, key: &Key) -> Option<V> {
        let all = self.0.lock();
        let (until, value) = all.get(key)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    /// Remembers an answer. When there is no room, what no longer counts goes, or else everything.
    pub(crate) fn put(&self, key: Key, value: V, lifetime: Duration) {
        let now = Instant::now();
        let Some(until) = now.checked_add(lifetime).filter(|until| *until > now) else { return };
        let mut all = self.0.lock();
        if all.len() >= MOST {
            all.retain(|_, (until, _)| *until > now);
        }
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(key, (until, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_count_for_a_while_and_are_bounded() {
        let remembered = Remembered::default();
        remembered.put(key(b"a"), 1, Duration::from_mins(1));
        remembered.put(key(b"b"), 2, Duration::ZERO);
        assert_eq!((remembered.get(&key(b"a")), remembered.get(&key(b"b"))), (Some(1), None));
        for i in 0..2 * MOST {
            remembered.put(key(&i.to_be_bytes()), 3, Duration::from_mins(1));
        }
        assert!(remembered.0.lock().len() <= MOST);
    }
}
