//! What reads and watches see of one stored resource: current objects and a window of past events.
//!
//! Invariants: the snapshot is immutable and swapped whole, so a list holds one without a lock; events are in
//! revision order without gaps; a watcher is a cursor into the window and holds no memory of its own; the window is
//! bounded in bytes and a cursor that fell out gets 410 (W3). Only the store's writer thread publishes.
//! Upstream: apiserver `pkg/storage/cacher`.

use crate::{
    entry::{self, Entry},
    kind::Selectable,
    request::ChangeType,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use imbl::OrdMap;
use parking_lot::RwLock;
use proa_store::{Key, Revision};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, OnceLock},
};
use tokio::sync::watch;

/// Bytes of past objects that one resource's window may hold.
const WINDOW_BYTES: usize = 16 << 20;
/// The window never shrinks below this many events.
const WINDOW_EVENTS: usize = 128;

/// A published change of one object.
pub struct Event {
    /// Its revision.
    pub revision: Revision,
    /// The object before; none when it was created.
    pub old: Option<Arc<Entry>>,
    /// The object after; none when it was removed.
    pub new: Option<Arc<Entry>>,
    json: OnceLock<Encoded>,
    /// Boxed, for most events are never asked for in this form.
    protobuf: OnceLock<Box<Encoded>>,
}

/// What the first watcher of an event made, and of what.
struct Encoded {
    change: ChangeType,
    version: usize,
    bytes: Bytes,
}

/// In which form a watcher wants events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Lines of JSON.
    Json,
    /// Frames of protobuf.
    Protobuf,
}

impl Event {
    fn new(revision: Revision, old: Option<Arc<Entry>>, new: Option<Arc<Entry>>) -> Self {
        Self { revision, old, new, json: OnceLock::new(), protobuf: OnceLock::new() }
    }
    /// An encoded form, made once and shared by all watchers that see the same change of the same served version
    /// (`version` tells versions apart). W2.
    pub fn encoded(
        &self,
        encoding: Encoding,
        change: ChangeType,
        version: usize,
        make: impl Fn() -> Bytes,
    ) -> Bytes {
        let first = || Encoded { change, version, bytes: make() };
        let known = match encoding {
            Encoding::Json => self.json.get_or_init(first),
            Encoding::Protobuf => self.protobuf.get_or_init(|| Box::new(first())),
        };
        if known.change == change && known.version == version { known.bytes.clone() } else { make() }
    }
    fn size(&self) -> usize {
        let size = |e: &Option<Arc<Entry>>| e.as_ref().map_or(0, |e| e.size());
        // The old entry is the one before's new one; it is only counted where nothing else holds it.
        if self.new.is_some() { size(&self.new) } else { size(&self.old) }
    }
}

/// All objects of a resource at one revision; cheap to clone.
#[derive(Clone)]
pub struct Snapshot {
    prefix: Arc<str>,
    revision: Revision,
    objects: OrdMap<Key, Arc<Entry>>,
}

impl Snapshot {
    /// Revision of the resource's last change.
    pub fn revision(&self) -> Revision {
        self.revision
    }
    /// How many objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }
    /// By namespace (empty for cluster-scoped kinds) and name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Entry>> {
        self.by_key(&format!("{}{namespace}/{name}", self.prefix))
    }
    /// Objects of one namespace in name order.
    pub fn iter_namespace(&self, namespace: &str) -> impl Iterator<Item = &Arc<Entry>> {
        let prefix = format!("{}{namespace}/", self.prefix);
        let from: Key = prefix.as_str().into();
        self.objects.range(from..).map(|(_, e)| e).take_while(move |e| e.key.starts_with(&prefix))
    }
    /// By storage key.
    pub fn by_key(&self, key: &str) -> Option<&Arc<Entry>> {
        self.objects.get(key)
    }
    /// All objects in key order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.objects.values()
    }
    /// Objects whose key starts with `prefix`, from `start` on (both full storage keys).
    pub fn range<'a>(&'a self, prefix: &'a str, start: &str) -> impl Iterator<Item = &'a Arc<Entry>> {
        let from = if start > prefix { start } else { prefix };
        let from: Key = from.into();
        self.objects.range(from..).map(|(_, e)| e).take_while(move |e| e.key.starts_with(prefix))
    }
}

/// Past events, oldest first, numbered without gaps.
struct Ring {
    events: VecDeque<Arc<Event>>,
    /// Number of the first event held.
    first: u64,
    bytes: usize,
    /// Every event after this revision is held.
    floor: Revision,
}

