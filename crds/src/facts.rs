//! Facts about the types of the Kubernetes API level that is served: per field its shape, protobuf tag, list and map
//! type, merge keys, enumeration, default, and when it is left out.
//!
//! Owns the embedded table (`crds/facts/v1_37.tsv`, made by `crds/facts/gen`), the structural schemas that come from
//! it, and the OpenAPI components. Types are decoded one by one, when first used; the table itself is text in the
//! binary and is never copied.
//! Deliberately absent: descriptions as facts (they come from k8s-openapi when the crate is built), defaulting and
//! validation that is code upstream.

mod descriptions;
mod openapi;
mod schema;
mod table;

pub use descriptions::{Descriptions, descriptions};
pub use openapi::{OpenApiVersion, openapi_component, referenced};
pub use schema::{find_schema, schema};
pub use table::{Field, ListKind, Shape, TypeFacts, type_facts, type_of, types};

#[cfg(test)]
mod tests;
