//! What is remembered between two looks at an autoscaler: recommendations, changes of replicas, selectors.
//!
//! Kept in memory only, as upstream: after a restart the present replicas count as the first recommendation, so nothing
//! is scaled down before the stabilization window has passed.

use parking_lot::Mutex;
use proa_kit::{
    Key, Kind, Timestamp, View,
    views::{HorizontalPodAutoscalerView, PodView},
};
use proa_meta::selector::Selector;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// Of all autoscalers.
#[derive(Debug, Default)]
pub struct Memory {
    histories: Mutex<HashMap<Key, (Box<str>, History)>>,
    /// By namespace.
    selectors: Mutex<HashMap<Box<str>, Selectors>>,
    /// Kinds of scale targets and described objects, found at run time.
    kinds: Mutex<Vec<Kind>>,
}

/// What the autoscalers of a namespace select, by name.
type Selectors = BTreeMap<Box<str>, Selector>;

/// Of one autoscaler.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct History {
    /// What metrics recommended, before anything limited it.
    pub recommendations: Vec<Moment>,
    /// Replicas that were added.
    pub added: Vec<Moment>,
    /// Replicas that were taken away.
    pub removed: Vec<Moment>,
}

/// A number of replicas at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Moment {
    /// How many.
    pub replicas: i32,
    /// When.
    pub at: Timestamp,
}

impl History {
    /// Replicas of moments less than so many seconds ago, added up.
    pub fn sum(moments: &[Moment], seconds: i32, now: Timestamp) -> i32 {
        let recent = moments.iter().filter(|moment| is_within(moment.at, seconds, now));
        recent.fold(0, |sum: i32, moment| sum.saturating_add(moment.replicas))
    }
    /// Forgets what is older.
    fn forget(moments: &mut Vec<Moment>, seconds: i32, now: Timestamp) {
        moments.retain(|moment| is_within(moment.at, seconds, now));
    }
}

/// Whether a time is less than so many seconds ago.
pub fn is_within(at: Timestamp, seconds: i32, now: Timestamp) -> bool {
    now.duration_since(at).as_secs_f64() < f64::from(seconds)
}

/// What a decision leaves to be remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lesson {
    /// Replicas when nothing was remembered yet.
    pub first: Option<Moment>,
    /// The metrics' new recommendation.
    pub recommended: Option<Moment>,
    /// How far back recommendations count, in seconds.
    pub window: i32,
    /// How far back added and removed replicas count, in seconds; none: they do not matter.
    pub periods: Option<(i32, i32)>,
}

impl Memory {
    /// What is remembered of an autoscaler.
    pub fn history(&self, autoscaler: &HorizontalPodAutoscalerView) -> History {
        let histories = self.histories.lock();
        let known = histories.get(&autoscaler.key()).filter(|(uid, _)| *uid == autoscaler.metadata.uid);
        known.map(|(_, history)| history.clone()).unwrap_or_default()
    }

    /// Takes note; `change` is by how much replicas were changed.
    pub fn learn(
        &self,
        autoscaler: &HorizontalPodAutoscalerView,
        lesson: &Lesson,
        change: Option<i32>,
        now: Timestamp,
    ) {
        let uid = &autoscaler.metadata.uid;
        let mut histories = self.histories.lock();
        let (known, history) =
            histories.entry(autoscaler.key()).or_insert_with(|| (uid.clone(), History::default()));
        if known != uid {
            (*known, *history) = (uid.clone(), History::default());
        }
        if lesson.recommended.is_some() {
            History::forget(&mut history.recommendations, lesson.window, now);
        }
        history.recommendations.extend(lesson.first.into_iter().chain(lesson.recommended));
        if let (Some((added, removed)), Some(change)) = (lesson.periods, change) {
            History::forget(&mut history.added, added, now);
            History::forget(&mut history.removed, removed, now);
            let moment = Moment { replicas: change.saturating_abs(), at: now };
            if change > 0 { history.added.push(moment) } else { history.removed.push(moment) }
        }
    }

