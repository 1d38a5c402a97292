//! Is the schema structural? Types are declared outside of alternatives, and alternatives only mention what is.
//!
//! Errors are sorted by their text, as upstream sorts them. Upstream: apiextensions
//! `pkg/apiserver/schema/{validation,complete}.go`.

use super::{node::Node, pattern};
use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

#[derive(Clone, Copy, PartialEq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Reports what keeps the schema from being structural.
pub(super) fn check(root: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let mut found = FieldErrors::default();
    invariants(root, Level::Root, path, &mut found);
    validations_complete(root, Some(root), path, path, &mut found);
    let mut sorted: Vec<_> = found.into_iter().collect();
    sorted.sort_by_cached_key(ToString::to_string);
    sorted.into_iter().for_each(|error| errors.push(error));
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn invariants(node: Node<'_>, level: Level, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if node.text("type") == "array" && node.items().is_none() {
        errors.required(&path.child("items"), "must be specified");
    }
    if let Some(items) = node.items() {
        invariants(items, Level::Item, &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, property) in node.properties() {
        invariants(property, Level::Field, &properties.key(name), errors);
    }
    let additional = path.child("additionalProperties");
    if node.additional().is_some() && level == Level::Root {
        errors.forbidden(&additional, "must not be used at the root");
    }
    if let Some(schema) = node.additional_schema() {
        invariants(schema, Level::Field, &additional, errors);
    }
    exclusive_extensions(node, path, errors);
    let skip =
        Skip { any_of: is_int_or_string(node.list("anyOf")), first_all_of: has_int_or_string_all_of(node) };
    value_validation(node, skip, path, errors);
    declared_type(node, level, path, errors);
    meta(node, level, path, errors);
}

fn exclusive_extensions(node: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    const WHY: &str = "must be false if x-kubernetes-int-or-string is true";
    for keyword in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if node.int_or_string() && node.flag(keyword) {
            errors.invalid(&path.child(keyword), &Value::Bool(true), WHY);
        }
    }
}

fn declared_type(node: Node<'_>, level: Level, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    const EMBEDDED: &str = "must be object if x-kubernetes-embedded-resource is true";
    let kind = node.text("type");
    let at = path.child("type");
    if node.is_embedded() && kind != "object" {
        if kind.is_empty() {
            errors.required(&at, EMBEDDED);
        } else {
            errors.invalid(&at, &text(kind), EMBEDDED);
        }
    } else if kind.is_empty() && !node.int_or_string() && !node.preserves_unknown() {
        errors.required(
            &at,
            match level {
                Level::Root => "must not be empty at the root",
                Level::Item => "must not be empty for specified array items",
                Level::Field => "must not be empty for specified object fields",
            },
        );
    }
    if node.is_embedded() && node.additional().is_some() {
        let at = path.child("additionalProperties");
        errors.forbidden(&at, "must not be used if x-kubernetes-embedded-resource is set");
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.invalid(&at, &text(kind), "must be object at the root");
    }
}

/// `apiVersion`, `kind` and `metadata` of whole objects.
fn meta(node: Node<'_>, level: Level, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let properties = path.child("properties");
    let is_resource = level == Level::Root || node.is_embedded();
    for name in ["kind", "apiVersion"] {
        if let Some(property) = node.property(name).filter(|_| is_resource)
            && property.text("type") != "string"
        {
            errors.invalid(
                &properties.key(name).child("type"),
                &text(property.text("type")),
                "must be string",
            );
        }
    }
    if let Some(metadata) = node.property("metadata") {
        let at = properties.key("metadata");
        if is_resource && metadata.text("type") != "object" {
            errors.invalid(&at.child("type"), &text(metadata.text("type")), "must be object");
        }
        if level == Level::Root && !says_only_names(metadata) {
            const WHY: &str = "must not specify anything other than name and generateName, but metadata is implicitly specified";
            errors.forbidden(&at, WHY);
        }
    }
    if node.is_embedded() && !node.preserves_unknown() && !node.has("properties") {
        const WHY: &str = "must not be empty if x-kubernetes-embedded-resource is true without \
                           x-kubernetes-preserve-unknown-fields";
        errors.required(&properties, WHY);
    }
}

