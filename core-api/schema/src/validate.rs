//! Value validations of a schema, with the texts that clients of CustomResourceDefinitions know.
//!
//! One walk over value and schema; paths are borrowed chains and texts are built only for what fails. On update a
//! node whose value did not change is not held against the user (ratcheting). The value has been pruned and
//! defaulted. CEL rules have a walk of their own ([`crate::cel::rules`]).
//! Upstream: kube-openapi `pkg/validation/{validate,errors}`, apiextensions `pkg/apiserver/validation`,
//! `pkg/apiserver/schema/{listtype,objectmeta}`.

use crate::schema::Schema;
use proa_meta::{FieldErrors, FieldPath, field::Problem};
use serde_json::Value;

mod declared;
pub mod embedded;
pub mod format;
pub mod lists;
mod number;
mod outcome;
mod walk;

pub(crate) use number::{go_float, whole_of};
pub(crate) use outcome::go_kind;

pub use declared::validate_required_and_enums;
pub use embedded::validate_embedded;
pub use lists::validate_lists;

/// Validates a value of a custom kind; `path` is where it is (`FieldPath::root("")` for a whole object).
pub fn validate(schema: &Schema, value: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    walk::check(schema, value, None).report(path, errors);
}

/// Validates a changed value: what was wrong before and did not change is let through.
pub fn validate_update(
    schema: &Schema,
    value: &Value,
    old: &Value,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    walk::check(schema, value, Some(old)).report(path, errors);
}

/// Everything that is checked on a whole custom object besides its type and metadata, in upstream's order: value
/// validations, embedded resources, list types, rules. `old` is the stored object on update; rules that did not hold
/// before either become warnings, which are returned.
pub fn validate_object(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    errors: &mut FieldErrors,
) -> Vec<String> {
    let root = FieldPath::root("");
    walk::check(schema, value, old).report(&root, errors);
    validate_embedded(schema, value, &root, errors);
    validate_whole(schema, value, old, errors)
}

/// The same for a write through `/status`: of values only those of the status are looked at.
pub fn validate_status(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    errors: &mut FieldErrors,
) -> Vec<String> {
    if let (Some(part), Some(status)) = (schema.child("status"), value.get("status")) {
        let before = old.and_then(|old| old.get("status"));
        walk::check(part, status, before).report(&FieldPath::root("status"), errors);
    }
    validate_whole(schema, value, old, errors)
}

/// List types and rules.
fn validate_whole(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    errors: &mut FieldErrors,
) -> Vec<String> {
    let root = FieldPath::root("");
    let mut before = FieldErrors::default();
    if let Some(old) = old {
        validate_lists(schema, old, &root, &mut before);
    }
    if before.is_empty() {
        validate_lists(schema, value, &root, errors);
    }
    validate_rules(schema, value, old, errors)
}

/// Rules are not checked on values that they are not made for.
fn validate_rules(
    schema: &Schema,
    value: &Value,
    old: Option<&Value>,
    errors: &mut FieldErrors,
) -> Vec<String> {
    const SKIPPED: &str = "some validation rules were not checked because the object was invalid; correct the existing \
                           errors to complete validation";
    let Some(rules) = schema.expressions.of(schema) else { return Vec::new() };
    let is_blocking = |problem: Problem| {
        use Problem::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
        matches!(problem, NotSupported | Required | TooLong | TooMany | TypeInvalid)
    };
    let root = FieldPath::root("");
    if errors.iter().any(|error| is_blocking(error.problem)) {
        errors.invalid(&root, &Value::Null, SKIPPED);
        return Vec::new();
    }
    rules.validate(schema, value, old, &root, errors)
}

#[cfg(test)]
mod tests;
