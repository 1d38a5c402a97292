//! The decider: many objects in an index, a queue of items, one plan per item against the index.
//!
//! Flow: feeds take changes into the index and mark items; `plan` takes one item and the index, purely in memory, and may
//! note in the index what it assumes (a pod on its node); the kit writes; `settle` confirms or takes back the assumption.
//! Plans are made one after the other; their writes run at once. No await happens while the index is locked.
//! Shape of: scheduler, garbage collector, node lifecycle.

use crate::{
    act::{Results, Writer},
    cache::{CachePool, Change},
    error::Result,
    kind::Kind,
    operator::Plan,
    queue::Queue,
    rbac::{Read, Write},
    reader::Reader,
    run::{RunConfig, await_access, first_error, supervise, work},
    views::View,
    watch::{Watch, WatchOf, Wiring},
};
use futures::future::{BoxFuture, FutureExt as _};
use jiff::Timestamp;
use kube::Client;
use parking_lot::Mutex;
use std::{fmt::Debug, hash::Hash, sync::Arc, time::Duration};
use tracing::Instrument;

/// A decider.
pub trait Decider: Send + Sync + 'static {
    /// Name: reporting controller of events, field manager, label of metrics.
    const NAME: &'static str;
    /// What the feeds build up.
    type Index: Send + 'static;
    /// What is decided about.
    type Item: Clone + Eq + Hash + Debug + Send + Sync + 'static;

    /// An empty index.
    fn index(&self) -> Self::Index;
    /// What it watches.
    fn feeds(&self) -> Vec<Watch<Feed<Self::Index, Self::Item>>>;
    /// What it reads beside its feeds; for permissions.
    fn reads(&self) -> Vec<Read> {
        Vec::new()
    }
    /// What it may write.
    fn writes(&self) -> Vec<Write>;
    /// Decides about one item. Pure but for the index.
    fn plan(&self, item: &Self::Item, index: &mut Self::Index, now: Timestamp) -> Plan;
    /// Takes note of what came of the writes; items marked in `wake` are looked at again.
    fn settle(
        &self,
        item: &Self::Item,
        index: &mut Self::Index,
        results: &Results,
        wake: &Queue<Self::Item>,
    ) {
        let _ = (item, index, results, wake);
    }
    /// What runs beside the decisions: watches of kinds found at run time, reads that a plan asked for. It must not end.
    fn attend(&self, reader: Reader, feed: Feed<Self::Index, Self::Item>) -> BoxFuture<'static, ()> {
        drop((reader, feed));
        std::future::pending().boxed()
    }
    /// Whether an item waits for the caches to show its writes before it is looked at again (K3). A decider whose index
    /// assumes its own writes need not.
    fn catches_up(&self) -> bool {
        true
    }
}

/// Where a decider's watches lead to: its index and its queue.
pub struct Feed<I, K> {
    index: Arc<Mutex<I>>,
    queue: Queue<K>,
}

impl<I, K> Clone for Feed<I, K> {
    fn clone(&self) -> Self {
        Self { index: self.index.clone(), queue: self.queue.clone() }
    }
}

impl<I, K> Feed<I, K> {
    /// Changes the index, marking items.
    pub fn take_in<R>(&self, with: impl FnOnce(&mut I, &Queue<K>) -> R) -> R {
        with(&mut self.index.lock(), &self.queue)
    }
}

/// A watch whose changes are taken into the index, marking items.
pub fn feed<V: View, I: Send + 'static, K: Clone + Eq + Hash + Send + Sync + 'static>(
    kind: Kind,
    take_in: impl Fn(&mut I, &Change<V>, &Queue<K>) + Send + Sync + 'static,
) -> WatchOf<V, Feed<I, K>> {
    WatchOf::of(kind).wakes(move |change: &Change<V>, to: &Feed<I, K>| {
        take_in(&mut to.index.lock(), change, &to.queue);
    })
}

/// Runs a decider until shutdown. Must be awaited inside a tokio runtime.
pub async fn decide<D: Decider>(decider: D, client: Client, config: RunConfig) {
    let decider = Arc::new(decider);
    let (leadership, shutdown) = (config.leadership.clone(), config.shutdown.clone());
    let once = move || decide_loop(decider.clone(), client.clone(), config.clone()).boxed();
    supervise(once, leadership, shutdown).instrument(tracing::info_span!("operator", name = D::NAME)).await;
}

async fn decide_loop<D: Decider>(decider: Arc<D>, client: Client, config: RunConfig) {
    let caches = config.caches.clone().unwrap_or_else(|| CachePool::own(client.clone()));
    let feeds = decider.feeds();
    await_access(client.clone(), caches.clone(), feeds.iter().map(Watch::watched).cloned().collect()).await;
    let to = Feed { index: Arc::new(Mutex::new(decider.index())), queue: Queue::default() };
    let wiring = Wiring::connect(&caches, &feeds, &to);
    wiring.ready().await;
    let attending = decider.attend(Reader::new(client.clone(), caches.clone()), to.clone());
    let writer = Writer::start(client, D::NAME, decider.writes(), &config.identity, config.clock.clone());
    let counters = config.metrics.of(D::NAME);
    let deciding = Deciding { decider, to: to.clone(), writer, wiring, config: config.clone() };
    let deciding = Arc::new(deciding);
    let working = work(&to.queue, config.workers, &counters, move |item| {
        let deciding = deciding.clone();
        async move { deciding.decide(item).await }.boxed()
    });
    tokio::select! {
        () = working => {}
        () = attending => {}
    }
}

struct Deciding<D: Decider> {
    decider: Arc<D>,
    to: Feed<D::Index, D::Item>,
    writer: Writer,
    wiring: Wiring,
    config: RunConfig,
}

impl<D: Decider> Deciding<D> {
    async fn decide(&self, item: D::Item) -> Result<Option<Duration>> {
        let plan = self.decider.plan(&item, &mut self.to.index.lock(), self.config.clock.now());
        let results = self.writer.act(&plan.actions).await;
        self.decider.settle(&item, &mut self.to.index.lock(), &results, &self.to.queue);
        if self.decider.catches_up() {
            self.wiring.caught_up(&results.written()).await;
        }
        match first_error(results) {
            Some(error) => Err(error),
            None => Ok(plan.requeue_after),
        }
    }
}
