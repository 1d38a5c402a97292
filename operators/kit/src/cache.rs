//! The watch cache: one watch and one decoded, indexed copy per (view, filter), however many operators read it.
//!
//! Invariants: subscribers are called after the map has changed, in the watch's order, deletes included; they only mark
//! keys, so a slow operator never holds the watch up. A relist drops what is gone and never goes back in time.
//! `wait` returns once the map has caught up with a write (K3). An object that cannot be decoded is logged once and left
//! out; the watch goes on (K5).
//! Deliberately absent: kube-runtime's shared streams (they lose deletes) and its reflector store (no index); of
//! kube-runtime only `watcher` is used.
//! Upstream: client-go `tools/cache/{reflector,shared_informer,thread_safe_store}.go`.

mod pool;
mod store;
mod watching;
mod wire;

pub use pool::CachePool;
pub use store::{Index, Values};

use crate::{
    kind::{Key, Kind},
    views::View,
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};
use store::Store;
use tokio::sync::{Notify, watch};

/// What part of a kind is watched; the default is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// One namespace; empty for all.
    pub namespace: Box<str>,
    /// Label selector; empty for all.
    pub labels: Box<str>,
    /// Field selector; empty for all.
    pub fields: Box<str>,
}

impl Filter {
    /// Whether everything is watched.
    pub fn is_everything(&self) -> bool {
        self.namespace.is_empty() && self.labels.is_empty() && self.fields.is_empty()
    }
    /// Whether an object of this name may be in the part, as far as names tell.
    pub(crate) fn may_hold(&self, key: &Key) -> bool {
        let named = |name: &str| name.contains(',') || name == key.name();
        (self.namespace.is_empty() || *self.namespace == *key.namespace())
            && self.fields.strip_prefix("metadata.name=").is_none_or(named)
    }
    /// Only objects with these labels.
    pub fn labels(selector: &str) -> Self {
        Self { labels: selector.into(), ..Self::default() }
    }
    /// Only objects with these fields.
    pub fn fields(selector: &str) -> Self {
        Self { fields: selector.into(), ..Self::default() }
    }
}

/// One change of one object: created (no old), deleted (no new), or changed.
#[derive(Clone, Debug)]
pub struct Change<V> {
    /// Before.
    pub old: Option<Arc<V>>,
    /// After.
    pub new: Option<Arc<V>>,
}

impl<V: View> Change<V> {
    /// What there is: the new object, or the deleted one.
    pub fn latest(&self) -> Option<&Arc<V>> {
        self.new.as_ref().or(self.old.as_ref())
    }
    /// Both, the old first.
    pub fn both(&self) -> impl Iterator<Item = &Arc<V>> {
        self.old.iter().chain(&self.new)
    }
}

type Subscriber<V> = Box<dyn Fn(&Change<V>) + Send + Sync>;

struct Inner<V> {
    kind: Kind,
    filter: Filter,
    store: RwLock<Store<V>>,
    subscribers: Mutex<Subscribers<V>>,
    revision: AtomicU64,
    moved: Notify,
    synced: watch::Sender<bool>,
}

struct Subscribers<V> {
    next: u64,
    list: HashMap<u64, Subscriber<V>>,
}

/// A watch cache; clones share it. It lives as long as its pool.
pub struct Cache<V>(Arc<Inner<V>>);

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> std::fmt::Debug for Cache<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cache({})", self.0.kind)
    }
}

