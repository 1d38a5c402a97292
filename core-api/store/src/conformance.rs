//! The suite that every store must pass, whatever it keeps its bytes in.
//!
//! A store's tests give it a [`Place`] and run every check on a fresh one:
//! `for (name, check) in conformance::CHECKS { check(&place).await }`, and random histories with
//! [`history::run`]. A check panics with what it saw.

mod checks;
pub mod history;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::{Change, Key, Loaded, Published, Revision, Store};
pub use checks::CHECKS;

/// Where a store keeps its bytes.
pub trait Place: Send + Sync {
    /// Opens the store; again after it was closed, which is a restart.
    fn open(&self, published: Arc<dyn Published>) -> Arc<dyn Store>;
}

/// One check.
pub type Check = for<'a> fn(&'a dyn Place) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Opens a store with a new mirror.
pub fn open(place: &dyn Place) -> (Arc<dyn Store>, Arc<Mirror>) {
    let mirror = Arc::new(Mirror::default());
    let published: Arc<dyn Published> = Arc::clone(&mirror) as _;
    (place.open(published), mirror)
}

/// A published state that keeps everything, and insists on order.
#[derive(Default)]
pub struct Mirror {
    state: Mutex<State>,
}

/// What a mirror has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Where the history starts.
    pub compacted: Revision,
    /// The last revision.
    pub revision: Revision,
    /// The objects at the compacted revision.
    pub base: BTreeMap<Key, (Revision, Bytes)>,
    /// Every later change.
    pub changes: Vec<Change>,
    /// The live objects.
    pub live: BTreeMap<Key, (Revision, Bytes)>,
}

impl State {
    fn apply(&mut self, change: &Change) {
        apply(&mut self.live, change);
        self.changes.push(change.clone());
    }
}

/// Applies a change to a map of live objects.
fn apply(live: &mut BTreeMap<Key, (Revision, Bytes)>, change: &Change) {
    match &change.value {
        Some(value) => {
            live.insert(change.key.clone(), (change.revision, value.bytes.clone()));
        }
        None => drop(live.remove(&change.key)),
    }
}

/// What changes make of nothing.
pub fn live_objects<'a>(changes: impl IntoIterator<Item = &'a Change>) -> BTreeMap<Key, (Revision, Bytes)> {
    let mut live = BTreeMap::new();
    changes.into_iter().for_each(|change| apply(&mut live, change));
    live
}

impl Mirror {
    /// A copy of everything.
    pub fn state(&self) -> State {
        self.state.lock().clone()
    }

    /// A live object's bytes.
    pub fn get(&self, key: &str) -> Option<Bytes> {
        self.state.lock().live.get(key).map(|(_, bytes)| bytes.clone())
    }
}

impl Published for Mirror {
    fn head(&self, key: &str) -> Option<Revision> {
        self.state.lock().live.get(key).map(|(revision, _)| *revision)
    }

    fn load(&self, loaded: Loaded) {
        let Loaded { compacted, revision, base, changes } = loaded;
        let count = base.len();
        let base: BTreeMap<_, _> =
            base.into_iter().map(|object| (object.key, (object.revision, object.bytes))).collect();
        assert_eq!(base.len(), count, "an object was loaded twice");
        assert!(base.values().all(|(at, _)| *at <= compacted), "the base has what is not compacted");
        let mut state = State { compacted, revision, live: base.clone(), base, changes: Vec::new() };
        let mut last = compacted;
        for change in &changes {
            assert!(change.revision > compacted && change.revision >= last, "loaded out of order");
            last = change.revision;
            state.apply(change);
        }
        assert!(last <= revision, "loaded a change after the last revision");
        *self.state.lock() = state;
    }

    fn publish(&self, revision: Revision, changes: &[Change]) {
        let mut state = self.state.lock();
        for change in changes {
            let is_next = change.revision > state.revision;
            let is_same = state.changes.last().is_some_and(|last| last.revision == change.revision);
            assert!(is_next || is_same, "{} was published after {}", change.revision, state.revision);
            state.revision = change.revision;
            state.apply(change);
        }
        assert_eq!(state.revision, revision, "the last change has the batch's revision");
    }
}
