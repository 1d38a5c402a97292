//! Server-side apply and managed fields: who set which field, and what an applied configuration changes.
//!
//! Owns: the structured-merge-diff algorithm over a JSON object and its [`Schema`](crate::Schema): path sets in their
//! `fieldsV1` form, comparison, merge, pruning, conflicts; the bookkeeping in `metadata.managedFields` for every
//! write; the hand-over from client-side apply by kubectl.
//! Entry point: [`FieldManager`] with [`create`](FieldManager::create), [`update`](FieldManager::update) and
//! [`apply`](FieldManager::apply); all of them leave `metadata.managedFields` written in the result.
//! Invariants: fields of entries that a write does not touch stay as they are; a write that changes nothing changes
//! no entry; `metadata` fields that the server owns are never owned by a manager.
//! Deliberately absent: clocks (the caller says what time it is) and conversion between versions: entries of other
//! versions of the same kind are read with the schema of the request's version.
//! Upstream: `sigs.k8s.io/structured-merge-diff/v6`, apimachinery `pkg/util/managedfields`.

mod compare;
mod conflict;
mod element;
mod field_manager;
mod field_set;
mod last_applied;
pub mod managed;
mod merge;
mod node;
mod path_set;
mod remove;
mod reset;
pub mod scale;
mod typed;
mod unowned;

pub use field_manager::{FieldManager, manager_or_user_agent};
pub use managed::{keep_unchanged_times, validate_managed_fields};
pub use path_set::PathSet;
pub use reset::Reset;
pub use unowned::merge_unowned;
