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

/// The field that a path without brackets leads to, and the path in the form of error messages.
///
/// # Errors
/// It is malformed, or there is no such field.
pub fn field_at<'j>(text: &str, schema: &'j Value) -> Result<(Box<str>, &'j Value), String> {
    crate::cel::rules::field_at(text, schema)
}

/// Calls `visit` with a schema and all schemas in it.
pub fn each_node<'v>(json: &'v Value, visit: &mut dyn FnMut(&'v Value)) {
    const BELOW: [&str; 11] = [
        "items",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "properties",
        "additionalProperties",
        "patternProperties",
        "additionalItems",
        "definitions",
        "dependencies",
    ];
    let Some(node) = Node::of(json) else { return };
    visit(json);
    for keyword in BELOW {
        match (keyword, node.get(keyword)) {
            (_, Some(Value::Array(list))) => list.iter().for_each(|one| each_node(one, visit)),
            (
                "properties" | "patternProperties" | "definitions" | "dependencies",
                Some(Value::Object(map)),
            ) => {
                map.values().for_each(|one| each_node(one, visit));
            }
            (_, Some(one)) => each_node(one, visit),
            (_, None) => {}
        }
    }
}

/// Whether a schema or one in it has a default.
pub fn has_default(json: &Value) -> bool {
    let mut found = false;
    each_node(json, &mut |node| found |= !node["default"].is_null());
    found
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
    let converted = convert::schema_of(json);
    let mut is_structural = false;
    if let Ok(schema) = &converted {
        let mut wrong = FieldErrors::default();
        structural::check(root, path, &mut wrong);
        if wrong.is_empty() {
            defaults::check(schema, path, &mut wrong);
        }
        is_structural = wrong.is_empty();
        errors.extend(wrong);
    }
    let mut misused = FieldErrors::default();
    extensions::check(root, path, &mut misused);
    let mut broken = FieldErrors::default();
    if is_structural {
        rules::check(root, path, &misused, &mut broken);
    }
    errors.extend(misused);
    errors.extend(broken);
    match converted {
        Err(why) if errors.is_empty() => {
            errors.invalid(path, &Value::String(String::new()), &why);
            None
        }
        converted => converted.ok(),
    }
}

#[cfg(test)]
mod tests;
