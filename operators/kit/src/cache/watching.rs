//! The task behind a cache: one kube-runtime `watcher`, its events taken into the map, its errors backed off.

use super::{Cache, Filter, wire::Wire};
use crate::{
    kind::{Key, Kind},
    views::View,
};
use futures::{StreamExt, TryStreamExt};
use kube::{
    Api, Client,
    runtime::watcher::{self, Event, watcher},
};
use std::{collections::HashSet, time::Duration};

/// How the first list is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// `sendInitialEvents`: a list as a stream, without pages in memory.
    Streamed,
    /// Pages, for servers that do not stream lists.
    Paged,
}

/// Fills `cache` until dropped.
pub(super) async fn fill<V: View>(cache: Cache<V>, client: Client) {
    let mut listing = Listing::Streamed;
    let mut failures = 0;
    let mut skipped = HashSet::new();
    loop {
        let api = api::<V>(client.clone(), cache.kind(), cache.filter());
        let mut events = watcher(api, config(cache.filter(), listing)).boxed();
        loop {
            match events.try_next().await {
                Ok(Some(event)) => {
                    failures = 0;
                    take_in(&cache, event, &mut skipped);
                }
                Ok(None) => break,
                Err(error) if listing == Listing::Streamed && refuses_streams(&error) => {
                    tracing::debug!(kind = %cache.kind(), "server does not stream lists; asking for pages");
                    listing = Listing::Paged;
                    break;
                }
                Err(error) => {
                    failures += 1;
                    tokio::time::sleep(pause(cache.kind(), &error, failures)).await;
                }
            }
        }
    }
}

fn api<V: View>(client: Client, kind: &Kind, filter: &Filter) -> Api<Wire<V>> {
    if filter.namespace.is_empty() {
        Api::all_with(client, kind)
    } else {
        Api::namespaced_with(client, &filter.namespace, kind)
    }
}

fn config(filter: &Filter, listing: Listing) -> watcher::Config {
    let mut config = watcher::Config::default();
    if !filter.labels.is_empty() {
        config = config.labels(&filter.labels);
    }
    if !filter.fields.is_empty() {
        config = config.fields(&filter.fields);
    }
    match listing {
        Listing::Streamed => config.streaming_lists(),
        Listing::Paged => config,
    }
}

fn take_in<V: View>(cache: &Cache<V>, event: Event<Wire<V>>, skipped: &mut HashSet<Key>) {
    let (wire, deleted) = match event {
        Event::Init => return cache.relist(),
        Event::InitDone => return cache.synced(),
        Event::Apply(wire) | Event::InitApply(wire) => (wire, false),
        Event::Delete(wire) => (wire, true),
    };
    match (wire.object, deleted) {
        (Ok(object), false) => cache.apply(object),
        (Ok(object), true) => cache.delete(&object),
        (Err(undecodable), deleted) => {
            let key = undecodable.view.key();
            cache.leave_out(&key, undecodable.view.metadata.resource_version);
            if deleted {
                skipped.remove(&key);
            } else if skipped.insert(key.clone()) {
                tracing::warn!(kind = %cache.kind(), %key, error = %undecodable.error,
                    "object does not have the fields this operator reads; it is left out");
            }
        }
    }
}

fn status(error: &watcher::Error) -> Option<&kube::core::Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    }
}

fn refuses_streams(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(_))
        && status(error).is_some_and(|status| matches!(status.code, 400 | 405 | 422))
}

/// Says what went wrong, the first time loudly, and how long to wait before the next try.
fn pause(kind: &Kind, error: &watcher::Error, failures: u32) -> Duration {
    if status(error).is_some_and(|status| status.code == 410) {
        tracing::debug!(%kind, "watch fell behind; listing again");
        return Duration::ZERO;
    }
    let delay = Duration::from_millis(50).saturating_mul(1 << failures.min(9)).min(Duration::from_secs(15));
    match failures {
        3 => tracing::warn!(%kind, %error, "watch fails; trying again"),
        _ => tracing::debug!(%kind, %error, failures, "watch failed"),
    }
    delay
}
