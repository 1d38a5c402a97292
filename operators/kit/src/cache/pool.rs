//! The caches of a process: one per (view, kind, filter), started on first use, ended with the pool.
//!
//! A pool fills its caches with one client. When operators share it, `run` first asks the server whether the operator
//! itself may list and watch (`shared`).

use super::{Cache, Filter, watching};
use crate::{kind::Kind, views::View};
use kube::Client;
use parking_lot::Mutex;
use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::Arc,
};
use tokio::task::JoinHandle;

type Slot = (TypeId, Kind, Filter);
type Running = (Box<dyn Any + Send>, JoinHandle<()>);

struct Inner {
    client: Client,
    shared: bool,
    slots: Mutex<HashMap<Slot, Running>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for (_, task) in self.slots.get_mut().values() {
            task.abort();
        }
    }
}

/// A set of caches; clones share it.
#[derive(Clone)]
pub struct CachePool(Arc<Inner>);

impl std::fmt::Debug for CachePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CachePool")
    }
}

impl CachePool {
    /// Caches of one operator, filled with its own identity.
    pub fn own(client: Client) -> Self {
        Self::new(client, false)
    }
    /// Caches of many operators, filled with an identity of their own; each operator's permission is checked.
    pub fn shared(client: Client) -> Self {
        Self::new(client, true)
    }
    fn new(client: Client, shared: bool) -> Self {
        Self(Arc::new(Inner { client, shared, slots: Mutex::default() }))
    }
    /// Whether operators must be checked before they read.
    pub fn is_shared(&self) -> bool {
        self.0.shared
    }
    /// The cache of a view of a kind; its watch starts with the first call. Must be called inside a tokio runtime.
    pub fn cache<V: View>(&self, kind: &Kind, filter: &Filter) -> Cache<V> {
        let slot = (TypeId::of::<V>(), kind.clone(), filter.clone());
        let mut slots = self.0.slots.lock();
        if let Some(cache) = slots.get(&slot).and_then(|(cache, _)| cache.downcast_ref::<Cache<V>>()) {
            return cache.clone();
        }
        let cache = Cache::<V>::detached(kind.clone(), filter.clone());
        let task = tokio::spawn(watching::fill(cache.clone(), self.0.client.clone()));
        slots.insert(slot, (Box::new(cache.clone()), task));
        cache
    }
    /// Ends the watch of a kind that is no longer served, and forgets its objects.
    pub fn forget<V: View>(&self, kind: &Kind, filter: &Filter) {
        let slot = (TypeId::of::<V>(), kind.clone(), filter.clone());
        if let Some((_, task)) = self.0.slots.lock().remove(&slot) {
            task.abort();
        }
    }
}
