//! One file of the log: being written, being checked, being read.
//!
//! Invariant: of the segment being written only the last record may not be durable, for every record is synced
//! before the next one is written. Segments and their names are durable before the first record is acknowledged.

use super::disk::{Disk, DiskFile};
use super::files::{failed, segment_name};
use super::record::{Entry, FRAME_HEAD, Frames, HEADER, Header, Kind, Record, corrupt, frame, frame_follows};
use crate::{EngineError, OpenError, Revision};

/// A segment while it gets its content; renamed when it is durable.
pub(super) const UNFINISHED: &str = "segment.tmp";

/// A segment that is not written any more.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// The last revision before it.
    pub(super) after: Revision,
    /// The last revision in it that counts; that of `after` if there is none.
    pub(super) last: Revision,
    /// Where the records that count end.
    pub(super) end: u64,
    /// The file's length.
    pub(super) bytes: u64,
}

impl Segment {
    pub(super) fn is_empty(&self) -> bool {
        self.last == self.after
    }

    /// Every change later than `after`, up to and including `up_to`.
    pub(super) fn entries(
        &self,
        disk: &dyn Disk,
        after: Revision,
        up_to: Revision,
        each: &mut dyn FnMut(Entry<'_>) -> Result<(), OpenError>,
    ) -> Result<(), OpenError> {
        let up_to = up_to.min(self.last);
        if self.after >= up_to || self.last <= after {
            return Ok(());
        }
        let name = segment_name(self.number);
        let bytes = read(disk, &name, Some(self.end))?;
        let salt = Header::decode(&name, &bytes)?.salt;
        let mut at = HEADER;
        while at < bytes.len() {
            let damaged = || corrupt(&name, at as u64, "a record's checksum is wrong");
            let (body, next) = frame(&bytes, at, salt, 0).ok_or_else(damaged)?;
            if let Some(Record::Changes(entries)) = Record::decode(body) {
                for entry in entries.flatten().filter(|e| e.revision > after && e.revision <= up_to) {
                    each(entry)?;
                }
            }
            at = next;
        }
        Ok(())
    }
}

/// The bytes of a file, or its first ones.
pub(super) fn read(disk: &dyn Disk, name: &str, len: Option<u64>) -> Result<Vec<u8>, OpenError> {
    let read = || {
        let file = disk.open(name)?;
        let len = len.map_or_else(|| file.size(), Ok)?;
        let mut bytes = vec![0; len as usize];
        file.read_at(0, &mut bytes)?;
        Ok(bytes)
    };
    read().map_err(failed(format!("cannot read {name}")))
}

/// The last record of a segment, which may not be durable.
#[derive(Debug)]
pub(super) struct Tail {
    /// The last revision before it.
    pub(super) before: Revision,
    /// Its first revision.
    pub(super) first: Revision,
    /// Where it starts.
    pub(super) start: u64,
    pub(super) body: Vec<u8>,
}

/// What checking the segments one after the other has found so far.
#[derive(Debug)]
pub(super) struct Scan {
    /// The last revision.
    pub(super) last: Revision,
    /// The first that may follow.
    pub(super) next: Revision,
    pub(super) compacted: Revision,
    /// The last segment's last record, if it has changes.
    pub(super) tail: Option<Tail>,
}

impl Scan {
    /// Checks the next segment. `cut` is where the one after it takes over; what is beyond does not count.
    pub(super) fn segment(
        &mut self,
        name: &str,
        header: &Header,
        bytes: &[u8],
        cut: Option<Revision>,
    ) -> Result<Segment, OpenError> {
        if header.after != self.last {
            let missing = format!(
                "it continues revision {}, but what is before it ends at {}",
                header.after, self.last
            );
            return Err(corrupt(name, 0, &missing));
        }
        self.next = self.next.max(header.next);
        // A mark before it that failed does not count either.
        self.compacted = header.compacted;
        let mut tail = None;
        let mut at = HEADER;
        while let Some((body, next)) = frame(bytes, at, header.salt, 0) {
            let nonsense = || corrupt(name, at as u64, "a record makes no sense");
            match Record::decode(body).ok_or_else(nonsense)? {
                // What is before another record was synced.
                Record::Mark(up_to) => {
                    self.compacted = self.compacted.max(up_to);
                    tail = None;
                }
                Record::Closed => tail = None,
                Record::End(_) => return Err(nonsense()),
                Record::Changes(entries) => {
                    let (first, last) = self.numbers(entries).ok_or_else(nonsense)?;
                    if cut.is_some_and(|cut| first > cut) {
                        break;
                    }
                    tail = Some((self.last, first, at, body));
                    (self.last, self.next) = (last, last.next());
                }
            }
            at = next;
        }
        self.check_end(name, header, bytes, at, cut)?;
        self.tail = tail.map(|(before, first, start, body)| {
            let (start, body) = (start as u64, body.to_vec());
            Tail { before, first, start, body }
        });
        let bytes = bytes.len() as u64;
        Ok(Segment { number: header.number, after: header.after, last: self.last, end: at as u64, bytes })
    }