    /// Notes which pods an autoscaler's target selects, and names autoscalers that select any of `pods`: two at most.
    pub fn select(
        &self,
        autoscaler: &HorizontalPodAutoscalerView,
        selector: &Selector,
        pods: &[Arc<PodView>],
    ) -> Vec<Key> {
        let meta = &autoscaler.metadata;
        let mut all = self.selectors.lock();
        let own = all.entry(meta.namespace.clone()).or_default();
        own.insert(meta.name.clone(), selector.clone());
        // Pods of one template have the same labels.
        let labels: HashSet<_> = pods.iter().map(|pod| &pod.metadata.labels).collect();
        let selects =
            |selector: &Selector| labels.iter().any(|labels| selector.matches(|key| labels.get(key)));
        let found = own.iter().filter(|(_, selector)| selects(selector));
        found.take(2).map(|(name, _)| Key::new(&meta.namespace, name)).collect()
    }

    /// A kind that was found before.
    pub fn kind(&self, group: &str, kind: &str) -> Option<Kind> {
        self.kinds.lock().iter().find(|known| known.group == group && known.kind == kind).cloned()
    }
    /// Remembers a kind.
    pub fn know(&self, kind: &Kind) {
        self.doubt(kind);
        self.kinds.lock().push(kind.clone());
    }
    /// A kind may have changed.
    pub fn doubt(&self, kind: &Kind) {
        self.kinds.lock().retain(|known| (&known.group, &known.kind) != (&kind.group, &kind.kind));
    }

    /// The autoscaler is gone.
    pub fn forget(&self, key: &Key) {
        self.histories.lock().remove(key);
        let mut selectors = self.selectors.lock();
        if let Some(own) = selectors.get_mut(key.namespace()) {
            own.remove(key.name());
            if own.is_empty() {
                selectors.remove(key.namespace());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn autoscaler(name: &str, uid: &str) -> HorizontalPodAutoscalerView {
        serde_json::from_str(&format!(
            r#"{{"metadata": {{"name": "{name}", "namespace": "n", "uid": "{uid}"}}}}"#
        ))
        .unwrap()
    }

    #[test]
    fn what_counts_no_more_is_forgotten() {
        let (memory, own) = (Memory::default(), autoscaler("a", "1"));
        let lesson = |second| Lesson {
            recommended: Some(Moment { replicas: 3, at: at(second) }),
            window: 60,
            periods: Some((15, 30)),
            first: None,
        };
        memory.learn(&own, &lesson(0), Some(2), at(0));
        memory.learn(&own, &lesson(20), Some(-1), at(20));
        let history = memory.history(&own);
        assert_eq!(history.recommendations.len(), 2);
        assert_eq!((history.added.len(), history.removed.len()), (0, 1));
        assert_eq!(History::sum(&history.removed, 15, at(34)), 1);
        assert_eq!(History::sum(&history.removed, 15, at(35)), 0);
        memory.learn(&own, &lesson(61), None, at(61));
        assert_eq!(memory.history(&own).recommendations.len(), 2);
        // Another object of the same name starts anew.
        assert_eq!(memory.history(&autoscaler("a", "2")), History::default());
        memory.forget(&own.key());
        assert_eq!(memory.history(&own), History::default());
    }

    #[test]
    fn pods_of_two_autoscalers_are_noticed() {
        let memory = Memory::default();
        let pod = |label: &str| {
            let json = format!(r#"{{"metadata": {{"labels": {{"app": "{label}"}}}}}}"#);
            Arc::new(serde_json::from_str::<PodView>(&json).unwrap())
        };
        let selector = |text: &str| Selector::parse(text).unwrap();
        assert_eq!(memory.select(&autoscaler("a", "1"), &selector("app=x"), &[pod("x")]).len(), 1);
        assert_eq!(memory.select(&autoscaler("b", "2"), &selector("app=y"), &[pod("y")]).len(), 1);
        let both = memory.select(&autoscaler("b", "2"), &selector("app"), &[pod("y"), pod("x")]);
        assert_eq!(both, [Key::new("n", "a"), Key::new("n", "b")]);
        memory.forget(&Key::new("n", "a"));
        assert_eq!(memory.select(&autoscaler("b", "2"), &selector("app"), &[pod("x")]).len(), 1);
    }
}
