//! The task behind a cache: one kube-runtime `watcher`, its events decoded and taken into the map, its errors backed off.
//!
//! An object that does not fit its view is left out and the watch goes on (K5).

use super::{Cache, Filter, wire::Wire};
use crate::{
    kind::{Key, Kind},
    views::{ObjectView, View},
};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture};
use kube::{
    Api, Client,
    runtime::watcher::{self, Event, watcher},
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// How the first list is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    /// `sendInitialEvents`: a list as a stream, without pages in memory.
    Streamed,
    /// Pages, for servers that do not stream lists.
    Paged,
}

/// What a watch fills: a cache, of whatever view.
trait Filled: Send + Sync {
    fn kind(&self) -> &Kind;
    fn filter(&self) -> &Filter;
    /// A relist begins.
    fn relist(&self);
    /// The list is complete.
    fn synced(&self);
    /// An object was created or changed, or was deleted in this last state.
    fn take(&self, text: &str, deleted: bool) -> Result<(), Undecodable>;
}

/// An object that does not fit its view. It has a key as long as it has metadata.
#[derive(Debug)]
struct Undecodable {
    key: Option<Key>,
    error: serde_json::Error,
}

impl<V: View> Filled for Cache<V> {
    fn kind(&self) -> &Kind {
        self.kind()
    }
    fn filter(&self) -> &Filter {
        self.filter()
    }
    fn relist(&self) {
        self.relist();
    }
    fn synced(&self) {
        self.synced();
    }
    fn take(&self, text: &str, deleted: bool) -> Result<(), Undecodable> {
        match V::decode(text) {
            Ok(object) if deleted => self.delete(&object),
            Ok(object) => self.apply(Arc::new(object)),
            Err(error) => {
                let object = serde_json::from_str::<ObjectView>(text).ok();
                if let Some(object) = &object {
                    self.leave_out(&object.key(), object.metadata.resource_version);
                }
                return Err(Undecodable { key: object.map(|object| object.key()), error });
            }
        }
        Ok(())
    }
}

/// Fills `cache` until dropped.
pub(super) fn fill<V: View>(cache: Cache<V>, client: Client) -> BoxFuture<'static, ()> {
    let cache = Box::new(cache);
    if V::METADATA_ONLY { watch_metadata(cache, client) } else { watch_objects(cache, client) }
}

// Not generic: made once, here, and not again in every crate that has a view.
fn watch_metadata(cache: Box<dyn Filled>, client: Client) -> BoxFuture<'static, ()> {
    watch::<true>(cache, client).boxed()
}
fn watch_objects(cache: Box<dyn Filled>, client: Client) -> BoxFuture<'static, ()> {
    watch::<false>(cache, client).boxed()
}

async fn watch<const METADATA_ONLY: bool>(cache: Box<dyn Filled>, client: Client) {
    let mut listing = Listing::Streamed;
    let mut failures = 0;
    let mut skipped = HashSet::new();
    loop {
        let api = api::<METADATA_ONLY>(client.clone(), cache.kind(), cache.filter());
        let mut events = watcher(api, config(cache.filter(), listing)).boxed();
        loop {
            match events.try_next().await {
                Ok(Some(event)) => {
                    failures = 0;
                    take_in(&*cache, &event, &mut skipped);
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

fn api<const METADATA_ONLY: bool>(client: Client, kind: &Kind, filter: &Filter) -> Api<Wire<METADATA_ONLY>> {
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

fn take_in<const METADATA_ONLY: bool>(
    cache: &dyn Filled,
    event: &Event<Wire<METADATA_ONLY>>,
    skipped: &mut HashSet<Option<Key>>,
) {
    let (wire, deleted) = match event {
        Event::Init => return cache.relist(),
        Event::InitDone => return cache.synced(),
        Event::Apply(wire) | Event::InitApply(wire) => (wire, false),
        Event::Delete(wire) => (wire, true),
    };
    let Err(Undecodable { key, error }) = cache.take(wire.text(), deleted) else { return };
    if deleted {
        skipped.remove(&key);
    } else if skipped.insert(key.clone()) {
        let key = key.map_or_else(|| "one without metadata".to_owned(), |key| key.to_string());
        tracing::warn!(kind = %cache.kind(), %key, %error,
            "object does not have the fields this operator reads; it is left out");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::{PodView, Typed};

    #[test]
    fn k5_an_object_that_does_not_fit_is_left_out() {
        let cache = Cache::<PodView>::detached(PodView::KIND, Filter::default());
        let pod = |version: u64, node: &str| {
            format!(
                r#"{{"metadata":{{"name":"a","resourceVersion":"{version}"}},"spec":{{"nodeName":{node}}}}}"#
            )
        };
        cache.take(&pod(3, r#""n""#), false).unwrap();
        assert_eq!(cache.len(), 1);
        let refused = cache.take(&pod(4, "5"), false).unwrap_err();
        assert_eq!((refused.key, cache.len(), cache.revision()), (Some(Key::new("", "a")), 0, 4));
        assert!(refused.error.to_string().contains("invalid type: integer `5`"), "{}", refused.error);
        cache.take(&pod(5, r#""n""#), false).unwrap();
        assert!(cache.take(r#"{"metadata":7}"#, false).unwrap_err().key.is_none());
        cache.take(&pod(6, r#""n""#), true).unwrap();
        assert_eq!((cache.len(), cache.revision()), (0, 6));
    }
}
