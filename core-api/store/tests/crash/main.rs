//! S1, S2, S4 and S6 on a disk that loses, tears and reorders what was not synced, fills up and fails.
//!
//! Every operation on the disk is recorded with what the store had promised by then. A crash is replayed at any
//! point of the record, as often as wanted, with other luck each time.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it cannot go on")]

mod disk;
mod faults;
mod histories;
mod random;
mod threads;
