//! The dirty set of an operator: keys to look at, each at most once, in order of arrival.
//!
//! Invariants: marking never blocks and never grows beyond the number of keys; a key that is being worked on is handed
//! out again only after `done`; a later wake keeps the earliest time. A timer exists only while a key waits for one.
//! Upstream: client-go `util/workqueue/queue.go` and `delaying_queue.go`.

use parking_lot::Mutex;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    hash::Hash,
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// Coalescing queue of keys; clones share it.
#[derive(Debug)]
pub struct Queue<K>(Arc<Inner<K>>);

#[derive(Debug)]
struct Inner<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    queued: HashSet<K>,
    running: HashSet<K>,
    again: HashSet<K>,
    due: HashMap<K, Instant>,
    timers: BinaryHeap<Reverse<Timer<K>>>,
}

#[derive(Debug)]
struct Timer<K>(Instant, K);

impl<K> PartialEq for Timer<K> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<K> Eq for Timer<K> {}
impl<K> PartialOrd for Timer<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Timer<K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Clone + Eq + Hash> Default for Queue<K> {
    fn default() -> Self {
        Self(Arc::new(Inner {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                queued: HashSet::new(),
                running: HashSet::new(),
                again: HashSet::new(),
                due: HashMap::new(),
                timers: BinaryHeap::new(),
            }),
            wake: Notify::new(),
        }))
    }
}

impl<K: Clone + Eq + Hash> State<K> {
    /// Whether a waiting consumer must be woken.
    fn mark(&mut self, key: K) -> bool {
        if self.running.contains(&key) {
            self.again.insert(key);
            return false;
        }
        if !self.queued.insert(key.clone()) {
            return false;
        }
        self.due.remove(&key);
        self.ready.push_back(key);
        true
    }
    /// Moves what is due to the ready keys and says when the next timer fires.
    fn expire(&mut self, now: Instant) -> Option<Instant> {
        while let Some(Reverse(Timer(at, _))) = self.timers.peek() {
            if *at > now {
                return Some(*at);
            }
            let Some(Reverse(Timer(at, key))) = self.timers.pop() else { break };
            // A timer that was replaced by an earlier one, or made moot by a mark, is stale.
            if self.due.get(&key) == Some(&at) {
                self.due.remove(&key);
                self.mark(key);
            }
        }
        None
    }
    fn take(&mut self) -> Option<K> {
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.running.insert(key.clone());
        Some(key)
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    /// The key must be looked at.
    pub fn mark(&self, key: K) {
        if self.0.state.lock().mark(key) {
            self.0.wake.notify_one();
        }
    }
    /// The key must be looked at after `delay`, unless something wakes it before.
    pub fn mark_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.mark(key);
        }
        let at = Instant::now() + delay;
        let mut state = self.0.state.lock();
        if state.queued.contains(&key) || state.due.get(&key).is_some_and(|due| *due <= at) {
            return;
        }
        state.due.insert(key.clone(), at);
        state.timers.push(Reverse(Timer(at, key)));
        drop(state);
        self.0.wake.notify_one();
    }
    /// The next key; waits for one. The caller owes a `done`.
    pub async fn next(&self) -> K {
        loop {
            let woken = self.0.wake.notified();
            let timer = {
                let mut state = self.0.state.lock();
                let timer = state.expire(Instant::now());
                if let Some(key) = state.take() {
                    if !state.ready.is_empty() {
                        // Several consumers may wait, and a permit is stored only once.
                        self.0.wake.notify_one();
                    }
                    return key;
                }
                timer
            };
            match timer {
                Some(at) => drop(tokio::time::timeout_at(at, woken).await),
                None => woken.await,
            }
        }
    }
    /// A ready key without waiting. The caller owes a `done`.
    pub fn try_next(&self) -> Option<K> {
        let mut state = self.0.state.lock();
        state.expire(Instant::now());
        state.take()
    }
    /// The work on the key ended; if it was marked meanwhile, it is ready again.
    pub fn done(&self, key: &K) {
        let mut state = self.0.state.lock();
        state.running.remove(key);
        if let Some(key) = state.again.take(key)
            && state.mark(key)
        {
            drop(state);
            self.0.wake.notify_one();
        }
    }
    /// Number of ready keys.
    pub fn depth(&self) -> usize {
        self.0.state.lock().ready.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn marks_coalesce_and_keep_order() {
        let queue = Queue::default();
        for key in ["a", "b", "a"] {
            queue.mark(key);
        }
        assert_eq!((queue.next().await, queue.next().await), ("a", "b"));
        assert_eq!(queue.try_next(), None);
    }

    #[tokio::test]
    async fn a_running_key_is_handed_out_again_only_when_done() {
        let queue = Queue::default();
        queue.mark("a");
        let key = queue.next().await;
        queue.mark("a");
        queue.mark("a");
        assert_eq!(queue.try_next(), None);
        queue.done(&key);
        assert_eq!(queue.try_next(), Some("a"));
        queue.done(&"a");
        assert_eq!(queue.try_next(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_time_wins_and_a_mark_overrides_it() {
        let queue = Queue::default();
        queue.mark_after("a", Duration::from_secs(10));
        queue.mark_after("a", Duration::from_secs(5));
        queue.mark_after("a", Duration::from_secs(20));
        let start = Instant::now();
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed(), Duration::from_secs(5));
        queue.done(&"a");
        queue.mark_after("a", Duration::from_secs(5));
        queue.mark("a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(queue.try_next(), None);
    }
}
