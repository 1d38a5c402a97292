//! Pure algebra over JSON objects and structural schemas.
//!
//! Owns: the [`Schema`] that built-in kinds (facts table) and CustomResourceDefinitions (openAPIV3Schema) share,
//! and everything that needs only an object and its schema: decoding with strictness, canonical form, pruning,
//! defaulting, validation, JSON/merge/strategic patches, server-side apply with managed fields, the protobuf form.
//! Deliberately absent: I/O, stores, kinds, HTTP, clocks. Every function is deterministic.

pub mod apply;
pub mod canonical;
pub mod cel;
pub mod crd;
pub mod decode;
pub mod default;
pub mod json;
pub mod jsonpath;
pub mod patch;
pub mod policy;
pub mod protobuf;
pub mod prune;
pub mod schema;
pub mod table;
pub mod validate;

#[cfg(test)]
mod fixtures;

pub use schema::{Field, Lazy, ListShape, ListType, ObjectShape, Omit, Rules, Schema, SchemaRef, Shape};
