//! Defaults of a schema obey the schema: nothing unknown in them, and they are valid.
//!
//! Upstream: apiextensions `pkg/apiserver/schema/defaulting/validation.go`.

use crate::{
    cel::rules::Validator,
    prune::{Root, prune_silently},
    schema::{Schema, SchemaRef, Shape},
    validate,
};
use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

/// Reports wrong defaults of the schema of a whole object.
pub(super) fn check(schema: &Schema, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if schema.default.is_some() && !schema.embedded_resource {
        return node(&Schema { embedded_resource: true, ..schema.clone() }, path, errors);
    }
    node(schema, path, errors);
}

/// Those of a node and below it. `additionalProperties` are not followed: a default there fills nothing but nulls.
fn node(schema: &Schema, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if let Some(default) = &schema.default {
        one(schema, default, &path.child("default"), errors);
    }
    match &schema.shape {
        Shape::List(list) => node(&list.items, &path.child("items"), errors),
        Shape::Object(object) => {
            let properties = path.child("properties");
            for (name, field) in &object.fields {
                node(&field.schema, &properties.key(name), errors);
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
        validate::validate(&relaxed(schema), default, path, &mut wrong);
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

/// The schema without what upstream asks of no default: that a number or text is one.
fn relaxed(schema: &Schema) -> Schema {
    let inline = |schema: &SchemaRef| SchemaRef::inline(relaxed(schema));
    let mut relaxed = schema.clone();
    match &mut relaxed.shape {
        Shape::IntOrString => relaxed.shape = Shape::Any,
        Shape::List(list) => list.items = inline(&list.items),
        Shape::Map(map) => map.values = inline(&map.values),
        Shape::Object(object) => {
            object.fields.values_mut().for_each(|field| field.schema = inline(&field.schema));
            object.additional = object.additional.as_ref().map(inline);
        }
        _ => {}
    }
    relaxed
}
