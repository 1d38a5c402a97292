//! Changes in a directory of logs, as the kernel reports them.

use futures::{FutureExt, StreamExt};
use inotify::{EventMask, EventStream, Inotify, WatchMask};
use std::{io, path::Path};

/// Waits for changes of the files in one directory.
pub(super) struct DirectoryWatch {
    events: EventStream<[u8; 4096]>,
}

impl DirectoryWatch {
    /// Watches from now on.
    pub(super) fn new(directory: &Path) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let mask = WatchMask::MODIFY
            | WatchMask::CREATE
            | WatchMask::MOVED_TO
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        inotify.watches().add(directory, mask)?;
        Ok(Self { events: inotify.into_event_stream([0; 4096])? })
    }

    /// Waits until something changed since the last call. False when the directory is gone.
    pub(super) async fn changed(&mut self) -> io::Result<bool> {
        let mut next = self.events.next().await;
        loop {
            let Some(event) = next.transpose()? else { return Ok(false) };
            let gone = EventMask::DELETE_SELF | EventMask::MOVE_SELF | EventMask::IGNORED;
            if event.mask.intersects(gone) {
                return Ok(false);
            }
            // What else is there already is the same news.
            match self.events.next().now_or_never() {
                Some(event) => next = event,
                None => return Ok(true),
            }
        }
    }
}
