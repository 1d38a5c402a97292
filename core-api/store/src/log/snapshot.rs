//! The file of all objects at a revision: written in small steps, checked whenever it is read.

use std::io;

use super::disk::{Disk, DiskFile};
use super::files::failed;
use super::record::{Entry, FRAME_HEAD, Frames, HEADER, Header, Record, corrupt, frame, frame_len};
use crate::OpenError;

/// A record is closed when it has this many bytes.
const RECORD: usize = 256 << 10;
/// Bytes between two syncs, so that writing a large file does not hold up the log's syncs.
const STEP: u64 = 4 << 20;

/// A snapshot being written.
pub(super) struct Writing {
    file: Box<dyn DiskFile>,
    salt: u64,
    frames: Frames,
    is_open: bool,
    offset: u64,
    synced: u64,
    objects: u64,
}

impl Writing {
    pub(super) fn create(disk: &dyn Disk, name: &str, header: &Header) -> io::Result<Self> {
        let file = disk.create(name)?;
        file.write_at(0, &header.encode())?;
        let offset = HEADER as u64;
        let frames = Frames::default();
        Ok(Writing { file, salt: header.salt, frames, is_open: false, offset, synced: 0, objects: 0 })
    }

    /// Adds an object. Answers whether a step was finished.
    pub(super) fn object(&mut self, entry: Entry<'_>) -> io::Result<bool> {
        if !self.is_open {
            self.frames.begin_changes();
            self.is_open = true;
        }
        self.frames.entry(entry);
        self.objects += 1;
        let is_full = self.frames.len() >= RECORD;
        if is_full {
            self.flush()?;
        }
        Ok(is_full)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_open {
            self.frames.finish(self.salt, self.offset);
            self.is_open = false;
        }
        self.file.write_at(self.offset, self.frames.bytes())?;
        self.offset += self.frames.len() as u64;
        self.frames.clear();
        if self.offset - self.synced >= STEP {
            self.file.sync()?;
            self.synced = self.offset;
        }
        Ok(())
    }

    /// Makes it durable; answers with its length.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        self.flush()?;
        self.frames.end(self.objects, self.salt, self.offset);
        self.flush()?;
        self.file.sync()?;
        Ok(self.offset)
    }
}

/// Every object of a snapshot, in no order.
pub(super) fn objects(
    disk: &dyn Disk,
    name: &str,
    each: &mut dyn FnMut(Entry<'_>) -> Result<(), OpenError>,
) -> Result<Header, OpenError> {
    let unreadable = || failed(format!("cannot read {name}"));
    let file = disk.open(name).map_err(unreadable())?;
    let size = file.size().map_err(unreadable())?;
    let mut buffer = vec![0; HEADER.min(size as usize)];
    file.read_at(0, &mut buffer).map_err(unreadable())?;
    let header = Header::decode(name, &buffer)?;
    let mut offset = HEADER as u64;
    let mut count = 0;
    loop {
        let damaged = || corrupt(name, offset, "the snapshot is damaged");
        let len = next_len(&*file, offset, size).map_err(unreadable())?.ok_or_else(damaged)?;
        buffer.resize(len, 0);
        file.read_at(offset, &mut buffer).map_err(unreadable())?;
        let (body, _) = frame(&buffer, 0, header.salt, offset).ok_or_else(damaged)?;
        match Record::decode(body) {
            Some(Record::Changes(entries)) => {
                for entry in entries {
                    each(entry.ok_or_else(damaged)?)?;
                    count += 1;
                }
            }
            Some(Record::End(objects)) if objects == count => return Ok(header),
            _ => return Err(damaged()),
        }
        offset += len as u64;
    }
}

/// The length of the frame at an offset, if the file is long enough for it.
fn next_len(file: &dyn DiskFile, offset: u64, size: u64) -> io::Result<Option<usize>> {
    if size - offset < FRAME_HEAD as u64 {
        return Ok(None);
    }
    let mut head = [0; FRAME_HEAD];
    file.read_at(offset, &mut head)?;
    Ok(frame_len(&head).filter(|len| *len as u64 <= size - offset))
}
