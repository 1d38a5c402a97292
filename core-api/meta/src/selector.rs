//! Label and field selectors.
//!
//! [`Selector`] is the compiled form of both the query string (`app=web,tier in (a,b)`) and the API object
//! [`LabelSelector`]; [`FieldSelector`] is the query string on fields. All are immutable, print canonically, and match
//! without allocating.
//! Deliberately absent: which fields a kind can be selected by (the registry knows).
//! Upstream: apimachinery `pkg/labels/selector.go`, `pkg/fields/selector.go`, `pkg/apis/meta/v1/helpers.go` and
//! `pkg/apis/meta/v1/validation/validation.go`.

mod field;
mod label;
mod object;
mod parse;

pub use field::{FieldRequirement, FieldSelector, FieldSelectorError, escape_value};
pub use label::{Operator, Requirement, Selector};
pub use object::{LabelSelector, LabelSelectorRequirement, Leniency};
pub use parse::SelectorError;

#[cfg(test)]
mod tests;
