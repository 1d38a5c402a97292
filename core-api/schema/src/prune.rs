//! Unknown fields of custom kinds are dropped.
//!
//! A field is known when the schema names it or `additionalProperties` allows it; below
//! `x-kubernetes-preserve-unknown-fields` everything stays. `apiVersion`, `kind` and `metadata` of the root and of
//! embedded resources are left alone (see [`coerce_embedded`] for the latter). Idempotent.
//! Upstream: apiextensions `pkg/apiserver/schema/pruning/algorithm.go`, `objectmeta/algorithm.go`.

use crate::{
    decode,
    json::StrictIssue,
    schema::{Schema, Shape},
};
use proa_meta::{FieldErrors, FieldPath};
use serde_json::{Map, Value};

const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Most dropped fields that are reported; all are dropped.
const MAX_DROPPED: usize = 1000;

/// Whether the value is a whole object, whose type and metadata the schema need not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// A whole object.
    Resource,
    /// A part, such as a default value.
    Part,
}

/// Drops unknown fields and reports them, sorted, as strict decoding does.
pub fn prune(schema: &Schema, value: &mut Value, root: Root) -> Vec<StrictIssue> {
    let mut dropped = Vec::new();
    let mut pruner = Pruner { dropped: Some(&mut dropped) };
    pruner.root(schema, value, root);
    dropped.sort();
    dropped.into_iter().map(StrictIssue::Unknown).collect()
}

/// Drops unknown fields without reporting them.
pub fn prune_silently(schema: &Schema, value: &mut Value, root: Root) {
    Pruner { dropped: None }.root(schema, value, root);
}

/// `additionalProperties: true` allows keys without saying what they hold: objects in it are emptied.
fn structural(schema: &Schema) -> Option<&Schema> {
    let says_nothing =
        matches!(schema.shape, Shape::Any) && !schema.preserve_unknown && !schema.embedded_resource;
    (!says_nothing).then_some(schema)
}

/// The schema of a key: `None` when unknown, `Some(None)` when allowed without a schema.
pub(crate) fn entry<'s>(schema: &'s Schema, key: &str) -> Option<Option<&'s Schema>> {
    schema.child(key).map(|child| structural(child.get()))
}

pub(crate) fn items(schema: &Schema) -> Option<&Schema> {
    match &schema.shape {
        Shape::List(list) => Some(list.items.get()),
        _ => None,
    }
}

struct Pruner<'a> {
    dropped: Option<&'a mut Vec<String>>,
}

impl Pruner<'_> {
    fn root(&mut self, schema: &Schema, value: &mut Value, root: Root) {
        let path = FieldPath::root("");
        match value {
            Value::Object(map) if root == Root::Resource => self.object(schema, true, map, &path, true),
            value => self.node(Some(schema), value, &path),
        }
    }

    fn node(&mut self, schema: Option<&Schema>, value: &mut Value, path: &FieldPath<'_>) {
        match (value, schema) {
            (Value::Object(map), Some(schema)) => {
                self.object(schema, schema.embedded_resource, map, path, false);
            }
            (Value::Object(map), None) => {
                map.keys().for_each(|key| self.drop(path, key));
                map.clear();
            }
            (Value::Array(list), Some(schema)) if schema.preserve_unknown => {
                if let Some(items) = items(schema) {
                    let each = list.iter_mut().enumerate();
                    each.for_each(|(i, item)| self.kept(items, item, &path.index(i)));
                }
            }
            (Value::Array(list), schema) => {
                let items = schema.and_then(items);
                let each = list.iter_mut().enumerate();
                each.for_each(|(i, item)| self.node(items, item, &path.index(i)));
            }
            _ => {}
        }
    }

    fn object(
        &mut self,
        schema: &Schema,
        embedded: bool,
        map: &mut Map<String, Value>,
        path: &FieldPath<'_>,
        at_root: bool,
    ) {
        map.retain(|key, value| {
            if embedded && META.contains(&key.as_str()) {
                return true;
            }
            match entry(schema, key) {
                Some(child) => self.node(child, value, &path.child(key)),
                None if schema.preserve_unknown => {}
                None => {
                    if !at_root || !META.contains(&key.as_str()) {
                        self.drop(path, key);
                    }
                    return false;
                }
            }
            true
        });
    }

    /// An element of a list that keeps unknown fields: it keeps them too, whatever its own schema says.
    fn kept(&mut self, schema: &Schema, value: &mut Value, path: &FieldPath<'_>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    let is_meta = schema.embedded_resource && META.contains(&key.as_str());
                    if let (false, Some(child)) = (is_meta, entry(schema, key)) {
                        self.node(child, value, &path.child(key));
                    }
                }
            }
            Value::Array(list) => {
                if let Some(items) = items(schema) {
                    list.iter_mut().enumerate().for_each(|(i, item)| self.kept(items, item, &path.index(i)));
                }
            }
            _ => {}
        }
    }

    fn drop(&mut self, path: &FieldPath<'_>, key: &str) {
        if let Some(dropped) = &mut self.dropped
            && dropped.len() < MAX_DROPPED
        {
            dropped.push(path.child(key).to_string());
        }
    }
}

/// Checks the types of `apiVersion`, `kind` and `metadata` of embedded resources and brings their metadata into
/// the form of `object_meta`, the built-in ObjectMeta. Returns metadata fields that strictness would refuse.
pub fn coerce_embedded(
    schema: &Schema,
    value: &mut Value,
    object_meta: &Schema,
    errors: &mut FieldErrors,
) -> Vec<StrictIssue> {
    let mut coercer = Coercer { object_meta, errors, issues: Vec::new() };
    coercer.node(schema, value, &FieldPath::root(""));
    coercer.issues
}

struct Coercer<'a> {
    object_meta: &'a Schema,
    errors: &'a mut FieldErrors,
    issues: Vec<StrictIssue>,
}

impl Coercer<'_> {
    fn node(&mut self, schema: &Schema, value: &mut Value, path: &FieldPath<'_>) {
        match value {
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    if schema.embedded_resource {
                        self.meta(key, value, path);
                    }
                    if let Some(Some(child)) = entry(schema, key) {
                        self.node(child, value, &path.child(key));
                    }
                }
            }
            Value::Array(list) => {
                if let Some(items) = items(schema) {
                    list.iter_mut().enumerate().for_each(|(i, item)| self.node(items, item, &path.index(i)));
                }
            }
            _ => {}
        }
    }

    fn meta(&mut self, key: &str, value: &mut Value, path: &FieldPath<'_>) {
        let path = path.child(key);
        match key {
            "apiVersion" | "kind" if !value.is_string() => {
                self.errors.invalid(&path, value, "must be a string");
            }
            "metadata" => match decode::decode_part(self.object_meta, value, "v1.ObjectMeta") {
                Ok(issues) => {
                    crate::canonical::canonical(self.object_meta, value);
                    self.issues.extend(issues.into_iter().map(|issue| within(&path, issue)));
                }
                Err(error) => self.errors.invalid(&path, value, &error.to_string()),
            },
            _ => {}
        }
    }
}

fn within(path: &FieldPath<'_>, issue: StrictIssue) -> StrictIssue {
    match issue {
        StrictIssue::Unknown(name) => decode::unknown(&path.child(&name)),
        other => other,
    }
}

#[cfg(test)]
mod tests;
