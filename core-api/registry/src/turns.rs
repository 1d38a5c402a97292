//! Whose turn it is to write a contended key: first come, first served.
//!
//! A writer that lost once waits here before it reads again, so a hot key costs one conflict per writer instead of
//! one per writer and commit.

use parking_lot::Mutex;
use proa_store::Key;
use std::{collections::HashMap, sync::Arc};
use tokio::sync::OwnedMutexGuard;

type Line = Arc<tokio::sync::Mutex<()>>;

/// Queues of the keys that are contended at present.
#[derive(Default)]
pub(crate) struct Turns(Mutex<HashMap<Key, Line>>);

/// A held turn; dropping it lets the next one go.
pub(crate) struct Turn<'a> {
    turns: &'a Turns,
    key: Key,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for the key's turn.
    pub(crate) async fn take(&self, key: &Key) -> Turn<'_> {
        let line = self.0.lock().entry(key.clone()).or_default().clone();
        let guard = line.lock_owned().await;
        Turn { turns: self, key: key.clone(), guard: Some(guard) }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut lines = self.turns.0.lock();
        // Nobody else holds or awaits it: those clone the line under this lock.
        if lines.get(&self.key).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_turn_is_exclusive_and_leaves_nothing_behind() {
        let turns = Arc::new(Turns::default());
        let key: Key = "a".into();
        let first = turns.take(&key).await;
        let (other, waiting) = (turns.clone(), key.clone());
        let second = tokio::spawn(async move {
            let _turn = other.take(&waiting).await;
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.expect("the second gets its turn");
        assert!(turns.0.lock().is_empty());
    }
}
