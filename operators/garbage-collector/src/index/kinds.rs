//! Watches of every kind that can be deleted, as kinds come and go.
//!
//! Invariants: a kind is watched once, in the version its group prefers; kinds of a group that does not answer discovery
//! keep their watches. Events are left out: no one owns by them, and they are many.
//! Upstream: pkg/controller/garbagecollector/{garbagecollector.go (Sync), graph_builder.go (syncMonitors)}.

use super::{Bare, Graph, Uid};
use proa_kit::{
    Cache, Filter, Kind, Reader,
    cache::Subscription,
    decide::Feed,
    discovery::{self, Discovery},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Notify;

/// After a definition changed: once it is served, and once more in case that took longer.
const LOOKS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(1)];
/// While discovery fails.
const AGAIN: Duration = Duration::from_secs(1);

type Watches = HashMap<Kind, (Cache<Bare>, Subscription)>;

/// Watches until dropped.
pub(crate) async fn watch(reader: Reader, feed: Feed<Graph, Uid>, changed: Arc<Notify>) {
    let mut watches = Watches::new();
    while !refresh(&reader, &feed, &mut watches).await {
        tokio::time::sleep(AGAIN).await;
    }
    for (cache, _) in watches.values() {
        cache.ready().await;
    }
    feed.take_in(Graph::complete);
    loop {
        changed.notified().await;
        for look in LOOKS {
            tokio::time::sleep(look).await;
            while !refresh(&reader, &feed, &mut watches).await {
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

/// Brings the watches in line with what is served; whether discovery answered.
async fn refresh(reader: &Reader, feed: &Feed<Graph, Uid>, watches: &mut Watches) -> bool {
    let found = match discovery::discover(reader).await {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!(%error, "kinds could not be discovered; trying again");
            return false;
        }
    };
    let wanted = wanted(&found);
    watches.retain(|kind, _| {
        let stays = wanted.contains(kind) || failed(&found, kind);
        if !stays {
            reader.caches().forget::<Bare>(kind, &Filter::default());
            feed.take_in(|graph, _| {
                let id = graph.kind(kind);
                graph.forget(id);
            });
        }
        stays
    });
    for kind in wanted {
        watches.entry(kind).or_insert_with_key(|kind| start(reader, feed, kind));
    }
    feed.take_in(Graph::retry_unresolved);
    true
}

fn start(reader: &Reader, feed: &Feed<Graph, Uid>, kind: &Kind) -> (Cache<Bare>, Subscription) {
    let id = feed.take_in(|graph, _| graph.kind(kind));
    let cache = reader.cache_of::<Bare>(kind, &Filter::default());
    let to = feed.clone();
    let subscription =
        cache.subscribe(move |change| to.take_in(|graph, wake| graph.take_in(id, change, wake)));
    (cache, subscription)
}

fn wanted(found: &Discovery) -> Vec<Kind> {
    let deletable = found.kinds.iter().filter(|served| served.can(&["list", "watch", "delete"]));
    let kinds = deletable.map(|served| &served.kind).filter(|kind| kind.plural != "events");
    kinds.cloned().collect()
}

fn failed(found: &Discovery, kind: &Kind) -> bool {
    found
        .failures
        .iter()
        .any(|failure| failure.split_once('/').is_some_and(|(group, _)| *group == *kind.group))
}