/// Ends a subscription when dropped.
pub struct Subscription(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

impl<V: View> Cache<V> {
    /// A cache that nothing fills but `apply`, `delete` and `synced`: tests, and the pool before it starts a watch.
    pub fn detached(kind: Kind, filter: Filter) -> Self {
        Self(Arc::new(Inner {
            kind,
            filter,
            store: RwLock::default(),
            subscribers: Mutex::new(Subscribers { next: 0, list: HashMap::new() }),
            revision: AtomicU64::new(0),
            moved: Notify::new(),
            synced: watch::Sender::new(false),
        }))
    }
    /// What kind it holds.
    pub fn kind(&self) -> &Kind {
        &self.0.kind
    }
    /// What part of the kind it holds.
    pub fn filter(&self) -> &Filter {
        &self.0.filter
    }
    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<V>> {
        self.0.store.read().get(key)
    }
    /// Objects by a declared index, in no order. An index that was never declared holds nothing.
    pub fn by(&self, index: &Index<V>, value: &str) -> Vec<Arc<V>> {
        self.0.store.read().by(index.name, value)
    }
    /// All objects, in no order.
    pub fn list(&self) -> Vec<Arc<V>> {
        self.0.store.read().objects().cloned().collect()
    }
    /// Number of objects.
    pub fn len(&self) -> usize {
        self.0.store.read().len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Adds an index, unless it is there.
    pub fn index(&self, index: Index<V>) {
        self.0.store.write().add_index(index);
    }
    /// Highest resourceVersion seen.
    pub fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::Acquire)
    }
    /// Waits until the first complete list has arrived.
    pub async fn ready(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        drop(self.0.synced.subscribe().wait_for(|synced| *synced).await);
    }
    /// Waits until the cache has seen this resourceVersion of its kind (K3).
    pub async fn wait(&self, resource_version: u64) {
        self.wait_for(|cache| cache.revision() >= resource_version).await;
    }
    /// Waits until the object with this uid has left the cache (K3 for deletes).
    pub async fn wait_gone(&self, key: &Key, uid: &str) {
        self.wait_for(|cache| cache.get(key).is_none_or(|object| &*object.meta().uid != uid)).await;
    }
    /// Waits until the object with this uid is being deleted, or gone.
    pub async fn wait_deleted(&self, key: &Key, uid: &str) {
        let settled = |object: Arc<V>| object.meta().is_deleting() || &*object.meta().uid != uid;
        self.wait_for(|cache| cache.get(key).is_none_or(settled)).await;
    }
    async fn wait_for(&self, reached: impl Fn(&Self) -> bool) {
        loop {
            let moved = self.0.moved.notified();
            tokio::pin!(moved);
            // Registered before the check, so that a change in between is not missed.
            moved.as_mut().enable();
            if reached(self) {
                return;
            }
            moved.await;
        }
    }
    /// Calls `on` for every object there is and for every change from now on, until the subscription is dropped. `on` runs
    /// in the watch: it must not block, and may see an object twice at the start.
    pub fn subscribe(&self, on: impl Fn(&Change<V>) + Send + Sync + 'static) -> Subscription {
        let mut subscribers = self.0.subscribers.lock();
        for object in self.list() {
            on(&Change { old: None, new: Some(object) });
        }
        let id = subscribers.next;
        subscribers.next += 1;
        subscribers.list.insert(id, Box::new(on));
        let inner = Arc::downgrade(&self.0);
        Subscription(Some(Box::new(move || {
            if let Some(inner) = Weak::upgrade(&inner) {
                inner.subscribers.lock().list.remove(&id);
            }
        })))
    }
    /// Takes in a created or changed object.
    pub fn apply(&self, object: Arc<V>) {
        let revision = object.meta().resource_version;
        let change = self.0.store.write().apply(object);
        self.publish(revision, change);
    }
    /// Takes in a deleted object, in its last state.
    pub fn delete(&self, object: &V) {
        let change = self.0.store.write().delete(&object.key());
        self.publish(object.meta().resource_version, change);
    }
    /// Takes in that an object cannot be read: it is as if it were not there.
    pub(crate) fn leave_out(&self, key: &Key, revision: u64) {
        let change = self.0.store.write().delete(key);
        self.publish(revision, change);
    }
    /// A relist begins.
    pub(crate) fn relist(&self) {
        self.0.store.write().relist();
    }
    /// The list is complete: what it did not name is gone.
    pub fn synced(&self) {
        let (revision, changes) = self.0.store.write().relisted();
        for change in changes {
            self.publish(0, Some(change));
        }
        self.publish(revision, None);
        self.0.synced.send_replace(true);
    }
    fn publish(&self, revision: u64, change: Option<Change<V>>) {
        if let Some(change) = change {
            for on in self.0.subscribers.lock().list.values() {
                on(&change);
            }
        }
        // Objects of a list arrive in no order, so until it is complete the revision stands still.
        if !self.0.store.read().is_relisting() {
            self.0.revision.fetch_max(revision, Ordering::AcqRel);
        }
        self.0.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
