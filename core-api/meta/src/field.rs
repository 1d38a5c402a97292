//! Field paths and field errors with upstream's texts.
//!
//! Upstream: apimachinery `pkg/util/validation/field/{path,errors}.go`. Collected, not thrown: a validation
//! reports everything it finds, in order.

use crate::status::Cause;
use serde_json::Value;
use std::fmt::{self, Write as _};

/// Path of a field: `spec.template.spec.containers[0].image`, `metadata.labels[a.b/c]`.
/// A borrowed chain, so building one allocates nothing until it is printed.
#[derive(Clone, Copy, Debug)]
pub struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> FieldPath<'a> {
    /// A path of one name; the empty name is the object itself.
    pub const fn root(name: &'a str) -> Self {
        Self { parent: None, step: Step::Name(name) }
    }
    /// A named child.
    pub const fn child<'b>(&'b self, name: &'b str) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Name(name) }
    }
    /// A path beside this one, under another name.
    pub const fn sibling<'b>(&self, name: &'b str) -> FieldPath<'b>
    where
        'a: 'b,
    {
        FieldPath { parent: self.parent, step: Step::Name(name) }
    }
    /// A list element.
    pub const fn index<'b>(&'b self, index: usize) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Index(index) }
    }
    /// A map entry.
    pub const fn key<'b>(&'b self, key: &'b str) -> FieldPath<'b> {
        FieldPath { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Name("") => Ok(()),
            Step::Name(name) if self.parent.is_none_or(FieldPath::is_empty) => f.write_str(name),
            Step::Name(name) => write!(f, ".{name}"),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

impl FieldPath<'_> {
    fn is_empty(&self) -> bool {
        matches!(self.step, Step::Name("")) && self.parent.is_none_or(FieldPath::is_empty)
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A referenced object does not exist.
    NotFound,
    /// A value that must be there is not.
    Required,
    /// A value that must be unique is not.
    Duplicate,
    /// A malformed or otherwise wrong value.
    Invalid,
    /// A value outside the enumeration.
    NotSupported,
    /// Not permitted here.
    Forbidden,
    /// String too long.
    TooLong,
    /// List too long.
    TooMany,
    /// Not the field's fault.
    Internal,
    /// Wrong JSON type.
    TypeInvalid,
}

impl Problem {
    const fn text(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
    const fn cause(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }
}

/// One wrong field. `body` is the text behind the path, exactly as upstream words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    /// Kind of problem.
    pub problem: Problem,
    /// Printed path.
    pub field: String,
    /// Text without the path.
    pub body: String,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body)
    }
}

