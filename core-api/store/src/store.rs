//! The store as its users see it.

use std::path::PathBuf;

use futures::future::BoxFuture;

use crate::{Change, Key, Loaded, Revision, Write};

/// The state in memory that a store keeps up to date, and asks for heads. There is no second index.
pub trait Published: Send + Sync + 'static {
    /// The revision that last changed the key's live object. Called by the writer for every op and guard.
    fn head(&self, key: &str) -> Option<Revision>;

    /// Takes over what was stored, replacing whatever is there. Called before [`Local::open`](crate::Local::open)
    /// returns.
    fn load(&self, loaded: Loaded);

    /// Makes durable changes visible. Called by the one writer thread, in order, once per batch: `revision` is the
    /// batch's last one, and the changes (at least one) carry their own. No write of the batch was answered yet.
    fn publish(&self, revision: Revision, changes: &[Change]);
}

/// A revisioned map from key to bytes with a change log.
pub trait Store: Send + Sync + 'static {
    /// Applies a write whole or not at all. Once the future was polled the write may be with the writer: dropping
    /// the future then does not undo it. A write that changes nothing (only guards, or deletes of absent keys) has
    /// no revision of its own and is answered with the current one.
    fn commit(&self, write: Write) -> BoxFuture<'static, Result<Revision, CommitError>>;

    /// A revision that the published state has reached and that is not older than any write that was acknowledged,
    /// by whichever server, before the call.
    fn barrier(&self) -> BoxFuture<'static, Result<Revision, CommitError>>;

    /// The last published revision.
    fn revision(&self) -> Revision;

    /// History up to and including this revision is gone.
    fn compacted(&self) -> Revision;

    /// Forgets history up to a revision, and starts to shrink the files in the background. Answers with the
    /// compacted revision, which is never later than the current one and never goes back.
    fn compact(&self, up_to: Revision) -> BoxFuture<'static, Result<Revision, CommitError>>;

    /// Writes the state to a new file without stopping anything; answers with the revision it holds.
    fn backup(&self, to: PathBuf) -> BoxFuture<'static, Result<Revision, CommitError>>;

    /// Whether a key's value is kept in another way than it would be by now, such as under an old key. It is written
    /// again even when it does not change.
    fn is_stale(&self, key: &str) -> bool;

    /// Counters and sizes.
    fn stats(&self) -> Stats;

    /// Finishes the writes that were accepted, refuses new ones and lets go of the files.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// Counters since open, and sizes now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Bytes on disk.
    pub file_bytes: u64,
    /// Batches made durable: one sync each.
    pub batches: u64,
    /// Writes committed.
    pub writes: u64,
    /// Writes refused because an expectation or a guard did not hold.
    pub conflicts: u64,
    /// Batches that the disk refused.
    pub failures: u64,
}

/// Why a write was not acknowledged. All but [`CommitError::Unknown`] promise that nothing of it was applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// An op's expectation does not hold.
    #[error("{key} was changed by another write")]
    Conflict {
        /// The op's key.
        key: Key,
    },
    /// A guard does not hold.
    #[error("a condition on {key} does not hold")]
    GuardFailed {
        /// The guard's key.
        key: Key,
    },
    /// The write names a key twice or an empty key.
    #[error("invalid write: {0}")]
    Invalid(String),
    /// The write is larger than the store accepts.
    #[error("the write has {size} bytes, more than the limit of {limit}")]
    TooLarge {
        /// Bytes of keys and values.
        size: usize,
        /// The most that is accepted.
        limit: usize,
    },
    /// No space left on the disk.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The disk failed.
    #[error("the write failed: {0}")]
    Io(String),
    /// The disk failed in a way that leaves open whether the write will be there after a restart.
    #[error("it is unknown whether the write happened: {0}")]
    Unknown(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another process; stop that one first")]
    InUse(String),
    /// The files are damaged: not by a crash, which leaves only an incomplete tail.
    #[error("{file} is damaged at byte {offset}: {what}; restore a backup into an empty directory")]
    Corrupt {
        /// The file's name.
        file: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// The files have a format that this version cannot read.
    #[error(
        "{file} has format {found}, and this version reads format {known}; use the version that wrote it"
    )]
    Format {
        /// The file's name.
        file: String,
        /// The format that it has.
        found: u32,
        /// The format that can be read.
        known: u32,
    },
    /// A value cannot be read: it is encrypted, and not with a key that is known.
    #[error("{key} cannot be read: {what}")]
    Unreadable {
        /// The value's key.
        key: Key,
        /// Why.
        what: String,
    },
    /// The disk failed.
    #[error("{what}")]
    Io {
        /// What was being done.
        what: String,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}
