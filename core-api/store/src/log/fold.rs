//! Rewriting: a snapshot and the segments after it become one snapshot. Compaction, backup, restore and loading are
//! all this.
//!
//! Runs beside the writer, on files that do not change any more. Memory: one entry per key that the segments name.
//! The new snapshot counts from the moment its name is durable; only then do the old files go.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::disk::{Directory, Disk};
use super::files::{Files, Snapshot, failed, segment_name, snapshot_name};
use super::record::{Entry, Header, Kind};
use super::segment::Segment;
use super::snapshot::{Writing, objects};
use crate::{OpenError, Revision};

/// A snapshot while it is written.
pub(super) const UNFINISHED: &str = "snapshot.tmp";

/// What the writer and the threads that rewrite share.
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) files: Mutex<Files>,
    /// The length of the segment being written.
    pub(super) active_bytes: AtomicU64,
    pub(super) orders: Mutex<Orders>,
    /// One rewriting at a time: it removes files that another one would read.
    pub(super) turn: Mutex<()>,
    pub(super) stop: AtomicBool,
}

/// What the writer wants rewritten.
#[derive(Default)]
pub(super) struct Orders {
    /// Segments up to this revision.
    up_to: Option<Revision>,
    /// A thread is at work, or about to be.
    pub(super) is_running: bool,
}

/// Every object that is live at a revision, in no order.
pub(super) fn live(
    disk: &dyn Disk,
    snapshot: Option<&Snapshot>,
    segments: &[Segment],
    at: Revision,
    each: &mut dyn FnMut(Entry<'_>) -> Result<(), OpenError>,
) -> Result<(), OpenError> {
    let mut newest: HashMap<Box<str>, Option<Revision>> = HashMap::new();
    for segment in segments {
        segment.entries(disk, Revision::ZERO, at, &mut |entry| {
            let revision = entry.value.map(|_| entry.revision);
            match newest.get_mut(entry.key) {
                Some(known) => *known = revision,
                None => drop(newest.insert(entry.key.into(), revision)),
            }
            Ok(())
        })?;
    }
    if let Some(snapshot) = snapshot {
        objects(disk, &snapshot_name(snapshot.number), &mut |entry| {
            if newest.contains_key(entry.key) { Ok(()) } else { each(entry) }
        })?;
    }
    for segment in segments {
        segment.entries(disk, Revision::ZERO, at, &mut |entry| {
            let is_newest = newest.get(entry.key).copied().flatten() == Some(entry.revision);
            if is_newest && entry.value.is_some() { each(entry) } else { Ok(()) }
        })?;
    }
    Ok(())
}

impl Shared {
    /// Bytes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.files.lock().bytes() + self.active_bytes.load(Ordering::Relaxed)
    }

    /// Orders a rewriting. Answers whether somebody has to start [`Shared::fold_orders`].
    pub(super) fn order_fold(&self, up_to: Revision) -> bool {
        let mut orders = self.orders.lock();
        orders.up_to = Some(up_to);
        !std::mem::replace(&mut orders.is_running, true)
    }

    /// Rewrites until nothing is ordered.
    pub(super) fn fold_orders(&self) {
        loop {
            let up_to = {
                let mut orders = self.orders.lock();
                let up_to = orders.up_to.take();
                orders.is_running = up_to.is_some();
                up_to
            };
            let Some(up_to) = up_to else { return };
            if let Err(error) = self.fold(up_to) {
                tracing::warn!(%error, "cannot rewrite the store's files; they are kept as they are");
            }
        }
    }

    /// Rewrites the segments that hold nothing later than a revision.
    fn fold(&self, up_to: Revision) -> Result<(), OpenError> {
        let _turn = self.turn.lock();
        let files = self.files.lock().clone();
        let segments = files.segments_up_to(up_to);
        let Some(last) = segments.last() else { return Ok(()) };
        let number = last.number + 1;
        let header = Header {
            kind: Kind::Snapshot,
            salt: uuid::Uuid::new_v4().as_u64_pair().0,
            number,
            after: last.last,
            next: last.last.next(),
            compacted: last.last,
        };
        let name = snapshot_name(number);
        let bytes = self.write(&*self.disk, (UNFINISHED, &name), &header, &files, segments)?;
        let snapshot = Arc::new(Snapshot { number, revision: last.last, bytes });
        {
            let mut files = self.files.lock();
            files.snapshot = Some(snapshot);
            files.segments.drain(..segments.len());
            files.garbage.clear();
        }
        self.remove(&files, segments);
        Ok(())
    }

    /// Removes what a new snapshot replaces. What cannot be removed is found again at the next open.
    fn remove(&self, files: &Files, segments: &[Segment]) {
        let snapshot = files.snapshot.iter().map(|snapshot| snapshot_name(snapshot.number));
        let segments = segments.iter().map(|segment| segment_name(segment.number));
        for name in files.garbage.iter().cloned().chain(snapshot).chain(segments) {
            if let Err(error) = self.disk.remove(&name) {
                tracing::warn!(%error, file = name, "cannot remove a file that is not needed");
            }
        }
    }

    /// Copies the state at a revision, or at a later one, to a file of its own.
    pub(super) fn backup(&self, at: Revision, next: Revision, to: &Path) -> Result<Revision, OpenError> {
        let _turn = self.turn.lock();
        let files = self.files.lock().clone();
        let segments = files.segments_up_to(at);
        let folded = files.snapshot.as_ref().map_or(Revision::ZERO, |snapshot| snapshot.revision);
        let revision = segments.last().map_or(folded, |segment| segment.last);
        let header = Header {
            kind: Kind::Backup,
            salt: uuid::Uuid::new_v4().as_u64_pair().0,
            number: 1,
            after: revision,
            next: next.max(revision.next()),
            compacted: revision,
        };
        let (directory, name) = split(to)?;
        self.write(&directory, (&format!("{name}.tmp"), &name), &header, &files, segments)?;
        Ok(revision)
    }

    fn write(
        &self,
        to: &dyn Disk,
        (unfinished, name): (&str, &str),
        header: &Header,
        files: &Files,
        segments: &[Segment],
    ) -> Result<u64, OpenError> {
        let cannot = || failed(format!("cannot write {name}"));
        let write = || {
            let mut writing = Writing::create(to, unfinished, header).map_err(cannot())?;
            live(&*self.disk, files.snapshot.as_deref(), segments, header.after, &mut |entry| {
                let stepped = writing.object(entry).map_err(cannot())?;
                if stepped && self.stop.load(Ordering::Relaxed) {
                    return Err(cannot()(std::io::ErrorKind::Interrupted.into()));
                }
                Ok(())
            })?;
            let bytes = writing.finish().map_err(cannot())?;
            to.rename(unfinished, name).map_err(cannot())?;
            to.sync_names().map_err(cannot())?;
            Ok(bytes)
        };
        write().inspect_err(|_| drop(to.remove(unfinished)))
    }
}

