//! What a validation found, before it is known whether it counts: alternatives (`anyOf`, `oneOf`) try several
//! schemas and report the best failure only.

use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

/// One failure, at a path relative to where the validation began.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Failure {
    Required {
        path: String,
    },
    Enum {
        path: String,
        value: Value,
        allowed: Vec<String>,
    },
    TooLong {
        path: String,
        max: u64,
    },
    TooMany {
        path: String,
        actual: usize,
        max: u64,
    },
    Type {
        path: String,
        value: Value,
        text: String,
    },
    Invalid {
        path: String,
        value: Value,
        text: String,
    },
    /// Reported without a path, as upstream does for alternatives.
    Whole {
        text: String,
    },
}

/// Failures and how many checks ran well, which decides between failed alternatives.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) failures: Vec<Failure>,
    pub(super) matches: usize,
}

impl Outcome {
    pub(super) fn is_valid(&self) -> bool {
        self.failures.is_empty()
    }
    pub(super) fn fail(&mut self, failure: Failure) {
        if !self.failures.contains(&failure) {
            self.failures.push(failure);
        }
    }
    pub(super) fn merge(&mut self, other: Self) {
        self.matches += other.matches;
        for failure in other.failures {
            self.fail(failure);
        }
    }
    /// Adds the failures to `errors`, below `base`.
    pub(super) fn report(self, base: &FieldPath<'_>, errors: &mut FieldErrors) {
        self.failures.into_iter().for_each(|failure| failure.report(base, errors));
    }
}

impl Failure {
    fn report(self, base: &FieldPath<'_>, errors: &mut FieldErrors) {
        let at = |path: &str, add: &mut dyn FnMut(&FieldPath<'_>)| match path.trim_start_matches('.') {
            "" => add(base),
            path => add(&base.child(path)),
        };
        match self {
            Self::Required { path } => at(&path, &mut |path| errors.required(path, "")),
            Self::Enum { path, value, allowed } => {
                let allowed: Vec<&str> = allowed.iter().map(String::as_str).collect();
                at(&path, &mut |path| errors.not_supported(path, &null_as(&value, "null"), &allowed));
            }
            Self::TooLong { path, max } => at(&path, &mut |path| errors.too_long(path, to_usize(max))),
            Self::TooMany { path, actual, max } => {
                at(&path, &mut |path| errors.too_many(path, actual, to_usize(max)));
            }
            Self::Type { path, value, text } => {
                at(&path, &mut |path| errors.type_invalid(path, &null_as(&value, ""), &text));
            }
            Self::Invalid { path, value, text } => {
                at(&path, &mut |path| errors.invalid(path, &null_as(&value, ""), &text));
            }
            Self::Whole { text } => errors.invalid(base, &Value::String(String::new()), &text),
        }
    }
}

fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

/// Upstream's errors write an absent value as a text, and floats without a needless fraction.
fn null_as(value: &Value, text: &str) -> Value {
    match value {
        Value::Null => Value::String(text.to_owned()),
        Value::Number(number) if number.is_f64() => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() < 9e15 => Value::from(float as i64),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// A type as Go prints it for values of unknown shape.
pub(crate) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
