//! What a sequencer needs from a place that keeps bytes.

use std::path::Path;

use crate::{Change, Loaded, OpenError, Revision};

/// A place that keeps batches of changes. Driven by one thread; the order and the numbers come from the sequencer.
pub trait Engine: Send + 'static {
    /// Reads everything. What it returns is durable. Called once, first.
    fn load(&mut self) -> Result<Loaded, OpenError>;

    /// Makes a batch durable with one sync, all or nothing. Revisions ascend and continue what is there.
    /// After an error nothing else may be called but [`Engine::recover`] and [`Engine::close`].
    fn append(&mut self, changes: &[Change]) -> Result<(), EngineError>;

    /// Makes the engine usable again after an error: when it succeeds, nothing of what failed is there or will ever
    /// come back, and the next batch starts at `next`. When it fails it may be called again.
    fn recover(&mut self, next: Revision) -> Result<(), EngineError>;

    /// Records that history up to a revision is not needed; may start to rewrite files in the background.
    fn compact(&mut self, up_to: Revision) -> Result<(), EngineError>;

    /// Starts to rewrite files in the background so that they hold no more than is needed.
    fn shrink(&mut self) -> Result<(), EngineError>;

    /// Prepares a copy of everything that was appended; the returned closure writes it and may run on any thread.
    fn backup(&mut self, to: &Path) -> Result<Backup, EngineError>;

    /// Tells the bytes on disk, also while background work changes them. Does not keep the files open.
    fn meter(&self) -> Meter;

    /// Tells of a key, after the load, whether its value is kept in another way than it would be by now: such a value is
    /// written again by a write that changes nothing.
    fn stale(&self) -> Stale {
        Box::new(|_| false)
    }

    /// Lets go of the files, after waiting for background work.
    fn close(&mut self) -> Result<(), EngineError>;
}

/// The part of a backup that runs beside the writer; it answers with the revision that the copy holds.
pub type Backup = Box<dyn FnOnce() -> Result<Revision, EngineError> + Send>;

/// Tells the bytes on disk.
pub type Meter = Box<dyn Fn() -> u64 + Send + Sync>;

/// Tells whether a key's value is kept in an old way.
pub type Stale = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// Why an engine refused. Texts say what failed and on which file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No space; nothing of the batch will ever be loaded.
    #[error("{0}")]
    Full(String),
    /// A failure; nothing of the batch will ever be loaded.
    #[error("{0}")]
    Io(String),
    /// A failure after which the batch may be there at the next load, unless [`Engine::recover`] succeeds.
    #[error("{0}")]
    Unknown(String),
}
