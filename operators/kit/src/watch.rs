//! Watches as data: what an operator watches, and which keys a change wakes. Feeds wiring, RBAC and tests.
//!
//! Invariant: a change wakes by its old and its new state, so an object that left an owner wakes the old owner too.

use crate::{
    act::Written,
    cache::{Cache, CachePool, Change, Filter, Index, Subscription},
    kind::{Key, Kind},
    queue::Queue,
    reader::Reader,
    views::{Typed, View, WholeView},
};
use futures::future::{BoxFuture, FutureExt, join_all};
use std::{sync::Arc, time::Duration};

/// What is watched: a kind and a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Kind.
    pub kind: Kind,
    /// Part of the kind.
    pub filter: Filter,
}

/// Where a reconciler's watches lead to.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Caches, for looking up whom a change concerns.
    pub reader: Reader,
    /// Keys of primary objects to reconcile.
    pub queue: Queue<Key>,
}

type Connect<T> = Arc<dyn Fn(&CachePool, &T) -> Connection + Send + Sync>;

/// A declared watch, whatever its view. `T` is where its changes lead to.
pub struct Watch<T = Trigger> {
    watched: Watched,
    connect: Connect<T>,
}

impl<T> std::fmt::Debug for Watch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.watched.fmt(f)
    }
}

/// A running subscription with its cache.
pub(crate) struct Connection {
    cache: Arc<dyn Caught>,
    _subscription: Option<Subscription>,
}

/// A cache of any view, for waiting.
trait Caught: Send + Sync {
    fn watched(&self) -> (&Kind, &Filter);
    fn ready(&self) -> BoxFuture<'_, ()>;
    fn caught_up<'a>(&'a self, written: &'a Written) -> BoxFuture<'a, ()>;
}

impl<V: View> Caught for Cache<V> {
    fn watched(&self) -> (&Kind, &Filter) {
        (self.kind(), self.filter())
    }
    fn ready(&self) -> BoxFuture<'_, ()> {
        Cache::ready(self).boxed()
    }
    fn caught_up<'a>(&'a self, written: &'a Written) -> BoxFuture<'a, ()> {
        match written {
            Written::At { resource_version, .. } => self.wait(*resource_version).boxed(),
            Written::Deleted { key, uid, .. } => self.wait_deleted(key, uid).boxed(),
            Written::Nothing => std::future::ready(()).boxed(),
        }
    }
}

/// A watch of one view, still being declared.
pub struct WatchOf<V, T = Trigger> {
    watched: Watched,
    indexes: Vec<Index<V>>,
    wakes: Option<Arc<Wakes<V, T>>>,
}

type Wakes<V, T> = dyn Fn(&Change<V>, &T) + Send + Sync;

impl Watch {
    /// The operator's own objects: a change wakes the object itself.
    pub fn primary<V: Typed>() -> WatchOf<V> {
        WatchOf::of(V::KIND).wakes(|change: &Change<V>, trigger: &Trigger| {
            if let Some(object) = change.latest() {
                trigger.queue.mark(object.key());
            }
        })
    }
    /// Objects that a `P` controls: a change wakes the controller, the former one too.
    pub fn owned<V: Typed, P: Typed>() -> WatchOf<V> {
        WatchOf::of(V::KIND).index(Index::CONTROLLER).wakes(wake_controllers::<V, P>)
    }
    /// Objects of a kind that a `P` wants whole (`children`): a change wakes the controller, the former one too.
    pub fn children<P: Typed>(kind: Kind) -> WatchOf<WholeView> {
        WatchOf::of(kind).index(Index::CONTROLLER).wakes(wake_controllers::<WholeView, P>)
    }
    /// Objects that are read, and whose changes wake the keys that `find` names.
    pub fn mapped<V: Typed>(
        find: impl Fn(&Change<V>, &Reader, &mut dyn FnMut(Key)) + Send + Sync + 'static,
    ) -> WatchOf<V> {
        WatchOf::of(V::KIND).wakes(move |change: &Change<V>, trigger: &Trigger| {
            find(change, &trigger.reader, &mut |key| trigger.queue.mark(key));
        })
    }
    /// Objects that are only read.
    pub fn read<V: Typed>() -> WatchOf<V> {
        WatchOf::of(V::KIND)
    }
}