fn says_only_names(metadata: Node<'_>) -> bool {
    metadata.map().keys().all(|keyword| match keyword.as_str() {
        "type" | "default" => true,
        "properties" => metadata.properties().all(|(name, _)| matches!(name, "name" | "generateName")),
        other => !metadata.has(other),
    })
}

/// Exactly `[{type: integer}, {type: string}]`.
fn is_int_or_string(any_of: &[Value]) -> bool {
    let is_only = |json: &Value, kind: &str| {
        json.as_object()
            .is_some_and(|map| map.len() == 1 && map.get("type").is_some_and(|found| found == kind))
    };
    matches!(any_of, [a, b] if is_only(a, "integer") && is_only(b, "string"))
}

fn has_int_or_string_all_of(node: Node<'_>) -> bool {
    node.nodes("allOf").next().is_some_and(|first| is_int_or_string(first.list("anyOf")))
}

/// The two forms in which `x-kubernetes-int-or-string` may repeat itself.
#[derive(Clone, Copy, Default)]
struct Skip {
    any_of: bool,
    first_all_of: bool,
}

fn value_validation(node: Node<'_>, skip: Skip, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    if !skip.any_of {
        for (i, one) in node.nodes("anyOf").enumerate() {
            nested(one, Skip::default(), &path.child("anyOf").index(i), errors);
        }
    }
    for (i, one) in node.nodes("allOf").enumerate() {
        let skip = Skip { any_of: skip.first_all_of && i == 0, first_all_of: false };
        nested(one, skip, &path.child("allOf").index(i), errors);
    }
    for (i, one) in node.nodes("oneOf").enumerate() {
        nested(one, Skip::default(), &path.child("oneOf").index(i), errors);
    }
    if let Some(not) = node.node("not") {
        nested(not, Skip::default(), &path.child("not"), errors);
    }
    let source = node.text("pattern");
    if !source.is_empty()
        && let Err(why) = pattern::compile(source)
    {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        errors.invalid(&path.child("pattern"), &text(source), &detail);
    }
}

/// What an alternative may not say.
const FORBIDDEN_IN_NESTED: [(&str, &str); 11] = [
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

fn nested(node: Node<'_>, skip: Skip, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    value_validation(node, skip, path, errors);
    if let Some(items) = node.items() {
        nested(items, Skip::default(), &path.child("items"), errors);
    }
    let properties = path.child("properties");
    for (name, property) in node.properties() {
        nested(property, Skip::default(), &properties.key(name), errors);
    }
    for (keyword, why) in FORBIDDEN_IN_NESTED {
        let is_set = match keyword {
            "default" => node.get(keyword).is_some(),
            "additionalProperties" => !matches!(node.get(keyword), None | Some(Value::Bool(false))),
            _ => node.has(keyword),
        };
        if is_set {
            errors.forbidden(&path.child(keyword), why);
        }
    }
    for keyword in ["x-kubernetes-list-type", "x-kubernetes-map-type"] {
        if node.get(keyword).is_some() {
            errors.forbidden(&path.child(keyword), "must be undefined to be structural");
        }
    }
    if node.property("metadata").is_some() {
        errors.forbidden(&properties.key("metadata"), "must not be specified in a nested context");
    }
}

/// Every field that an alternative mentions is declared outside of it. `declared` is the node there.
fn validations_complete(
    node: Node<'_>,
    declared: Option<Node<'_>>,
    declared_path: &FieldPath<'_>,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    if let Some(not) = node.node("not") {
        complete(not, declared, declared_path, &path.child("not"), errors);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for (i, one) in node.nodes(keyword).enumerate() {
            complete(one, declared, declared_path, &path.child(keyword).index(i), errors);
        }
    }
}

fn complete(
    node: Node<'_>,
    declared: Option<Node<'_>>,
    declared_path: &FieldPath<'_>,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    let Some(outer) = declared else {
        errors.required(declared_path, &format!("because it is defined in {path}"));
        return;
    };
    validations_complete(node, declared, declared_path, path, errors);
    if let Some(items) = node.items() {
        complete(items, outer.items(), &declared_path.child("items"), &path.child("items"), errors);
    }
    let (declared_properties, properties) = (declared_path.child("properties"), path.child("properties"));
    for (name, property) in node.properties() {
        let inner = outer.property(name);
        complete(property, inner, &declared_properties.key(name), &properties.key(name), errors);
    }
}
