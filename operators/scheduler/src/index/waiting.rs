//! The pods that wait for a node: ready ones by priority and age, those that back off, those that fit nowhere, those for
//! which others are being made to go.
//!
//! Invariant: a pod is in exactly one of the sets. Backing off is cut short while nothing else is ready, but not after a
//! failed write. Upstream: pkg/scheduler/backend/queue/{active_queue,backoff_queue,scheduling_queue}.go.

use super::Candidate;
use jiff::SignedDuration;
use proa_kit::{Key, Timestamp};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// First and longest time between two tries, in seconds.
const BACKOFF: (i64, i64) = (1, 10);

/// Order among ready pods: priority, then age, then arrival.
type Rank = (Reverse<i32>, Option<Timestamp>, u64, Key);

#[derive(Clone, Debug, PartialEq)]
enum State {
    Ready,
    /// Until then; whether not earlier though nothing else is ready.
    BackingOff(Timestamp, bool),
    Nowhere,
    /// Until others have been asked to go; whether it may fit since.
    Held(bool),
}

#[derive(Clone, Debug)]
struct Waiting {
    pod: Arc<Candidate>,
    state: State,
    rank: Rank,
}

/// All waiting pods.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pods: HashMap<Key, Waiting>,
    ready: BTreeSet<Rank>,
    backing_off: BTreeSet<(Timestamp, Key)>,
    strict: BTreeSet<(Timestamp, Key)>,
    nowhere: BTreeSet<Key>,
    held: BTreeSet<Key>,
    /// Those of them that rules about other pods keep away.
    kept_by_rules: BTreeSet<Key>,
    /// Those of them that volumes keep away.
    kept_by_volumes: BTreeSet<Key>,
    arrivals: u64,
}

/// When a pod that failed so often may be tried again.
fn backoff(attempts: u32) -> SignedDuration {
    let seconds = BACKOFF.0 << attempts.saturating_sub(1).min(10);
    SignedDuration::from_secs(seconds.min(BACKOFF.1))
}

