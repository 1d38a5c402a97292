//! Lists of `metav1.Condition` in a status.
//!
//! Upstream: apimachinery `pkg/apis/meta/v1/validation/validation.go` (ValidateConditions).

use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use std::collections::BTreeSet;

const LONGEST_REASON: usize = 1024;
const LONGEST_MESSAGE: usize = 32 * 1024;

/// Each type once, each condition complete.
pub(crate) fn validate(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for condition in list.items() {
        let kind = condition.text_of("type");
        if !seen.insert(kind) {
            condition.with(&kind.into()).duplicate(errors);
        }
        validate_one(&condition, errors);
    }
}

fn validate_one(condition: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let kind = condition.get("type");
    if kind.is_empty() {
        kind.required(errors, "is required");
    } else {
        kind.named(errors, names::is_qualified_name);
    }
    condition.get("status").one_of(errors, &["False", "True", "Unknown"]);
    let observed = condition.get("observedGeneration");
    if observed.int() < 0 {
        observed.invalid(errors, "must be greater than or equal to zero");
    }
    condition.get("lastTransitionTime").must_be_set(errors);
    let reason = condition.get("reason");
    if reason.must_be_set(errors) {
        reason.named(errors, reason_text);
    }
    for (text, longest) in [(reason, LONGEST_REASON), (condition.get("message"), LONGEST_MESSAGE)] {
        if text.text().len() > longest {
            errors.too_long(text.path(), longest);
        }
    }
}

fn reason_text(reason: &str) -> Vec<String> {
    const TEXT: &str = "a condition reason must start with alphabetic character, optionally followed by a string of \
                        alphanumeric characters or '_,:', and must end with an alphanumeric character or '_'";
    const REGEX: &str = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?";
    let is_inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ',' | ':');
    let fits = reason.starts_with(|c: char| c.is_ascii_alphabetic())
        && reason.chars().all(is_inner)
        && reason.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let examples = ["my_name", "MY_NAME", "MyName", "ReasonA,ReasonB", "ReasonA:ReasonB"];
    if fits { Vec::new() } else { vec![names::regex_error(TEXT, REGEX, &examples)] }
}
