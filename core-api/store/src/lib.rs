//! A revisioned map from key to bytes with a change log.
//!
//! Owns: the order of all writes, their revisions, their durability, and the history since the compacted revision.
//! Deliberately absent: JSON, kinds, HTTP, and an index of the current values: the registry keeps those, and the
//! writer asks it for heads through [`Published`].
//!
//! The contracts, which the tests are named after:
//! - **S1** An acknowledged write survives `kill -9` and power loss.
//! - **S2** Revisions strictly increase and never go backwards or are used twice, not by a failed sync, a restart, a
//!   compaction or a restore either. (A number may be left out after a failed sync.)
//! - **S3** Nothing is visible before it is durable and nothing is acknowledged before it is visible, so reads of the
//!   published state are linearizable.
//! - **S4** A torn or corrupt tail is detected at open and never served; damage elsewhere refuses to open.
//! - **S5** Compaction is bounded and automatic; files shrink while the store serves.
//! - **S6** Disk full or an I/O error: writes fail clearly, reads go on, nothing is half applied, and writes work
//!   again when the disk does.
//! - **S7** One suite for every store (`conformance`); file access passes [`Disk`], so that a test disk can lose,
//!   tear and reorder what was not synced.

#[cfg(feature = "conformance")]
pub mod conformance;
mod engine;
mod local;
mod log;
mod memory;
mod revision;
mod store;
mod write;

pub use engine::{Backup, Engine, EngineError, Meter, Stale};
pub use local::{Local, Options};
pub use log::{Directory, Disk, DiskFile, Log, LogOptions, restore};
pub use memory::Memory;
pub use revision::Revision;
pub use store::{CommitError, OpenError, Published, Stats, Store};
pub use write::{Change, Expect, Guard, Key, Loaded, Object, Op, Value, Write};