impl Queue {
    /// The pod as it waits.
    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Candidate>> {
        self.pods.get(key).map(|waiting| &waiting.pod)
    }
    /// Whether a pod can be taken now or later without an event.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty() || !self.backing_off.is_empty()
    }
    /// Whether rules about other pods keep some away.
    pub(super) fn has_kept_by_rules(&self) -> bool {
        !self.kept_by_rules.is_empty()
    }
    /// Whether volumes keep some away.
    pub(super) fn has_kept_by_volumes(&self) -> bool {
        !self.kept_by_volumes.is_empty()
    }
    /// When the next pod that must back off is ready.
    pub(super) fn next_strict(&self) -> Option<Timestamp> {
        self.strict.first().map(|(at, _)| *at)
    }
    /// A pod came, or changed so that it may fit.
    pub(super) fn ready(&mut self, key: Key, pod: Arc<Candidate>) {
        let state = if self.held.contains(&key) { State::Held(true) } else { State::Ready };
        self.put(key, pod, state);
    }
    /// Its binding failed, or the deletion of those that were to make room.
    pub(super) fn failed(&mut self, key: Key, pod: Arc<Candidate>, now: Timestamp) {
        let until = now + backoff(pod.attempts);
        self.put(key, pod, State::BackingOff(until, true));
    }
    /// It fits nowhere.
    pub(super) fn nowhere(&mut self, key: Key, pod: Arc<Candidate>) {
        self.put(key, pod, State::Nowhere);
    }
    /// Others are being made to go for it.
    pub(super) fn hold(&mut self, key: Key, pod: Arc<Candidate>) {
        self.put(key, pod, State::Held(false));
    }
    /// Whether others are being made to go for it, still.
    pub(super) fn is_held(&self, key: &Key) -> bool {
        self.held.contains(key)
    }
    /// They were asked to go.
    pub(super) fn release(&mut self, key: &Key, now: Timestamp) {
        let Some(Waiting { pod, state: State::Held(may_fit), .. }) = self.pods.get(key) else { return };
        let (pod, may_fit) = (pod.clone(), *may_fit);
        self.put(key.clone(), pod, State::Nowhere);
        if may_fit {
            self.wake(key, now);
        }
    }
    /// Another version of the pod that changes nothing about where it fits.
    pub(super) fn refresh(&mut self, key: &Key, pod: Arc<Candidate>) {
        if let Some(waiting) = self.pods.get_mut(key) {
            waiting.pod = pod;
        }
    }
    /// Pods that fit nowhere and now may: those that `fits` says yes to.
    pub(super) fn retry(&mut self, now: Timestamp, fits: impl Fn(&Key, &Candidate) -> bool) {
        let moved: Vec<Key> = self
            .nowhere
            .iter()
            .chain(&self.held)
            .filter(|key| self.pods.get(*key).is_some_and(|waiting| fits(key, &waiting.pod)))
            .cloned()
            .collect();
        for key in moved {
            self.wake(&key, now);
        }
    }
    /// A pod that fitted nowhere is tried again, once it has backed off.
    pub(super) fn wake(&mut self, key: &Key, now: Timestamp) {
        let Some(Waiting { pod, state, .. }) = self.pods.get(key) else { return };
        let pod = pod.clone();
        let until = pod.tried.map_or(now, |tried| tried + backoff(pod.attempts));
        let state = match state {
            State::Held(_) => State::Held(true),
            State::Nowhere if until <= now => State::Ready,
            State::Nowhere => State::BackingOff(until, false),
            State::Ready | State::BackingOff(..) => return,
        };
        self.put(key.clone(), pod, state);
    }
    /// The next pod to try.
    pub(super) fn pop(&mut self, now: Timestamp) -> Option<(Key, Arc<Candidate>)> {
        self.expire(now);
        let key = match self.ready.first() {
            Some((_, _, _, key)) => key.clone(),
            None => self.backing_off.first()?.1.clone(),
        };
        let pod = self.remove(&key)?;
        Some((key, pod))
    }
    fn expire(&mut self, now: Timestamp) {
        while let Some((_, key)) = self
            .backing_off
            .first()
            .filter(|(at, _)| *at <= now)
            .or_else(|| self.strict.first().filter(|(at, _)| *at <= now))
        {
            let key = key.clone();
            let Some(pod) = self.remove(&key) else { return };
            self.put(key, pod, State::Ready);
        }
    }
    fn put(&mut self, key: Key, pod: Arc<Candidate>, state: State) {
        self.remove(&key);
        self.arrivals += 1;
        let priority = pod.view.spec.priority.unwrap_or(0);
        let rank = (Reverse(priority), pod.view.metadata.creation_timestamp, self.arrivals, key.clone());
        match &state {
            State::Ready => drop(self.ready.insert(rank.clone())),
            State::BackingOff(at, false) => drop(self.backing_off.insert((*at, key.clone()))),
            State::BackingOff(at, true) => drop(self.strict.insert((*at, key.clone()))),
            State::Nowhere => {
                if pod.is_kept_by_rules {
                    self.kept_by_rules.insert(key.clone());
                }
                if pod.is_kept_by_volumes {
                    self.kept_by_volumes.insert(key.clone());
                }
                self.nowhere.insert(key.clone());
            }
            State::Held(_) => drop(self.held.insert(key.clone())),
        }
        self.pods.insert(key, Waiting { pod, state, rank });
    }
    /// The pod waits no more.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Candidate>> {
        let Waiting { pod, state, rank } = self.pods.remove(key)?;
        match state {
            State::Ready => drop(self.ready.remove(&rank)),
            State::BackingOff(at, false) => drop(self.backing_off.remove(&(at, key.clone()))),
            State::BackingOff(at, true) => drop(self.strict.remove(&(at, key.clone()))),
            State::Nowhere => {
                self.kept_by_rules.remove(key);
                self.kept_by_volumes.remove(key);
                self.nowhere.remove(key);
            }
            State::Held(_) => drop(self.held.remove(key)),
        }
        Some(pod)
    }
    /// Number of waiting pods.
    pub(super) fn len(&self) -> usize {
        self.pods.len()
    }
    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(priority: i32, created: &str) -> Arc<Candidate> {
        let pod =
            json!({"metadata": {"name": "a", "creationTimestamp": created}, "spec": {"priority": priority}});
        Arc::new(Candidate::new(Arc::new(serde_json::from_str(&pod.to_string()).unwrap())))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn priority_comes_before_age() {
        let mut queue = Queue::default();
        queue.ready(Key::new("d", "young"), pod(0, "2026-01-02T00:00:00Z"));
        queue.ready(Key::new("d", "old"), pod(0, "2026-01-01T00:00:00Z"));
        queue.ready(Key::new("d", "high"), pod(9, "2026-01-03T00:00:00Z"));
        let order: Vec<String> =
            std::iter::from_fn(|| queue.pop(at(0))).map(|(key, _)| key.name().to_owned()).collect();
        assert_eq!(order, ["high", "old", "young"]);
    }

    #[test]
    fn a_failed_binding_waits_its_time_and_a_misfit_only_for_ready_ones() {
        let mut queue = Queue::default();
        let tried = |attempts| {
            Arc::new(Candidate {
                attempts,
                tried: Some(at(0)),
                ..Candidate::clone(&pod(0, "2026-01-01T00:00:00Z"))
            })
        };
        queue.failed(Key::new("d", "failed"), tried(2), at(0));
        assert!(queue.pop(at(1)).is_none() && !queue.has_ready());
        assert_eq!(queue.next_strict(), Some(at(2)));
        queue.nowhere(Key::new("d", "nowhere"), tried(1));
        assert!(queue.pop(at(1)).is_none());
        queue.retry(at(0), |_, _| true);
        assert_eq!(queue.pop(at(0)).unwrap().0.name(), "nowhere");
        assert_eq!(queue.pop(at(2)).unwrap().0.name(), "failed");
        assert!(queue.is_empty());
    }

    #[test]
    fn a_pod_that_others_go_for_waits_until_they_were_asked_to() {
        let mut queue = Queue::default();
        let key = Key::new("d", "held");
        queue.hold(key.clone(), pod(0, "2026-01-01T00:00:00Z"));
        queue.retry(at(0), |_, _| false);
        queue.release(&key, at(0));
        assert!(queue.pop(at(0)).is_none() && !queue.is_held(&key), "nothing changed for it");
        queue.hold(key.clone(), pod(0, "2026-01-01T00:00:00Z"));
        queue.retry(at(0), |_, _| true);
        assert!(queue.pop(at(0)).is_none() && queue.is_held(&key));
        queue.release(&key, at(0));
        assert_eq!(queue.pop(at(0)).unwrap().0, key);
    }

    #[test]
    fn waiting_times_double_up_to_ten_seconds() {
        let seconds: Vec<i64> = (1..7).map(|attempts| backoff(attempts).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
    }
}