/// Splits the path of a backup.
fn split(path: &Path) -> Result<(Directory, String), OpenError> {
    let name = path.file_name().and_then(|name| name.to_str());
    let invalid = || failed(format!("{} is not a file name", path.display()));
    let name = name.ok_or_else(|| invalid()(std::io::ErrorKind::InvalidInput.into()))?;
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((Directory::unlocked(parent.unwrap_or(Path::new("."))), name.to_owned()))
}

/// Puts a backup into an empty data directory and answers with the revision it continues at. Revisions start `skip`
/// later than in the backup, so that none that was given out since is given out again; the history before is
/// compacted, so that every watcher starts anew. A good `skip` is 1,000,000,000.
pub fn restore(backup: &Path, directory: &Path, skip: u64) -> Result<Revision, OpenError> {
    let disk = Directory::lock(directory)?;
    let in_use = || failed(format!("cannot restore into {}", directory.display()));
    let names = disk.list().map_err(in_use())?;
    if names.iter().any(|name| name != "LOCK" && name != UNFINISHED) {
        return Err(in_use()(std::io::Error::new(std::io::ErrorKind::AlreadyExists, "it is not empty")));
    }
    let (from, name) = split(backup)?;
    let old = objects(&from, &name, &mut |_| Ok(()))?;
    let revision = Revision(old.next.0 - 1 + skip);
    let salt = uuid::Uuid::new_v4().as_u64_pair().0;
    let (after, next) = (revision, revision.next());
    let header = Header { kind: Kind::Backup, salt, number: 1, after, next, compacted: revision };
    let cannot = || failed(format!("cannot write into {}", directory.display()));
    let mut writing = Writing::create(&disk, UNFINISHED, &header).map_err(cannot())?;
    objects(&from, &name, &mut |entry| writing.object(entry).map(|_| ()).map_err(cannot()))?;
    writing.finish().map_err(cannot())?;
    disk.rename(UNFINISHED, &snapshot_name(1)).map_err(cannot())?;
    disk.sync_names().map_err(cannot())?;
    Ok(revision)
}
