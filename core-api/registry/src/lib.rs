//! Object semantics for every kind alike: kinds as data, verbs, commit, the watch cache, CustomResourceDefinitions.
//!
//! Reads top-down: [`kind`] says what a kind is, [`registry`] holds what is served, [`verbs`] are the operations,
//! [`commit`] is the only way to change anything, [`state`] is what reads and watches see.
//! Deliberately absent: HTTP, sockets, any workload kind (those are data, made in `proa-crds`).

pub mod admission;
pub mod authorizer;
mod catalogue;
pub mod charge;
pub mod claims;
mod commit;
pub mod conversion;
pub mod definitions;
pub mod entry;
mod expiry;
pub mod kind;
mod metadata;
pub mod registry;
pub mod request;
pub mod selection;
pub mod state;
mod turns;
mod verbs;
pub mod webhook;

pub use admission::{AdmissionRequest, Mutate, Operation, Validate};
pub use authorizer::{Attributes, Authorizer, Decision};
pub use charge::{Beside, Charge};
pub use entry::Entry;
pub use kind::{KindDef, Scope};
pub use registry::{Catalogue, Kind, Registry};
