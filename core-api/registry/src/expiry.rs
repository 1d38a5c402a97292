//! Objects that vanish some time after their last write: events.
//!
//! One queue per such kind in order of writes, one timer for its head; no scan. Upstream: etcd leases, apiserver
//! `--event-ttl`.

use crate::{
    commit::{Decide, Verdict},
    entry::Entry,
    registry::{Kind, Registry},
};
use futures::future::{BoxFuture, join_all};
use proa_meta::ApiResult;
use proa_store::{Key, Revision};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Events that are read from the window at once.
const BATCH: usize = 512;

impl Registry {
    /// Removes expired objects until the registry is dropped.
    pub async fn run_expiry(self: Arc<Self>) {
        let mut prefixes = Vec::new();
        let mut tasks = Vec::new();
        for kind in self.builtin() {
            let Some(seconds) = kind.def.ttl_seconds else { continue };
            if !prefixes.contains(kind.state.prefix()) {
                prefixes.push(kind.state.prefix().clone());
                tasks.push(expire(&self, kind, Duration::from_secs(seconds)));
            }
        }
        join_all(tasks).await;
    }
}

async fn expire(registry: &Registry, kind: &Kind, ttl: Duration) {
    let mut queue: VecDeque<(Instant, Key, Revision)> = VecDeque::new();
    loop {
        // Objects that were there before get a whole life more: when they were written is not known.
        let snapshot = kind.snapshot();
        let due = Instant::now() + ttl;
        queue.clear();
        queue.extend(snapshot.iter().map(|e| (due, e.key.clone(), e.revision)));
        let Ok((mut cursor, _)) = kind.state.cursor(snapshot.revision(), None) else { continue };
        loop {
            cursor.settle();
            let Ok(events) = kind.state.read(&mut cursor, BATCH) else { break };
            let due = Instant::now() + ttl;
            let written = events.iter().filter_map(|e| e.new.as_ref());
            queue.extend(written.map(|e| (due, e.key.clone(), e.revision)));
            while queue.front().is_some_and(|(at, ..)| *at <= Instant::now()) {
                let Some((_, key, revision)) = queue.pop_front() else { break };
                remove(registry, kind, &key, revision).await;
            }
            if events.len() == BATCH {
                continue;
            }
            let next = queue.front().map(|(at, ..)| *at);
            match next {
                Some(at) => tokio::select! {
                    () = cursor.wait() => {}
                    () = sleep_until(at) => {}
                },
                None => cursor.wait().await,
            }
        }
    }
}

/// Removes the object unless it was written again.
async fn remove(registry: &Registry, kind: &Kind, key: &Key, revision: Revision) {
    if kind.state.get(key).is_none_or(|e| e.revision != revision) {
        return;
    }
    let removed = registry.commit(kind, key, false, &mut Expired(revision)).await;
    if let Err(error) = removed {
        tracing::warn!(%key, %error, "expired object not removed");
    }
}

struct Expired(Revision);

impl Decide for Expired {
    fn decide<'a>(&'a mut self, current: Option<&'a Arc<Entry>>) -> BoxFuture<'a, ApiResult<Verdict>> {
        let same = current.is_some_and(|e| e.revision == self.0);
        Box::pin(std::future::ready(Ok(if same { Verdict::Remove } else { Verdict::Unchanged })))
    }
}
