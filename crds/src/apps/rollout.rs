//! Limits of rolling updates: numbers or percentages.
//!
//! Upstream: `pkg/apis/apps/validation/validation.go`.

use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use serde_json::Value;

/// A number that is not negative, or a percentage.
pub(crate) fn int_or_percent(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    match at.value() {
        Value::String(text) => {
            at.invalid_each(errors, &names::is_valid_percent(text));
        }
        _ => at.non_negative(errors),
    }
}

/// At most `100%`; numbers are not limited.
pub(crate) fn at_most_all(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if percent(at.value()).is_some_and(|percent| percent > 100) {
        at.invalid(errors, "must not be greater than 100%");
    }
}

/// The number or the percentage; zero for anything else.
pub(super) fn amount(value: &Value) -> i64 {
    percent(value).or(value.as_i64()).unwrap_or(0)
}

fn percent(value: &Value) -> Option<i64> {
    let number = value.as_str()?.strip_suffix('%')?;
    // What is no percentage counts as zero, a negative one too.
    number.parse().ok().filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))
}
