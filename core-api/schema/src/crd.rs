//! `openAPIV3Schema` of a CustomResourceDefinition: checks, conversion to a [`Schema`], and publication.
//!
//! A schema that passes is structural: every value has one declared type, alternatives only narrow it, and pruning,
//! defaulting and apply can rely on it. Everything that is accepted is enforced. Upstream: apiextensions `pkg/apis/apiextensions/validation/validation.go`, `pkg/apiserver/schema`,
//! `pkg/controller/openapi`.

use crate::schema::Schema;
use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

mod convert;
mod defaults;
mod extensions;
mod keywords;
mod node;
pub mod openapi;
mod pattern;
mod rules;
mod structural;

pub use convert::schema_of;

use node::Node;

/// A regular expression in RE2 syntax.
pub(crate) fn pattern_of(source: &str) -> Result<regex::Regex, String> {
    pattern::compile(source).map(|pattern| pattern.regex)
}

/// Whether the version serves `/status`, which restricts the root of its schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusSubresource {
    /// `/status` is served.
    Served,
    /// It is not.
    Absent,
}

/// Checks the `openAPIV3Schema` at `path` (`spec.versions[0].schema.openAPIV3Schema`) and converts it. `None` when
/// it is refused; `errors` then says why.
pub fn compile(
    json: &Value,
    status: StatusSubresource,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> Option<Schema> {
    let mut found = FieldErrors::default();
    let schema = checked(json, status, path, &mut found);
    let is_valid = found.is_empty();
    errors.extend(found);
    schema.filter(|_| is_valid)
}

fn checked(
    json: &Value,
    status: StatusSubresource,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> Option<Schema> {
    keywords::check_types(json, path, errors);
    let Some(root) = Node::of(json) else {
        errors.type_invalid(path, json, "must be an object");
        return None;
    };
    if !errors.is_empty() {
        return None;
    }
    if status == StatusSubresource::Served {
        keywords::check_root_with_status(root, json, path, errors);
    }
    if root.flag("nullable") {
        errors.forbidden(&path.child("nullable"), "nullable cannot be true at the root");
    }
    let (schema, unsupported) = match convert::schema_of(json) {
        Ok(schema) => (Some(schema), None),
        Err(why) => (None, Some(why)),
    };
    if let Some(schema) = &schema {
        let mut wrong = FieldErrors::default();
        structural::check(root, path, &mut wrong);
        if wrong.is_empty() {
            defaults::check(schema, path, &mut wrong);
        }
        errors.extend(wrong);
    }
    extensions::check(root, path, errors);
    if errors.is_empty() && schema.is_some() {
        rules::check(root, path, errors);
    }
    if let (true, Some(why)) = (errors.is_empty(), unsupported) {
        errors.invalid(path, &Value::String(String::new()), &why);
    }
    schema
}

#[cfg(test)]
mod tests;
