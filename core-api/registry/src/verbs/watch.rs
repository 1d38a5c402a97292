//! `watch`: initial objects, then events, as batches.
//!
//! W1: ordered, no gap, no duplicate, resumable from any revision in the window. W3: a watcher is a cursor; one that
//! falls out of the window gets 410. W4: bookmarks and streaming lists. Upstream: apiserver
//! `pkg/storage/cacher/{cache_watcher,watch_cache}.go`, KEP-3157.

use crate::{
    registry::Registry,
    request::{ChangeType, Target, WatchEvent, WatchOptions, WatchStream},
    selection::Selected,
    state::{Cursor, Event, FellOut, KindState},
};
use futures::{StreamExt, stream};
use proa_meta::{ApiError, ApiResult};
use proa_store::Revision;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

/// Most events of one batch: bounds the memory that a slow reader's response holds.
const BATCH: usize = 256;
/// Time between bookmarks of a quiet watch.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);

impl Registry {
    /// Events from the asked revision on.
    ///
    /// # Errors
    /// 410 when the revision is too old, 504 when it is not reached.
    pub async fn watch(self: &Arc<Self>, target: &Target, options: WatchOptions) -> ApiResult<WatchStream> {
        let narrow = Selected::new(target, &options.selection)?;
        let wide = self.selected_after_conversion(target, &narrow);
        let (selected, converted) = match wide {
            Some(wide) => (wide, Some(narrow)),
            None => (narrow, None),
        };
        let from = options.resource_version.unwrap_or(Revision(0));
        if options.resource_version.is_none() {
            self.barrier().await?;
        }
        self.not_older_than(from).await?;
        let state = target.kind.state.clone();
        let with_initial = from == Revision(0) || options.send_initial_events;
        let snapshot = with_initial.then(|| {
            let revision = self.revision();
            let snapshot = state.snapshot();
            (revision.max(snapshot.revision()), snapshot)
        });
        let start = snapshot.as_ref().map_or(from, |(revision, _)| *revision);
        let (cursor, missed) =
            state.cursor(start, selected.bucket(&target.kind.def)).map_err(|FellOut| too_old(from))?;
        let mut first: Vec<WatchEvent> = Vec::new();
        if let Some((revision, snapshot)) = snapshot {
            let initial = snapshot.range(selected.prefix(), "").filter(|e| selected.matches(e));
            first.extend(initial.map(|entry| WatchEvent::Object {
                change: ChangeType::Added,
                revision: entry.revision,
                entry: entry.clone(),
                event: None,
            }));
            if options.send_initial_events && options.bookmarks {
                first.push(WatchEvent::Bookmark { revision, initial_end: true });
            }
        }
        first.extend(missed.iter().filter_map(|event| seen(&selected, event)));
        let watcher = Watcher {
            state,
            cursor,
            selected,
            first,
            position: start,
            published: self.published(),
            bookmarks: options.bookmarks,
            next_bookmark: Instant::now() + BOOKMARK_INTERVAL,
            deadline: options.timeout_seconds.map(|s| Instant::now() + Duration::from_secs(s)),
            catalogue: self.catalogue_changed(),
            registry: Arc::downgrade(self),
            gvr: target.kind.def.gvr(),
            unserved: false,
            ended: false,
        };
        let events = stream::unfold(watcher, Watcher::next).boxed();
        let as_stored = options.metadata_only && converted.is_none();
        Ok(if as_stored { events } else { self.watch_in_version(&target.kind, events, converted) })
    }
}

struct Watcher {
    state: Arc<KindState>,
    cursor: Cursor,
    selected: Selected,
    first: Vec<WatchEvent>,
    /// Everything up to here has been read.
    position: Revision,
    published: watch::Receiver<Revision>,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Option<Instant>,
    catalogue: watch::Receiver<u64>,
    registry: std::sync::Weak<Registry>,
    gvr: proa_meta::Gvr,
    /// The resource is no longer served; what happened before is still told.
    unserved: bool,
    ended: bool,
}

enum Wake {
    Events,
    Bookmark,
    Catalogue,
    End,
}

impl Watcher {
    async fn next(mut self) -> Option<(Vec<WatchEvent>, Self)> {
        if self.ended {
            return None;
        }
        if !self.first.is_empty() {
            let rest = self.first.split_off(self.first.len().min(BATCH));
            let batch = std::mem::replace(&mut self.first, rest);
            return Some((batch, self));
        }
        let mut bookmark_due = false;
        loop {
            self.cursor.settle();
            // Read before the events: everything of this resource up to it is then in the window.
            let published = *self.published.borrow();
            match self.state.read(&mut self.cursor, BATCH) {
                Ok(events) if !events.is_empty() => {
                    self.position = events.last().map_or(self.position, |e| e.revision);
                    let batch: Vec<_> = events.iter().filter_map(|e| seen(&self.selected, e)).collect();
                    if !batch.is_empty() {
                        return Some((batch, self));
                    }
                    continue;
                }
                Ok(_) if self.unserved => return None,
                Ok(_) => {
                    self.position = self.position.max(published);
                    if bookmark_due {
                        let bookmark = WatchEvent::Bookmark { revision: self.position, initial_end: false };
                        return Some((vec![bookmark], self));
                    }
                }
                Err(FellOut) => {
                    self.ended = true;
                    let error = WatchEvent::Error(too_old(self.position));
                    return Some((vec![error], self));
                }
            }
            match self.wait().await {
                Wake::Events => {}
                Wake::Bookmark => {
                    self.next_bookmark = Instant::now() + BOOKMARK_INTERVAL;
                    bookmark_due = true;
                }
                Wake::Catalogue if self.is_served() => {}
                Wake::Catalogue => self.unserved = true,
                Wake::End => return None,
            }
        }
    }

    /// A watch of a resource that is no longer served ends, as upstream.
    fn is_served(&self) -> bool {
        self.registry.upgrade().is_some_and(|registry| {
            registry.kind(&self.gvr).is_some_and(|kind| Arc::ptr_eq(&kind.state, &self.state))
        })
    }

    async fn wait(&mut self) -> Wake {
        let never = Instant::now() + Duration::from_secs(86_400 * 365);
        let deadline = self.deadline.unwrap_or(never);
        let bookmark = if self.bookmarks { self.next_bookmark } else { never };
        tokio::select! {
            () = self.cursor.wait() => Wake::Events,
            changed = self.catalogue.changed() => if changed.is_ok() { Wake::Catalogue } else { Wake::End },
            () = sleep_until(deadline.min(bookmark)) => {
                if deadline <= bookmark { Wake::End } else { Wake::Bookmark }
            }
        }
    }
}

fn seen(selected: &Selected, event: &Arc<Event>) -> Option<WatchEvent> {
    let (change, entry) = selected.sees(event)?;
    Some(WatchEvent::Object {
        change,
        revision: event.revision,
        entry: entry.clone(),
        event: Some(event.clone()),
    })
}

fn too_old(revision: Revision) -> ApiError {
    ApiError::expired(format!("too old resource version: {revision}"))
}
