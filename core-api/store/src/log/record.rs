//! The format of the files: a header, then framed records. Pure.
//!
//! Numbers are little-endian. A frame is a checksum (CRC-32), the body's length and the body, padded to 8 bytes. The
//! checksum covers the file's random salt and the frame's offset too, so that neither stale blocks nor bytes that
//! a user stored pass for a record. A body is a kind byte and:
//! - changes: entries of revision, key and value (in a snapshot: its objects);
//! - mark: the revision up to which history is not needed;
//! - closed: nothing; the store was closed in order;
//! - end: the number of objects in a snapshot, which is incomplete without it.

use crate::{OpenError, Revision};

/// The length of a file's header.
pub(super) const HEADER: usize = 64;
/// The format that is written and read.
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"proa-kv\n";
/// Checksum and length.
pub(super) const FRAME_HEAD: usize = 8;
/// Frames start at multiples of this.
const ALIGN: usize = 8;
/// Bytes of a buffer that are kept from one write to the next.
const KEPT: usize = 1 << 20;
/// In place of the length of a deleted key's value.
const DELETED: u32 = u32::MAX;

const CHANGES: u8 = 1;
const MARK: u8 = 2;
const CLOSED: u8 = 3;
const END: u8 = 4;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Part of the log.
    Segment,
    /// The objects at a revision, continued by the log.
    Snapshot,
    /// A snapshot that stands alone: a backup.
    Backup,
}

/// The start of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Random.
    pub(super) salt: u64,
    /// A segment's place in the log; for a snapshot, of the first segment that it does not contain.
    pub(super) number: u64,
    /// The last revision before the segment: whatever earlier segments hold beyond it does not count. For a
    /// snapshot, its revision.
    pub(super) after: Revision,
    /// The first revision that may follow.
    pub(super) next: Revision,
    /// History up to here is not needed.
    pub(super) compacted: Revision,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let kind: u32 = match self.kind {
            Kind::Segment => 1,
            Kind::Snapshot => 2,
            Kind::Backup => 3,
        };
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&kind.to_le_bytes());
        let numbers = [self.salt, self.number, self.after.0, self.next.0, self.compacted.0];
        for (place, number) in bytes[16..56].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(file: &str, bytes: &[u8]) -> Result<Self, OpenError> {
        let damaged = |what: &str| corrupt(file, 0, what);
        let mut fields = Fields(bytes.get(..HEADER).ok_or_else(|| damaged("the header is incomplete"))?);
        if fields.take(8) != Some(MAGIC) {
            return Err(damaged("it is not a store's file"));
        }
        let (version, kind) = (fields.u32().unwrap_or(0), fields.u32());
        if version != VERSION {
            return Err(OpenError::Format { file: file.into(), found: version, known: VERSION });
        }
        let sum = bytes.get(60..HEADER).and_then(|sum| sum.try_into().ok()).map(u32::from_le_bytes);
        if sum != Some(crc32fast::hash(&bytes[..60])) {
            return Err(damaged("the header's checksum is wrong"));
        }
        let kind = match kind {
            Some(1) => Kind::Segment,
            Some(2) => Kind::Snapshot,
            Some(3) => Kind::Backup,
            _ => return Err(damaged("the kind of file is unknown")),
        };
        let mut number = || fields.u64().unwrap_or(0);
        let (salt, place) = (number(), number());
        let mut revision = || Revision(number());
        Ok(Header { kind, salt, number: place, after: revision(), next: revision(), compacted: revision() })
    }
}

/// A damaged file.
pub(super) fn corrupt(file: &str, offset: u64, what: &str) -> OpenError {
    OpenError::Corrupt { file: file.into(), offset, what: what.into() }
}

/// One change or object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) revision: Revision,
    pub(super) key: &'a str,
    pub(super) value: Option<&'a [u8]>,
}

/// A record's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    Changes(Entries<'a>),
    Mark(Revision),
    Closed,
    End(u64),
}

impl<'a> Record<'a> {
    /// Reads a body whose checksum was right; none if it makes no sense all the same.
    pub(super) fn decode(body: &'a [u8]) -> Option<Self> {
        let (kind, rest) = body.split_first()?;
        let mut fields = Fields(rest);
        match *kind {
            CHANGES => Some(Record::Changes(Entries(fields))),
            MARK => fields.u64().map(|revision| Record::Mark(Revision(revision))),
            CLOSED => Some(Record::Closed),
            END => fields.u64().map(Record::End),
            _ => None,
        }
    }
}