impl Ring {
    fn new(floor: Revision, first: u64) -> Self {
        Self { events: VecDeque::new(), first, bytes: 0, floor }
    }
    fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }
    fn push(&mut self, event: Arc<Event>) {
        self.bytes += event.size();
        self.events.push_back(event);
        while self.bytes > WINDOW_BYTES && self.events.len() > WINDOW_EVENTS {
            let Some(gone) = self.events.pop_front() else { break };
            self.bytes -= gone.size();
            self.first += 1;
            self.floor = gone.revision;
        }
    }
    /// Number of the first event after `revision`; none when events after it are already gone.
    fn position_after(&self, revision: Revision) -> Option<u64> {
        (revision >= self.floor)
            .then(|| self.first + self.events.partition_point(|e| e.revision <= revision) as u64)
    }
    /// Up to `most` events from number `from`; none when `from` is no longer held.
    fn read(&self, from: u64, most: usize) -> Option<impl Iterator<Item = &Arc<Event>>> {
        let skip = usize::try_from(from.checked_sub(self.first)?).ok()?;
        Some(self.events.range(skip.min(self.events.len())..).take(most))
    }
}

/// Events of the objects that have, or had, one value in an indexed field.
struct Bucket {
    ring: Ring,
    tip: watch::Sender<u64>,
    watchers: usize,
}

type BucketKey = (usize, Box<str>);

struct Feed {
    ring: Ring,
    buckets: HashMap<BucketKey, Bucket>,
}

/// Current objects and past events of one stored resource.
pub struct KindState {
    prefix: Arc<str>,
    selectable: ArcSwap<Vec<Selectable>>,
    current: ArcSwap<Snapshot>,
    feed: RwLock<Feed>,
    tip: watch::Sender<u64>,
}

/// A watcher's place: the whole window, or one bucket of it.
pub struct Cursor {
    next: u64,
    tip: watch::Receiver<u64>,
    bucket: Option<BucketGuard>,
}

struct BucketGuard {
    state: Arc<KindState>,
    key: BucketKey,
}

impl Drop for BucketGuard {
    fn drop(&mut self) {
        let mut feed = self.state.feed.write();
        if let Some(bucket) = feed.buckets.get_mut(&self.key) {
            bucket.watchers -= 1;
            if bucket.watchers == 0 {
                feed.buckets.remove(&self.key);
            }
        }
    }
}

/// The cursor's events are no longer held.
pub struct FellOut;