/// Field errors in the order in which they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &FieldError> {
        self.0.iter()
    }
    /// Appends another list.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
    /// Appends one error.
    pub fn push(&mut self, error: FieldError) {
        self.0.push(error);
    }

    /// Each error once.
    #[must_use]
    pub fn without_repeats(mut self) -> Self {
        let mut seen = std::collections::HashSet::with_capacity(self.0.len());
        self.0.retain(|error| seen.insert(error.to_string()));
        self
    }

    fn add(&mut self, problem: Problem, path: &FieldPath<'_>, value: Option<&Value>, detail: &str) {
        let mut body = problem.text().to_owned();
        if let Some(value) = value {
            body.push_str(": ");
            write_value(&mut body, value);
        }
        if !detail.is_empty() {
            body.push_str(": ");
            body.push_str(detail);
        }
        let field = match path.to_string() {
            text if text.is_empty() => "<nil>".to_owned(),
            text => text,
        };
        self.0.push(FieldError { problem, field, body });
    }

    /// `Required value[: detail]`.
    pub fn required(&mut self, path: &FieldPath<'_>, detail: &str) {
        self.add(Problem::Required, path, None, detail);
    }
    /// `Invalid value: VALUE: detail`.
    pub fn invalid(&mut self, path: &FieldPath<'_>, value: &Value, detail: &str) {
        self.add(Problem::Invalid, path, Some(value), detail);
    }
    /// `Invalid value: detail`, where the value is too large to be shown.
    pub fn invalid_omitted(&mut self, path: &FieldPath<'_>, detail: &str) {
        self.add(Problem::Invalid, path, None, detail);
    }
    /// `Duplicate value`, where the value is too large to be shown.
    pub fn duplicate_omitted(&mut self, path: &FieldPath<'_>) {
        self.add(Problem::Duplicate, path, None, "");
    }
    /// `Invalid value: VALUE: detail` for a wrong JSON type.
    pub fn type_invalid(&mut self, path: &FieldPath<'_>, value: &Value, detail: &str) {
        self.add(Problem::TypeInvalid, path, Some(value), detail);
    }
    /// `Duplicate value: VALUE`.
    pub fn duplicate(&mut self, path: &FieldPath<'_>, value: &Value) {
        self.add(Problem::Duplicate, path, Some(value), "");
    }
    /// `Not found: VALUE`.
    pub fn not_found(&mut self, path: &FieldPath<'_>, value: &Value) {
        self.add(Problem::NotFound, path, Some(value), "");
    }
    /// `Forbidden[: detail]`.
    pub fn forbidden(&mut self, path: &FieldPath<'_>, detail: &str) {
        self.add(Problem::Forbidden, path, None, detail);
    }
    /// `Unsupported value: VALUE: supported values: "A", "B"` (in the given order).
    pub fn not_supported(&mut self, path: &FieldPath<'_>, value: &Value, supported: &[&str]) {
        let mut detail = String::new();
        for (i, one) in supported.iter().enumerate() {
            detail.push_str(if i == 0 { "supported values: " } else { ", " });
            let _ = write!(detail, "{one:?}");
        }
        self.add(Problem::NotSupported, path, Some(value), &detail);
    }
    /// `Too long: may not be more than N bytes`.
    pub fn too_long(&mut self, path: &FieldPath<'_>, max_bytes: usize) {
        let unit = if max_bytes == 1 { "byte" } else { "bytes" };
        self.add(Problem::TooLong, path, None, &format!("may not be more than {max_bytes} {unit}"));
    }
    /// `Too many: N: must have at most M items`.
    pub fn too_many(&mut self, path: &FieldPath<'_>, actual: usize, max: usize) {
        let unit = if max == 1 { "item" } else { "items" };
        self.add(
            Problem::TooMany,
            path,
            Some(&Value::from(actual)),
            &format!("must have at most {max} {unit}"),
        );
    }
    /// `Internal error: detail`.
    pub fn internal(&mut self, path: &FieldPath<'_>, detail: &str) {
        self.add(Problem::Internal, path, None, detail);
    }

    /// The text behind `is invalid: `: one error as it is, several in brackets, equal ones once.
    pub fn summary(&self) -> String {
        let mut seen: Vec<String> = Vec::new();
        for error in &self.0 {
            let text = error.to_string();
            if !seen.contains(&text) {
                seen.push(text);
            }
        }
        match seen.as_slice() {
            [] => String::new(),
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        }
    }

    /// `details.causes` of the `Status`.
    pub fn causes(&self) -> Vec<Cause> {
        let cause = |e: &FieldError| Cause {
            reason: e.problem.cause().to_owned(),
            message: e.body.clone(),
            field: e.field.clone(),
        };
        self.0.iter().map(cause).collect()
    }
}

impl IntoIterator for FieldErrors {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Strings quoted, scalars bare, objects and lists as JSON.
fn write_value(out: &mut String, value: &Value) {
    let _ = match value {
        Value::String(s) => write!(out, "{s:?}"),
        other => write!(out, "{other}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn paths_print_as_upstream() {
        let spec = FieldPath::root("spec");
        let containers = spec.child("containers");
        let first = containers.index(0);
        assert_eq!(first.child("image").to_string(), "spec.containers[0].image");
        let labels = FieldPath::root("metadata");
        assert_eq!(labels.child("labels").key("a/b").to_string(), "metadata.labels[a/b]");
        assert_eq!(FieldPath::root("").child("kind").to_string(), "kind");
    }

    #[test]
    fn bodies_are_upstreams() {
        let spec = FieldPath::root("spec");
        let path = spec.child("type");
        let mut errors = FieldErrors::default();
        errors.not_supported(&path, &json!("X"), &["A", "B"]);
        errors.invalid(&path, &json!(-1), "must be greater than or equal to 0");
        errors.required(&path, "");
        let bodies: Vec<_> = errors.iter().map(|e| e.body.as_str()).collect();
        assert_eq!(
            bodies,
            [
                "Unsupported value: \"X\": supported values: \"A\", \"B\"",
                "Invalid value: -1: must be greater than or equal to 0",
                "Required value",
            ]
        );
        assert!(errors.summary().starts_with('['));
    }
}