/// The entries of a record. An entry that makes no sense comes as none and ends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entries<'a>(Fields<'a>);

impl<'a> Iterator for Entries<'a> {
    type Item = Option<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            self.0 = Fields(&[]);
        }
        Some(entry)
    }
}

impl<'a> Entries<'a> {
    fn entry(&mut self) -> Option<Entry<'a>> {
        let revision = Revision(self.0.u64()?);
        let key_len = self.0.u32()? as usize;
        let value_len = self.0.u32()?;
        let key = std::str::from_utf8(self.0.take(key_len)?).ok()?;
        let value = if value_len == DELETED { None } else { Some(self.0.take(value_len as usize)?) };
        Some(Entry { revision, key, value })
    }
}

/// Takes fields off the front of bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}

/// Where frames are put together. The buffer is kept from one write to the next.
#[derive(Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    /// Where the open frame starts.
    open: usize,
}

impl Frames {
    /// What was put together.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    pub(super) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Starts anew. What a rare large batch took is given back.
    pub(super) fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
    }

    fn begin(&mut self) {
        self.open = self.buffer.len();
        self.buffer.extend_from_slice(&[0; FRAME_HEAD]);
    }

    /// Starts a record of entries.
    pub(super) fn begin_changes(&mut self) {
        self.begin();
        self.buffer.push(CHANGES);
    }

    /// Adds an entry to the open record.
    pub(super) fn entry(&mut self, entry: Entry<'_>) {
        let value_len = entry.value.map_or(DELETED, |value| value.len() as u32);
        self.buffer.extend_from_slice(&entry.revision.0.to_le_bytes());
        self.buffer.extend_from_slice(&(entry.key.len() as u32).to_le_bytes());
        self.buffer.extend_from_slice(&value_len.to_le_bytes());
        self.buffer.extend_from_slice(entry.key.as_bytes());
        self.buffer.extend_from_slice(entry.value.unwrap_or_default());
    }

    /// Finishes the open record; `start` is where in the file the buffer will be.
    pub(super) fn finish(&mut self, salt: u64, start: u64) {
        let body = self.open + FRAME_HEAD;
        let len = (self.buffer.len() - body) as u32;
        let sum = checksum(salt, start + self.open as u64, &self.buffer[body..]);
        self.buffer[self.open..][..4].copy_from_slice(&sum.to_le_bytes());
        self.buffer[self.open + 4..body].copy_from_slice(&len.to_le_bytes());
        self.buffer.resize(self.buffer.len().next_multiple_of(ALIGN), 0);
    }

    /// Adds a record that was already read from another place.
    pub(super) fn body(&mut self, body: &[u8], salt: u64, start: u64) {
        self.begin();
        self.buffer.extend_from_slice(body);
        self.finish(salt, start);
    }

    pub(super) fn mark(&mut self, up_to: Revision, salt: u64, start: u64) {
        self.number(MARK, up_to.0, salt, start);
    }

    pub(super) fn closed(&mut self, salt: u64, start: u64) {
        self.body(&[CLOSED], salt, start);
    }

    pub(super) fn end(&mut self, objects: u64, salt: u64, start: u64) {
        self.number(END, objects, salt, start);
    }

    fn number(&mut self, kind: u8, number: u64, salt: u64, start: u64) {
        let mut body = [kind; 9];
        body[1..].copy_from_slice(&number.to_le_bytes());
        self.body(&body, salt, start);
    }
}