impl KindState {
    /// An empty resource whose history starts after `floor`.
    pub fn new(prefix: Arc<str>, selectable: Vec<Selectable>, floor: Revision) -> Self {
        let empty = Snapshot { prefix: prefix.clone(), revision: floor, objects: OrdMap::new() };
        Self {
            prefix,
            selectable: ArcSwap::from_pointee(selectable),
            current: ArcSwap::from_pointee(empty),
            feed: RwLock::new(Feed { ring: Ring::new(floor, 0), buckets: HashMap::new() }),
            tip: watch::Sender::new(0),
        }
    }
    /// `/group/resource/`.
    pub fn prefix(&self) -> &Arc<str> {
        &self.prefix
    }
    /// Fields that are decoded for selectors.
    pub fn selectable(&self) -> Arc<Vec<Selectable>> {
        self.selectable.load_full()
    }
    /// The present objects.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }
    /// One object, without taking a snapshot.
    pub fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.current.load().by_key(key).cloned()
    }
    /// Wakes at every change.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.tip.subscribe()
    }

    /// Puts the loaded objects in place of what is there.
    pub(crate) fn load(&self, floor: Revision, objects: impl Iterator<Item = Arc<Entry>>) {
        let objects: OrdMap<Key, Arc<Entry>> = objects.map(|e| (e.key.clone(), e)).collect();
        let revision = objects.values().map(|e| e.revision).max().unwrap_or(floor).max(floor);
        let mut feed = self.feed.write();
        self.current.store(Arc::new(Snapshot { prefix: self.prefix.clone(), revision, objects }));
        // Cursors from before point below the new first number and get 410.
        let first = feed.ring.end() + 1;
        feed.ring = Ring::new(floor, first);
        feed.buckets.clear();
        drop(feed);
        self.tip.send_replace(first);
    }

    /// Publishes one change. Only the writer thread calls this, in revision order.
    pub(crate) fn publish(&self, revision: Revision, key: &Key, new: Option<Arc<Entry>>) {
        // Snapshot and window change together, or `snapshot_at` could miss an event to undo.
        let mut feed = self.feed.write();
        let mut next = Snapshot::clone(&self.current.load());
        let old = match &new {
            Some(entry) => next.objects.insert(key.clone(), entry.clone()),
            None => next.objects.remove(key),
        };
        next.revision = revision;
        self.current.store(Arc::new(next));
        if old.is_none() && new.is_none() {
            return;
        }
        let end = self.push(&mut feed, Arc::new(Event::new(revision, old, new)));
        drop(feed);
        self.tip.send_replace(end);
    }

    /// Appends to the window and to the buckets it concerns; the window's new end.
    fn push(&self, feed: &mut Feed, event: Arc<Event>) -> u64 {
        if !feed.buckets.is_empty() {
            for key in self.bucket_keys(&event) {
                if let Some(bucket) = feed.buckets.get_mut(&key) {
                    bucket.ring.push(event.clone());
                    bucket.tip.send_replace(bucket.ring.end());
                }
            }
        }
        feed.ring.push(event);
        feed.ring.end()
    }

    fn bucket_keys(&self, event: &Event) -> Vec<BucketKey> {
        let mut keys: Vec<BucketKey> = Vec::with_capacity(2);
        for (index, _) in self.selectable.load().iter().enumerate().filter(|(_, s)| s.indexed) {
            for entry in [&event.old, &event.new].into_iter().flatten() {
                let key = (index, Box::from(entry.field(index)));
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    /// A cursor behind `revision`, with the events that a bucket cannot have: those before it existed.
    ///
    /// # Errors
    /// Events after `revision` are already gone: the caller has to list again.
    pub fn cursor(
        self: &Arc<Self>,
        revision: Revision,
        bucket: Option<(usize, &str)>,
    ) -> Result<(Cursor, Vec<Arc<Event>>), FellOut> {
        let mut feed = self.feed.write();
        let next = feed.ring.position_after(revision).ok_or(FellOut)?;
        let Some((index, value)) = bucket else {
            return Ok((Cursor { next, tip: self.tip.subscribe(), bucket: None }, Vec::new()));
        };
        let key: BucketKey = (index, value.into());
        let touches =
            |e: &&Arc<Event>| [&e.old, &e.new].into_iter().flatten().any(|entry| entry.field(index) == value);
        let missed = feed.ring.read(next, usize::MAX).map(|events| events.filter(touches).cloned().collect());
        let bucket = feed.buckets.entry(key.clone()).or_insert_with(|| Bucket {
            ring: Ring::new(revision, 0),
            tip: watch::Sender::new(0),
            watchers: 0,
        });
        bucket.watchers += 1;
        let (next, tip) = (bucket.ring.end(), bucket.tip.subscribe());
        drop(feed);
        let guard = BucketGuard { state: self.clone(), key };
        Ok((Cursor { next, tip, bucket: Some(guard) }, missed.unwrap_or_default()))
    }

    /// The next events at the cursor, at most `most`; empty when there are none yet.
    ///
    /// # Errors
    /// The cursor fell out of the window.
    pub fn read(&self, cursor: &mut Cursor, most: usize) -> Result<Vec<Arc<Event>>, FellOut> {
        let feed = self.feed.read();
        let ring = match &cursor.bucket {
            None => &feed.ring,
            Some(guard) => &feed.buckets.get(&guard.key).ok_or(FellOut)?.ring,
        };
        let events: Vec<_> = ring.read(cursor.next, most).ok_or(FellOut)?.cloned().collect();
        cursor.next += events.len() as u64;
        Ok(events)
    }

    /// The objects as they were at `revision`: the present ones with later events undone.
    ///
    /// # Errors
    /// Events after `revision` are already gone.
    pub fn snapshot_at(&self, revision: Revision) -> Result<Arc<Snapshot>, FellOut> {
        let feed = self.feed.read();
        let current = self.snapshot();
        if current.revision <= revision {
            return Ok(current);
        }
        let from = feed.ring.position_after(revision).ok_or(FellOut)?;
        let mut past = Snapshot { revision, ..Snapshot::clone(&current) };
        let later: Vec<_> = feed.ring.read(from, usize::MAX).ok_or(FellOut)?.cloned().collect();
        drop(feed);
        for event in later.iter().rev() {
            // An event always has one side at least.
            let Some(key) = event.old.as_ref().or(event.new.as_ref()).map(|e| e.key.clone()) else {
                continue;
            };
            match &event.old {
                Some(old) => past.objects.insert(key, old.clone()),
                None => past.objects.remove(&key),
            };
        }
        Ok(Arc::new(past))
    }

    /// Decodes other fields for selectors from now on, of the present objects too.
    pub(crate) fn reselect(&self, selectable: Vec<Selectable>) {
        let present = self.selectable.load();
        let same = present.len() == selectable.len()
            && present.iter().zip(&selectable).all(|(a, b)| a.field == b.field && a.indexed == b.indexed);
        if same {
            return;
        }
        let old = self.snapshot();
        let objects = old.iter().map(|e| Arc::new(e.with_fields(&selectable))).collect::<Vec<_>>();
        self.selectable.store(Arc::new(selectable));
        self.load(old.revision, objects.into_iter());
    }
}

impl Cursor {
    /// Waits until there may be more events.
    pub async fn wait(&mut self) {
        // The sender lives in the state, which the watcher holds; a removed bucket reads as fallen out.
        let _ = self.tip.changed().await;
    }
    /// Marks what was published so far as seen, before reading it.
    pub fn settle(&mut self) {
        self.tip.borrow_and_update();
    }
}

/// Builds an entry from stored bytes.
pub(crate) fn load_entry(
    key: &Key,
    revision: Revision,
    bytes: &Bytes,
    selectable: &[Selectable],
) -> Option<Arc<Entry>> {
    match entry::decode_tail(bytes, selectable) {
        Ok(decoded) => Some(Arc::new(Entry::new(key.clone(), revision, bytes.clone(), Arc::new(decoded)))),
        Err(error) => {
            tracing::error!(key = %key, %error, "stored object cannot be decoded and is not served");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(name: &str, node: &str, revision: u64) -> Arc<Entry> {
        let object = json!({"metadata": {"name": name}, "spec": {"nodeName": node}});
        let (tail, decoded) = entry::encode(&object, &[Selectable::indexed("spec.nodeName")]);
        Arc::new(Entry::new(format!("//pods/d/{name}").into(), Revision(revision), tail, Arc::new(decoded)))
    }

    fn state() -> Arc<KindState> {
        let fields = vec![Selectable::indexed("spec.nodeName")];
        Arc::new(KindState::new("//pods/".into(), fields, Revision(0)))
    }

    #[test]
    fn past_snapshots_undo_later_events() {
        let state = state();
        for (revision, name) in [(1, "a"), (2, "b"), (3, "a")] {
            let e = entry(name, "n", revision);
            state.publish(Revision(revision), &e.key.clone(), Some(e));
        }
        state.publish(Revision(4), &"//pods/d/b".into(), None);
        let names = |at: u64| -> Vec<(String, u64)> {
            let past = state.snapshot_at(Revision(at)).ok().expect("held");
            past.iter().map(|e| (e.name().to_owned(), e.revision.0)).collect()
        };
        assert_eq!(names(1), [("a".into(), 1)]);
        assert_eq!(names(2), [("a".into(), 1), ("b".into(), 2)]);
        assert_eq!(names(3), [("a".into(), 3), ("b".into(), 2)]);
        assert_eq!(names(4), [("a".into(), 3)]);
    }

    #[test]
    fn a_bucket_sees_its_own_events_and_those_from_before_it_existed() {
        let state = state();
        let publish = |e: Arc<Entry>| state.publish(e.revision, &e.key.clone(), Some(e));
        publish(entry("a", "n1", 1));
        publish(entry("b", "n2", 2));
        let (mut cursor, missed) = state.cursor(Revision(0), Some((0, "n1"))).ok().expect("held");
        assert_eq!(missed.len(), 1);
        publish(entry("c", "n2", 3));
        publish(entry("a", "n2", 4));
        let seen = state.read(&mut cursor, 10).ok().expect("held");
        assert_eq!(seen.iter().map(|e| e.revision.0).collect::<Vec<_>>(), [4], "leaving a value is seen");
        drop(cursor);
        assert!(state.feed.read().buckets.is_empty());
    }

    #[test]
    fn a_cursor_that_fell_out_is_told() {
        let state = state();
        let (mut cursor, _) = state.cursor(Revision(0), None).ok().expect("held");
        state.load(Revision(9), std::iter::empty());
        assert!(state.read(&mut cursor, 1).is_err());
        assert!(state.cursor(Revision(3), None).is_err());
    }
}
