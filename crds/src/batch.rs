//! Kinds of the group `batch`, `v1`.

pub(crate) mod job;
