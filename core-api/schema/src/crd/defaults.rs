//! Defaults of a schema obey the schema: nothing unknown in them, and they are valid.
//!
//! Upstream: apiextensions `pkg/apiserver/schema/defaulting/validation.go`.

use crate::{
    cel::rules::Validator,
    prune::{Root, prune_silently},
    schema::{Schema, Shape},
    validate,
};
use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

/// Reports wrong defaults, in the whole tree. `additionalProperties` are not followed: a default there fills nothing
/// but nulls.
pub(super) fn check(schema: &Schema, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if let Some(default) = &schema.default {
        one(schema, default, &path.child("default"), errors);
    }
    match &schema.shape {
        Shape::List(list) => check(&list.items, &path.child("items"), errors),
        Shape::Object(object) => {
            let properties = path.child("properties");
            for (name, field) in &object.fields {
                check(&field.schema, &properties.key(name), errors);
            }
        }
        _ => {}
    }
}

fn one(schema: &Schema, default: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let root = if schema.embedded_resource { Root::Resource } else { Root::Part };
    let mut pruned = default.clone();
    prune_silently(schema, &mut pruned, root);
    if pruned != *default {
        errors.invalid(path, default, "must not have unknown fields");
    }
    let mut embedded = FieldErrors::default();
    validate::validate_embedded(schema, default, path, &mut embedded);
    if embedded.is_empty() {
        let mut wrong = FieldErrors::default();
        validate::validate(schema, default, path, &mut wrong);
        // Rules are for values that are valid otherwise.
        if wrong.is_empty()
            && let Some(rules) = Validator::of_node(schema, schema.embedded_resource)
        {
            rules.validate_default(schema, default, path, &mut wrong);
        }
        errors.extend(wrong);
    }
    errors.extend(embedded);
}
