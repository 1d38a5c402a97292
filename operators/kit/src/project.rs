//! The projector: many objects in an index, projected into one table in the kernel or in memory.
//!
//! Flow: feeds take changes into the index and mark keys; `render` turns index and marked keys into a change, purely; the
//! sink applies it. What is marked while the sink works goes into the next change, so bursts become one.
//! Guarantees: the first change after a start covers everything, after the sink has read back what an earlier run left;
//! a change that failed is rendered anew, in full, after a backoff. What comes meanwhile waits for that, unless the rows of
//! the table stand alone.
//! Shape of: service proxy, dns, ingress, network policy, routes.

use crate::{
    backoff::delay,
    cache::{CachePool, Change},
    error::Result,
    kind::Kind,
    metrics::Outcome,
    rbac::Read,
    run::{RunConfig, await_access, supervise},
    views::View,
    watch::{Watch, WatchOf, Wiring},
};
use kube::Client;
use parking_lot::Mutex;
use std::{collections::HashSet, future::Future, hash::Hash, sync::Arc, time::Instant};
use tokio::sync::Notify;
use tracing::Instrument;

/// A projector's pure half.
pub trait Projection: Send + Sync + 'static {
    /// Name, label of metrics.
    const NAME: &'static str;
    /// Whether a change may be applied though an earlier one failed: then a failure of one row does not hold up the others,
    /// and everything is tried again after the backoff.
    const ROWS_STAND_ALONE: bool = false;
    /// What the feeds build up.
    type Index: Send + 'static;
    /// What is marked as changed.
    type Key: Eq + Hash + Send + 'static;
    /// What the sink applies.
    type Change: Send;

    /// An empty index.
    fn index(&self) -> Self::Index;
    /// What it watches.
    fn feeds(&self) -> Vec<Watch<Feed<Self::Index, Self::Key>>>;
    /// What it reads beside its feeds; for permissions.
    fn reads(&self) -> Vec<Read> {
        Vec::new()
    }
    /// The change that brings the table up to date.
    fn render(&self, index: &Self::Index, dirty: &Dirty<Self::Key>) -> Self::Change;
}

/// A projector's other half: the table.
pub trait Sink<C>: Send {
    /// Learns what an earlier run left in the table. Called once before the first change.
    fn read_back(&mut self) -> impl Future<Output = Result<()>> + Send {
        std::future::ready(Ok(()))
    }
    /// Applies a change.
    fn apply(&mut self, change: C) -> impl Future<Output = Result<()>> + Send;
}

/// What changed since the last change was rendered.
#[derive(Debug)]
pub enum Dirty<K> {
    /// Everything: the start, or after a failure.
    All,
    /// These keys.
    Keys(HashSet<K>),
}

impl<K: Eq + Hash> Dirty<K> {
    /// One more key.
    pub fn mark(&mut self, key: K) {
        if let Self::Keys(keys) = self {
            keys.insert(key);
        }
    }
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Keys(keys) if keys.is_empty())
    }
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::Keys(HashSet::new()))
    }
}

struct State<I, K> {
    index: I,
    dirty: Dirty<K>,
}

struct Shared<I, K> {
    state: Mutex<State<I, K>>,
    wake: Notify,
}

/// Where a projector's watches lead to.
pub struct Feed<I, K>(Arc<Shared<I, K>>);

impl<I, K> Clone for Feed<I, K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// A watch whose changes are taken into the index, marking keys.
pub fn feed<V: View, I: Send + 'static, K: Eq + Hash + Send + 'static>(
    kind: Kind,
    take_in: impl Fn(&mut I, &Change<V>, &mut Dirty<K>) + Send + Sync + 'static,
) -> WatchOf<V, Feed<I, K>> {
    WatchOf::of(kind).wakes(move |change: &Change<V>, to: &Feed<I, K>| {
        let mut state = to.0.state.lock();
        let State { index, dirty } = &mut *state;
        take_in(index, change, dirty);
        let woken = !dirty.is_empty();
        drop(state);
        if woken {
            to.0.wake.notify_one();
        }
    })
}

/// Runs a projector until shutdown. Must be awaited inside a tokio runtime.
pub async fn project<P: Projection, S: Sink<P::Change>>(
    projection: P,
    sink: S,
    client: Client,
    config: RunConfig,
) {
    let sink = tokio::sync::Mutex::new(sink);
    let once = || project_loop(&projection, &sink, client.clone(), config.clone());
    supervise(once, config.leadership.clone(), config.shutdown.clone())
        .instrument(tracing::info_span!("operator", name = P::NAME))
        .await;
}

async fn project_loop<P: Projection, S: Sink<P::Change>>(
    projection: &P,
    sink: &tokio::sync::Mutex<S>,
    client: Client,
    config: RunConfig,
) {
    let mut sink = sink.lock().await;
    let caches = config.caches.clone().unwrap_or_else(|| CachePool::own(client.clone()));
    let feeds = projection.feeds();
    await_access(client.clone(), caches.clone(), feeds.iter().map(Watch::watched).cloned().collect()).await;
    let state = Mutex::new(State { index: projection.index(), dirty: Dirty::All });
    let shared = Arc::new(Shared { state, wake: Notify::new() });
    let wiring = Wiring::connect(&caches, &feeds, &Feed(shared.clone()));
    wiring.ready().await;
    let counters = config.metrics.of(P::NAME);
    let mut failures = 0;
    let mut read_back = false;
    // When everything is rendered again after a failure.
    let mut again: Option<tokio::time::Instant> = None;
    loop {
        let started = Instant::now();
        match step(projection, &mut *sink, &shared, &mut read_back).await {
            Ok(()) => counters.count(Outcome::Success, started.elapsed()),
            Err(error) => {
                failures += 1;
                counters.count(Outcome::Error, started.elapsed());
                tracing::warn!(%error, failures, "table was not brought up to date; will try again");
                again.get_or_insert(tokio::time::Instant::now() + delay(failures + 3));
            }
        }
        let Some(due) = again else {
            failures = 0;
            clean(&shared).await;
            continue;
        };
        tokio::select! {
            () = tokio::time::sleep_until(due) => {
                again = None;
                shared.state.lock().dirty = Dirty::All;
            }
            () = clean(&shared), if P::ROWS_STAND_ALONE && read_back => {}
        }
    }
}

/// Waits until something is marked.
async fn clean<I, K: Eq + Hash>(shared: &Shared<I, K>) {
    loop {
        let woken = shared.wake.notified();
        if !shared.state.lock().dirty.is_empty() {
            return;
        }
        woken.await;
    }
}

async fn step<P: Projection, S: Sink<P::Change>>(
    projection: &P,
    sink: &mut S,
    shared: &Shared<P::Index, P::Key>,
    read_back: &mut bool,
) -> Result<()> {
    if !*read_back {
        sink.read_back().await?;
        *read_back = true;
    }
    let change = {
        let mut state = shared.state.lock();
        let dirty = state.dirty.take();
        projection.render(&state.index, &dirty)
    };
    sink.apply(change).await
}