fn wake_controllers<V: View, P: Typed>(change: &Change<V>, trigger: &Trigger) {
    for object in change.both() {
        if let Some(key) = crate::owner::key_of_controller::<P>(object.meta()) {
            trigger.queue.mark(key);
        }
    }
}

impl<T> Watch<T> {
    /// What is watched.
    pub fn watched(&self) -> &Watched {
        &self.watched
    }
}

impl<V: View, T: Clone + Send + Sync + 'static> WatchOf<V, T> {
    /// A watch of a kind; also of kinds found at run time.
    pub fn of(kind: Kind) -> Self {
        Self { watched: Watched { kind, filter: Filter::default() }, indexes: Vec::new(), wakes: None }
    }
    /// Only part of the kind.
    #[must_use]
    pub fn only(mut self, filter: Filter) -> Self {
        self.watched.filter = filter;
        self
    }
    /// With an index.
    #[must_use]
    pub fn index(mut self, index: Index<V>) -> Self {
        self.indexes.push(index);
        self
    }
    /// What a change does; called in the watch, so it must not block. A second call adds to the first.
    #[must_use]
    pub fn wakes(mut self, wakes: impl Fn(&Change<V>, &T) + Send + Sync + 'static) -> Self {
        self.wakes = Some(match self.wakes.take() {
            None => Arc::new(wakes),
            Some(first) => Arc::new(move |change: &Change<V>, to: &T| {
                first(change, to);
                wakes(change, to);
            }),
        });
        self
    }
}

impl<V: View> WatchOf<V> {
    /// Also wakes the keys that `find` names.
    #[must_use]
    pub fn also(
        self,
        find: impl Fn(&Change<V>, &Reader, &mut dyn FnMut(Key)) + Send + Sync + 'static,
    ) -> Self {
        self.wakes(move |change, trigger| {
            find(change, &trigger.reader, &mut |key| trigger.queue.mark(key));
        })
    }
}

impl<V: View, T: Clone + Send + Sync + 'static> From<WatchOf<V, T>> for Watch<T> {
    fn from(of: WatchOf<V, T>) -> Self {
        let WatchOf { watched, indexes, wakes } = of;
        let Watched { kind, filter } = watched.clone();
        let connect: Connect<T> = Arc::new(move |pool: &CachePool, to: &T| {
            let cache = pool.cache::<V>(&kind, &filter);
            indexes.iter().for_each(|index| cache.index(*index));
            let subscription = wakes.clone().map(|wakes| {
                let to = to.clone();
                cache.subscribe(move |change| wakes(change, &to))
            });
            Connection { cache: Arc::new(cache), _subscription: subscription }
        });
        Self { watched, connect }
    }
}

/// All watches of one operator, running.
pub(crate) struct Wiring(Vec<Connection>);

/// A watch that lags this far behind is broken; the operator goes on and will conflict instead.
const LONGEST_LAG: Duration = Duration::from_secs(5);
/// A filtered watch may never show an object that was written.
const LONGEST_FILTERED_LAG: Duration = Duration::from_millis(500);

impl Wiring {
    pub(crate) fn connect<T>(pool: &CachePool, watches: &[Watch<T>], to: &T) -> Self {
        Self(watches.iter().map(|watch| (watch.connect)(pool, to)).collect())
    }
    /// Waits until every cache holds its first complete list.
    pub(crate) async fn ready(&self) {
        join_all(self.0.iter().map(|connection| connection.cache.ready())).await;
    }
    /// Waits until the caches have seen what was written (K3).
    pub(crate) async fn caught_up(&self, written: &[Written]) {
        for written in written {
            let Some(kind) = written.kind() else { continue };
            for cache in self.0.iter().map(|connection| &connection.cache) {
                let (own, filter) = cache.watched();
                if own != kind || written.key().is_some_and(|key| !filter.may_hold(key)) {
                    continue;
                }
                let lag = if filter.is_everything() { LONGEST_LAG } else { LONGEST_FILTERED_LAG };
                if tokio::time::timeout(lag, cache.caught_up(written)).await.is_err() {
                    tracing::debug!(%kind, "cache has not seen a write yet");
                }
            }
        }
    }
}