    /// The first and last revision of a record, if they continue without a gap.
    fn numbers<'a>(
        &self,
        mut entries: impl Iterator<Item = Option<Entry<'a>>>,
    ) -> Option<(Revision, Revision)> {
        let first = entries.next()??.revision;
        let mut last = first;
        for entry in entries {
            let revision = entry?.revision;
            if revision != last && revision != last.next() {
                return None;
            }
            last = revision;
        }
        (first == self.next).then_some((first, last))
    }

    /// A crash can leave an incomplete record, but only as the very last one.
    fn check_end(
        &self,
        name: &str,
        header: &Header,
        bytes: &[u8],
        at: usize,
        cut: Option<Revision>,
    ) -> Result<(), OpenError> {
        let lost = cut.is_some_and(|cut| cut != self.last);
        let discarded = frame(bytes, at, header.salt, 0).is_some();
        if lost || (!discarded && frame_follows(bytes, at + FRAME_HEAD, header.salt)) {
            return Err(corrupt(name, at as u64, "a record is damaged, and later ones are not"));
        }
        let rest = bytes.get(at..).unwrap_or_default();
        if !discarded && rest.iter().any(|byte| *byte != 0) {
            tracing::warn!(file = name, offset = at, "ignored an incomplete write at the end of the log");
        }
        Ok(())
    }
}

/// The segment being written.
pub(super) struct Active {
    file: Box<dyn DiskFile>,
    pub(super) number: u64,
    salt: u64,
    after: Revision,
    last: Revision,
    /// Where the next record goes.
    pub(super) offset: u64,
    /// Zeros were written up to here: writing over them needs no new space and no change of metadata, which makes a
    /// sync about twice as fast.
    pub(super) filled: u64,
}

/// Where a new segment starts.
pub(super) struct Start<'a> {
    pub(super) number: u64,
    pub(super) after: Revision,
    pub(super) next: Revision,
    pub(super) compacted: Revision,
    /// A record to start with, and its last revision.
    pub(super) first: Option<(&'a [u8], Revision)>,
}

impl Active {
    /// Makes a segment durable with what it starts with.
    pub(super) fn create(disk: &dyn Disk, start: &Start<'_>, fill: u64) -> Result<Self, OpenError> {
        let Start { number, after, next, compacted, first } = *start;
        let salt = uuid::Uuid::new_v4().as_u64_pair().0;
        let header = Header { kind: Kind::Segment, salt, number, after, next, compacted };
        let mut frames = Frames::default();
        if let Some((body, _)) = first {
            frames.body(body, salt, HEADER as u64);
        }
        let offset = (HEADER + frames.len()) as u64;
        let name = segment_name(number);
        let create = || {
            let file = disk.create(UNFINISHED)?;
            file.write_at(0, &header.encode())?;
            file.write_at(HEADER as u64, frames.bytes())?;
            let filled = zeros(&*file, offset, fill)?;
            file.sync()?;
            disk.rename(UNFINISHED, &name)?;
            disk.sync_names()?;
            Ok((file, filled))
        };
        match create() {
            Ok((file, filled)) => {
                let last = first.map_or(after, |(_, last)| last);
                Ok(Active { file, number, salt, after, last, offset, filled })
            }
            Err(source) => {
                // It may be there or not, and is harmless: it has no change that is not in the one before it.
                drop(disk.remove(UNFINISHED));
                Err(failed(format!("cannot create {name}"))(source))
            }
        }
    }

    /// Whether it has no record.
    pub(super) fn is_empty(&self) -> bool {
        self.offset == HEADER as u64
    }

    /// Where records that are put together for it will be, and under which salt.
    pub(super) fn place(&self) -> (u64, u64) {
        (self.salt, self.offset)
    }

    /// Writes records and syncs once.
    pub(super) fn append(&mut self, frames: &[u8], last: Revision, fill: u64) -> Result<(), EngineError> {
        let name = || segment_name(self.number);
        let end = self.offset + frames.len() as u64;
        if end > self.filled {
            // Space is taken before the record is there, so that a full disk leaves no trace of it.
            let filled =
                zeros(&*self.file, end, fill).map_err(failed(format!("cannot extend {}", name())))?;
            self.filled = filled;
        }
        let unknown = |what: &str, error| EngineError::Unknown(format!("cannot {what} {}: {error}", name()));
        self.file.write_at(self.offset, frames).map_err(|error| unknown("write", error))?;
        self.file.sync().map_err(|error| unknown("sync", error))?;
        (self.offset, self.last) = (end, last);
        Ok(())
    }

    /// Stops writing it. What is behind its last good record is cut off; it does not count if that fails.
    pub(super) fn seal(self) -> Segment {
        let cut = self.file.set_size(self.offset);
        let bytes = if cut.is_ok() { self.offset } else { self.filled };
        Segment { number: self.number, after: self.after, last: self.last, end: self.offset, bytes }
    }
}

/// Writes zeros from an offset up to the next multiple of `fill`; answers with the new end.
fn zeros(file: &dyn DiskFile, from: u64, fill: u64) -> std::io::Result<u64> {
    let end = from.next_multiple_of(fill.max(1));
    let start = file.size()?.min(from);
    file.write_at(start, &vec![0; (end - start) as usize])?;
    Ok(end)
}
