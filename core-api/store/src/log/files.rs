//! Which files there are and what each holds.

use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::record::{Header, Kind, corrupt};
use super::segment::{Scan, Segment, Tail, read};
use super::{fold, segment};
use crate::{EngineError, OpenError, Revision};

const SEGMENT: &str = "log-";
const SNAPSHOT: &str = "snapshot-";

pub(super) fn segment_name(number: u64) -> String {
    format!("{SEGMENT}{number:020}")
}

pub(super) fn snapshot_name(number: u64) -> String {
    format!("{SNAPSHOT}{number:020}")
}

/// Adds what was being done to an I/O error.
pub(super) fn failed(what: String) -> impl FnOnce(io::Error) -> OpenError {
    move |source| OpenError::Io { what, source }
}

impl From<OpenError> for EngineError {
    fn from(error: OpenError) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        match error {
            OpenError::Io { what, source } if matches!(source.kind(), StorageFull | QuotaExceeded) => {
                EngineError::Full(format!("{what}: {source}"))
            }
            OpenError::Io { what, source } => EngineError::Io(format!("{what}: {source}")),
            other => EngineError::Io(other.to_string()),
        }
    }
}

/// The objects at a revision.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    /// The first segment that it does not contain.
    pub(super) number: u64,
    pub(super) revision: Revision,
    pub(super) bytes: u64,
}

/// The files that hold the state, but for the segment being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Files {
    /// Shared with who reads it.
    pub(super) snapshot: Option<Arc<Snapshot>>,
    /// In order.
    pub(super) segments: Vec<Segment>,
    /// Files of an interrupted rewriting that are not needed, found at open. That they are not needed may itself not
    /// be durable, so they go with the next rewriting.
    pub(super) garbage: Vec<String>,
}

impl Files {
    pub(super) fn bytes(&self) -> u64 {
        let snapshot = self.snapshot.as_ref().map_or(0, |snapshot| snapshot.bytes);
        snapshot + self.segments.iter().map(|segment| segment.bytes).sum::<u64>()
    }

    /// The segments at the front that hold nothing later than a revision.
    pub(super) fn segments_up_to(&self, up_to: Revision) -> &[Segment] {
        let count = self.segments.iter().take_while(|segment| segment.last <= up_to).count();
        &self.segments[..count]
    }
}

/// What is on the disk.
pub(super) struct Found {
    pub(super) files: Files,
    pub(super) last: Revision,
    pub(super) next: Revision,
    pub(super) compacted: Revision,
    pub(super) tail: Option<Tail>,
    /// The first number that no segment has or had.
    pub(super) free: u64,
}

/// Finds and checks the files. Nothing is changed but that unfinished files go.
pub(super) fn find(disk: &dyn Disk) -> Result<Found, OpenError> {
    let names = disk.list().map_err(failed("cannot list the data directory".into()))?;
    for name in names.iter().filter(|name| [fold::UNFINISHED, segment::UNFINISHED].contains(&&***name)) {
        disk.remove(name).map_err(failed(format!("cannot remove {name}")))?;
    }
    let (segments, snapshots) = (numbers(&names, SEGMENT), numbers(&names, SNAPSHOT));
    let mut garbage = Vec::new();
    let newest = snapshots.last().copied();
    garbage.extend(snapshots.iter().rev().skip(1).map(|number| snapshot_name(*number)));
    let snapshot = newest.map(|number| open_snapshot(disk, number)).transpose()?;
    let base = snapshot.as_ref().map(|(header, _)| header);
    let first = base.map_or(1, |header| header.number);
    garbage.extend(segments.iter().filter(|number| **number < first).map(|number| segment_name(*number)));
    let free = segments.last().map_or(first, |last| last + 1).max(first);
    let needed: Vec<u64> = segments.into_iter().filter(|number| *number >= first).collect();
    if needed.is_empty() && base.is_some_and(|header| header.kind == Kind::Snapshot) {
        return Err(corrupt(&snapshot_name(first), 0, "the log that continues it is missing"));
    }
    let mut scan = Scan {
        last: base.map_or(Revision::ZERO, |header| header.after),
        next: base.map_or(Revision(1), |header| header.next),
        compacted: base.map_or(Revision::ZERO, |header| header.compacted),
        tail: None,
    };
    let segments = check_segments(disk, &needed, &mut scan)?;
    let Scan { last, next, compacted, tail } = scan;
    let folded = snapshot.as_ref().map_or(Revision::ZERO, |(_, snapshot)| snapshot.revision);
    let compacted = compacted.max(folded);
    let snapshot = snapshot.map(|(_, snapshot)| Arc::new(snapshot));
    Ok(Found { files: Files { snapshot, segments, garbage }, last, next, compacted, tail, free })
}

/// The numbers of the files with a prefix, ascending.
fn numbers(names: &[String], prefix: &str) -> Vec<u64> {
    let number = |name: &String| name.strip_prefix(prefix)?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn open_snapshot(disk: &dyn Disk, number: u64) -> Result<(Header, Snapshot), OpenError> {
    let name = snapshot_name(number);
    let header = Header::decode(&name, &read(disk, &name, Some(super::record::HEADER as u64))?)?;
    if header.kind == Kind::Segment || header.number != number {
        return Err(corrupt(&name, 0, "it is not the file that its name says"));
    }
    let bytes =
        disk.open(&name).and_then(|file| file.size()).map_err(failed(format!("cannot read {name}")))?;
    let snapshot = Snapshot { number, revision: header.after, bytes };
    Ok((header, snapshot))
}

fn check_segments(disk: &dyn Disk, numbers: &[u64], scan: &mut Scan) -> Result<Vec<Segment>, OpenError> {
    let open = |number: u64| {
        let name = segment_name(number);
        let bytes = read(disk, &name, None)?;
        let header = Header::decode(&name, &bytes)?;
        if header.kind != Kind::Segment || header.number != number {
            return Err(corrupt(&name, 0, "it is not the file that its name says"));
        }
        Ok((name, header, bytes))
    };
    let mut segments = Vec::with_capacity(numbers.len());
    let mut current = numbers.first().map(|number| open(*number)).transpose()?;
    let mut later = numbers.iter().skip(1);
    while let Some((name, header, bytes)) = current {
        current = later.next().map(|number| open(*number)).transpose()?;
        let cut = current.as_ref().map(|(_, next, _)| next.after);
        segments.push(scan.segment(&name, &header, &bytes, cut)?);
    }
    Ok(segments)
}
