//! Patches and server-side apply from the outside: sequences of writes, properties, and a corpus that fuzz targets
//! share.
#![expect(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value, reason = "tests")]

#[path = "patches/cluster.rs"]
mod cluster;
#[path = "patches/corpus.rs"]
mod corpus;
#[path = "patches/properties.rs"]
mod properties;
#[path = "patches/sequences.rs"]
mod sequences;
#[path = "patches/thing.rs"]
mod thing;
