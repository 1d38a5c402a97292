//! The vocabulary of the Kubernetes API, shared by the core and by operators.
//!
//! Owns: group-version-kind/resource names, `Status` errors and their reasons, field paths and field errors with
//! upstream's texts, label and field selectors, quantities, names, times, schedules, PEM, user identity, the
//! framing of SPDY/3.1.
//! Deliberately absent: I/O, any concrete kind, HTTP libraries, object storage. This is the only core crate that
//! operators may use.

pub mod cron;
pub mod field;
pub mod fnv;
pub mod gvk;
pub mod identity;
pub mod int_or_string;
pub mod names;
pub mod pem;
pub mod quantity;
pub mod selector;
pub mod spdy;
pub mod status;
pub mod time;

pub use field::{FieldError, FieldErrors, FieldPath};
pub use gvk::{GroupKind, GroupResource, Gvk, Gvr};
pub use identity::User;
pub use status::{ApiError, ApiResult, Reason};