fn checksum(salt: u64, offset: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&offset.to_le_bytes());
    hasher.update(&(body.len() as u64).to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// The length of the frame whose head this is, head and padding included.
pub(super) fn frame_len(head: &[u8]) -> Option<usize> {
    let len = u32::from_le_bytes(head.get(4..FRAME_HEAD)?.try_into().ok()?);
    Some((FRAME_HEAD + len as usize).next_multiple_of(ALIGN))
}

/// The body of the frame at `at`, and where the next one starts; none if there is no whole frame there. `bytes`
/// start at `start` in the file.
pub(super) fn frame(bytes: &[u8], at: usize, salt: u64, start: u64) -> Option<(&[u8], usize)> {
    let head = bytes.get(at..at + FRAME_HEAD)?;
    let len = u32::from_le_bytes(head[4..].try_into().ok()?) as usize;
    let next = at + frame_len(head)?;
    let body = bytes.get(at + FRAME_HEAD..next)?.get(..len)?;
    let expected = u32::from_le_bytes(head[..4].try_into().ok()?);
    // An empty body is never written: zeros are not a frame.
    let whole = len > 0 && checksum(salt, start + at as u64, body) == expected;
    whole.then_some((body, next))
}

/// Whether a whole frame starts anywhere after `from`: then what is at `from` was damaged later, for a crash leaves
/// nothing after an incomplete record.
pub(super) fn frame_follows(bytes: &[u8], from: usize, salt: u64) -> bool {
    let starts = (from.next_multiple_of(ALIGN)..bytes.len()).step_by(ALIGN);
    starts.into_iter().any(|at| {
        let is_kind = bytes.get(at + FRAME_HEAD).is_some_and(|kind| (CHANGES..=END).contains(kind));
        is_kind && frame(bytes, at, salt, 0).is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: u64 = 77;

    fn sample() -> Frames {
        let mut frames = Frames::default();
        frames.begin_changes();
        frames.entry(Entry { revision: Revision(4), key: "/a", value: Some(b"one") });
        frames.entry(Entry { revision: Revision(4), key: "/b", value: Some(b"") });
        frames.entry(Entry { revision: Revision(5), key: "/c", value: None });
        frames.finish(SALT, 64);
        frames.mark(Revision(3), SALT, 64);
        frames
    }

    #[test]
    fn records_come_back() {
        let frames = sample();
        let (body, next) = frame(frames.bytes(), 0, SALT, 64).unwrap();
        let Some(Record::Changes(entries)) = Record::decode(body) else { panic!("not changes") };
        let entries: Vec<_> = entries.map(Option::unwrap).collect();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[0], Entry { revision: Revision(4), key: "/a", value: Some(b"one") });
        assert_eq!(entries[1].value, Some(&b""[..]));
        assert_eq!(entries[2], Entry { revision: Revision(5), key: "/c", value: None });
        let (body, next) = frame(frames.bytes(), next, SALT, 64).unwrap();
        assert_eq!(Record::decode(body), Some(Record::Mark(Revision(3))));
        assert_eq!(next, frames.len());
    }

    #[test]
    fn a_flipped_bit_a_wrong_salt_or_a_moved_frame_is_no_frame() {
        let frames = sample();
        let (body, next) = frame(frames.bytes(), 0, SALT, 64).unwrap();
        let meaningful = FRAME_HEAD + body.len();
        assert!(frame(frames.bytes(), 0, SALT + 1, 64).is_none());
        assert!(frame(frames.bytes(), 0, SALT, 72).is_none());
        for bit in 0..meaningful * 8 {
            let mut bytes = frames.bytes()[..next].to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(frame(&bytes, 0, SALT, 64).is_none(), "bit {bit}");
        }
        for len in 0..next {
            assert!(frame(&frames.bytes()[..len], 0, SALT, 64).is_none(), "{len} bytes");
        }
    }

    #[test]
    fn later_frames_are_found_behind_damage() {
        let mut frames = Frames::default();
        frames.buffer.resize(64, 0);
        frames.mark(Revision(1), SALT, 0);
        let second = frames.len();
        frames.mark(Revision(2), SALT, 0);
        assert!(frame_follows(frames.bytes(), 64 + 8, SALT));
        assert!(!frame_follows(&frames.bytes()[..second], 64 + 8, SALT));
        assert!(!frame_follows(&[0; 4096], 0, SALT));
    }

    #[test]
    fn headers_come_back_and_are_checked() {
        let header = Header {
            kind: Kind::Snapshot,
            salt: 9,
            number: 8,
            after: Revision(7),
            next: Revision(6),
            compacted: Revision(5),
        };
        let bytes = header.encode();
        assert_eq!(Header::decode("f", &bytes).unwrap(), header);
        for at in 0..HEADER {
            let mut bytes = bytes;
            bytes[at] ^= 1;
            assert!(Header::decode("f", &bytes).is_err(), "byte {at}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        assert!(matches!(Header::decode("f", &newer), Err(OpenError::Format { found: 2, known: 1, .. })));
        assert!(matches!(Header::decode("f", &bytes[..40]), Err(OpenError::Corrupt { .. })));
    }
}
