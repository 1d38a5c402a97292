//! Watches of the kinds that quotas name, in their namespaces, as quotas and kinds come and go.
//!
//! Invariant: a watch starts after the quota that needs it was seen, so its first list has all that was charged to the
//! quota by then.

use super::{
    Ledger, Need,
    view::{ClaimView, Costly, PodView, ServiceView},
};
use crate::Wanted;
use futures::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use proa_kit::{
    Change, Filter, Key, Kind, Reader,
    cache::Subscription,
    decide::Feed,
    discovery::{self, Discovery},
    views::ObjectView,
};
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::sync::oneshot;

/// After a definition changed, once more: it may not be served at once.
const SECOND_LOOK: Duration = Duration::from_secs(1);
/// While discovery fails.
const AGAIN: Duration = Duration::from_secs(1);

/// One running watch.
struct Running {
    kind: Kind,
    forget: Box<dyn Fn() + Send>,
    /// Dropped with the watch: whoever waits for its first list gives up.
    _alive: oneshot::Sender<()>,
    _subscription: Subscription,
}

struct Watches {
    reader: Reader,
    feed: Feed<Ledger, Key>,
    running: HashMap<Need, Running>,
    /// First lists; none when the watch has ended before.
    filling: FuturesUnordered<BoxFuture<'static, Option<Need>>>,
    found: Option<Discovery>,
}

/// Keeps them until dropped.
pub(crate) async fn keep(reader: Reader, feed: Feed<Ledger, Key>, wanted: Arc<Wanted>) {
    let mut watches =
        Watches { reader, feed, running: HashMap::new(), filling: FuturesUnordered::new(), found: None };
    let mut look = None;
    loop {
        while !watches.refresh().await {
            tokio::time::sleep(AGAIN).await;
        }
        tokio::select! {
            () = wanted.kinds.notified() => {}
            () = wanted.definitions.notified() => {
                watches.found = None;
                look = Some(tokio::time::Instant::now() + SECOND_LOOK);
            }
            () = until(look) => {
                watches.found = None;
                look = None;
            }
            Some(filled) = watches.filling.next() => {
                if let Some(need) = filled {
                    watches.feed.take_in(|ledger, wake| ledger.complete(&need, true, wake));
                }
            }
        }
    }
}

async fn until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

impl Watches {
    /// Brings the watches in line with what quotas need and what is served; whether that is known.
    async fn refresh(&mut self) -> bool {
        let needs = self.feed.take_in(|ledger, _| ledger.needs());
        self.end(|need, _| !needs.contains(need));
        if needs.is_empty() {
            return true;
        }
        if self.found.is_none() {
            match discovery::discover(&self.reader).await {
                Ok(found) => self.found = Some(found),
                Err(error) => {
                    tracing::warn!(%error, "kinds could not be discovered; trying again");
                    return false;
                }
            }
        }
        let found = self.found.clone().unwrap_or_default();
        self.end(|_, kind| !is_served(&found, kind));
        self.start(&needs, &found);
        true
    }

    fn end(&mut self, ends: impl Fn(&Need, &Kind) -> bool) {
        let feed = &self.feed;
        self.running.retain(|need, running| {
            let stays = !ends(need, &running.kind);
            if !stays {
                (running.forget)();
                feed.take_in(|ledger, _| ledger.forget(need));
            }
            stays
        });
    }

    fn start(&mut self, needs: &BTreeSet<Need>, found: &Discovery) {
        for need in needs.iter().filter(|need| !self.running.contains_key(need)).cloned().collect::<Vec<_>>()
        {
            let Some(kind) = kind_of(found, &need) else {
                self.feed.take_in(|ledger, wake| ledger.complete(&need, false, wake));
                continue;
            };
            let running = match (&*need.resource.group, &*need.resource.resource) {
                ("", "pods") => self.watch::<PodView>(&need, kind),
                ("", "services") => self.watch::<ServiceView>(&need, kind),
                ("", "persistentvolumeclaims") => self.watch::<ClaimView>(&need, kind),
                _ => self.watch::<ObjectView>(&need, kind),
            };
            self.running.insert(need, running);
        }
    }

    fn watch<V: Costly>(&self, need: &Need, kind: Kind) -> Running {
        let filter = Filter { namespace: need.namespace.clone(), ..Filter::default() };
        // A kind that was not served until now has a book that says so.
        self.feed.take_in(|ledger, _| ledger.forget(need));
        let cache = self.reader.cache_of::<V>(&kind, &filter);
        let (to, about) = (self.feed.clone(), need.clone());
        let subscription = cache.subscribe(move |change: &Change<V>| {
            let Some(latest) = change.latest() else { return };
            let meta = latest.meta();
            let item = change.new.as_ref().map(|object| object.item(&about.resource));
            to.take_in(|ledger, wake| {
                ledger.object(&about, &meta.name, meta.resource_version, item, wake);
            });
        });
        let (caches, kind_of_cache, full) = (self.reader.caches().clone(), kind.clone(), need.clone());
        let (alive, ended) = oneshot::channel();
        let filled = async move {
            // An end counts more than a list that came just before: the book of the need is no longer its.
            tokio::select! {
                biased;
                _ = ended => None,
                () = cache.ready() => Some(full),
            }
        };
        self.filling.push(filled.boxed());
        let forget = move || caches.forget::<V>(&kind_of_cache, &filter);
        Running { kind, forget: Box::new(forget), _alive: alive, _subscription: subscription }
    }
}

fn kind_of(found: &Discovery, need: &Need) -> Option<Kind> {
    let fits = |kind: &Kind| {
        kind.namespaced && *kind.group == *need.resource.group && *kind.plural == *need.resource.resource
    };
    let mut served = found.kinds.iter().filter(|served| served.can(&["list", "watch"]));
    served.find(|served| fits(&served.kind)).map(|served| served.kind.clone())
}

/// Kinds of a group that does not answer keep their watches.
fn is_served(found: &Discovery, kind: &Kind) -> bool {
    let is_of_group = |failure: &str| failure.split_once('/').is_some_and(|(group, _)| *group == *kind.group);
    found.kinds.iter().any(|served| served.kind == *kind)
        || found.failures.iter().any(|failure| is_of_group(failure))
}
