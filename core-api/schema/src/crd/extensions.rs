//! Keywords that no CustomResourceDefinition may use, and which `x-kubernetes-*` extensions go together.
//!
//! Upstream: apiextensions `pkg/apis/apiextensions/validation/validation.go`
//! (`ValidateCustomResourceDefinitionOpenAPISchema`).

use super::{node::Node, rules};
use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];

/// Where a node is, as far as it matters.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    /// Inside the metadata of an object.
    in_meta: bool,
    /// Why a default is forbidden here.
    no_default: Option<&'a str>,
    is_root: bool,
}

/// Reports misused keywords, in the whole tree.
pub(super) fn check(root: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    node(root, Place { is_root: true, ..Place::default() }, path, errors);
}

fn node(node: Node<'_>, place: Place<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    unsupported(node, place, path, errors);
    children(node, place, path, errors);
    preserve_and_map_type(node, path, errors);
    list_type(node, path, errors);
    list_map_keys(node, path, errors);
    key_values(node, path, errors);
    rules::fields(node, path, errors);
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn unsupported(node: Node<'_>, place: Place<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let kind = node.text("type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.not_supported(&path.child("type"), &text(kind), &TYPES);
    }
    if let (Some(why), true) = (place.no_default, node.get("default").is_some()) {
        let gap = if why.is_empty() { "" } else { " " };
        errors.forbidden(&path.child("default"), &format!("must not be set{gap}{why}"));
    }
    for keyword in ["id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"] {
        let is_set = match keyword {
            "additionalItems" | "dependencies" | "$ref" => node.get(keyword).is_some(),
            _ => node.has(keyword),
        };
        if is_set {
            errors.forbidden(&path.child(keyword), &format!("{keyword} is not supported"));
        }
    }
    if kind == "null" {
        errors.forbidden(&path.child("type"), "type cannot be set to null, use nullable as an alternative");
    }
    if !node.list("items").is_empty() {
        errors.forbidden(&path.child("items"), "items must be a schema object and not an array");
    }
    if place.in_meta && node.is_embedded() {
        let at = path.child("x-kubernetes-embedded-resource");
        errors.forbidden(&at, "must not be used inside of resource meta");
    }
    if node.flag("uniqueItems") {
        const WHY: &str = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
        errors.forbidden(&path.child("uniqueItems"), WHY);
    }
}

fn children(parent: Node<'_>, place: Place<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let inner = Place { is_root: false, ..place };
    let additional = path.child("additionalProperties");
    let is_plain_true = matches!(parent.get("additionalProperties"), None | Some(Value::Bool(true)));
    if parent.has("properties") && !is_plain_true {
        errors.forbidden(&additional, "additionalProperties and properties are mutual exclusive");
    }
    if let Some(schema) = parent.additional_schema() {
        const WHY: &str = "inside additionalProperties applying to object metadata";
        let no_default = if place.in_meta { Some(WHY) } else { place.no_default };
        node(schema, Place { no_default, ..inner }, &additional, errors);
    }
    let properties = path.child("properties");
    for (name, property) in parent.properties() {
        let why = format!("in top-level {name}");
        let is_meta = matches!(name, "metadata" | "kind" | "apiVersion");
        let mut inner = inner;
        if is_meta && (place.is_root || parent.is_embedded()) {
            inner.in_meta = true;
            if place.is_root {
                inner.no_default = Some(&why);
            }
        }
        node(property, inner, &properties.key(name), errors);
    }
    if let Some(not) = parent.node("not") {
        node(not, inner, &path.child("not"), errors);
    }
    for keyword in ["allOf", "oneOf", "anyOf"] {
        for (i, one) in parent.nodes(keyword).enumerate() {
            node(one, inner, &path.child(keyword).index(i), errors);
        }
    }
    let below = |keyword: &str, errors: &mut FieldErrors| {
        let at = path.child(keyword);
        parent.map_of(keyword).for_each(|(name, one)| node(one, inner, &at.key(name), errors));
    };
    below("definitions", errors);
    let items = path.child("items");
    if let Some(schema) = parent.items() {
        node(schema, inner, &items, errors);
    }
    for (i, schema) in parent.nodes("items").enumerate() {
        node(schema, inner, &items.index(i), errors);
    }
    below("dependencies", errors);
}

fn preserve_and_map_type(node: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    const PRESERVE: &str = "x-kubernetes-preserve-unknown-fields";
    if node.get(PRESERVE) == Some(&Value::Bool(false)) {
        errors.invalid(&path.child(PRESERVE), &Value::Bool(false), "must be true or undefined");
    }
    let Some(map_type) = node.get("x-kubernetes-map-type") else { return };
    wrong_type(node, "object", "must be object if x-kubernetes-map-type is specified", path, errors);
    if map_type != "atomic" && map_type != "granular" {
        errors.not_supported(&path.child("x-kubernetes-map-type"), map_type, &["atomic", "granular"]);
    }
}

/// Reports a declared type other than `wanted`; whether it did.
fn wrong_type(
    node: Node<'_>,
    wanted: &str,
    why: &str,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) -> bool {
    let kind = node.text("type");
    let path = path.child("type");
    match kind {
        _ if kind == wanted => return false,
        "" => errors.required(&path, why),
        other => errors.invalid(&path, &text(other), why),
    }
    true
}

fn list_type(node: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let Some(list_type) = node.get("x-kubernetes-list-type") else { return };
    const WHY: &str = "must be array if x-kubernetes-list-type is specified";
    if !wrong_type(node, "array", WHY, path, errors) && list_type == "set" {
        set_items(node, path, errors);
    }
    if list_type != "atomic" && list_type != "set" && list_type != "map" {
        errors.not_supported(&path.child("x-kubernetes-list-type"), list_type, &["atomic", "set", "map"]);
    }
}

/// Elements of a set are compared whole, so they are atomic.
fn set_items(node: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    const WHY: &str = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let Some(item) = node.items() else { return };
    let (keyword, is_wrong) = match item.text("type") {
        "array" => {
            let keyword = "x-kubernetes-list-type";
            (keyword, item.get(keyword).is_some_and(|found| found != "atomic"))
        }
        "object" => {
            let keyword = "x-kubernetes-map-type";
            (keyword, item.get(keyword).is_none_or(|found| found != "atomic"))
        }
        _ => return,
    };
    if is_wrong {
        let found = item.get("x-kubernetes-list-type").cloned().unwrap_or_else(|| text("null"));
        errors.invalid(&path.child("items").child(keyword), &found, WHY);
    }
}

fn list_map_keys(node: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let list_type = node.text("x-kubernetes-list-type");
    let at = path.child("x-kubernetes-list-map-keys");
    if node.has("x-kubernetes-list-map-keys") {
        const WHY: &str = "must be map if x-kubernetes-list-map-keys is non-empty";
        match list_type {
            "map" => {}
            "" => errors.required(&path.child("x-kubernetes-list-type"), WHY),
            other => errors.invalid(&path.child("x-kubernetes-list-type"), &text(other), WHY),
        }
    }
    if list_type != "map" {
        return;
    }
    if !node.has("x-kubernetes-list-map-keys") {
        errors.required(&at, "must not be empty if x-kubernetes-list-type is map");
    }
    let items = path.child("items");
    let item = match node.get("items") {
        None => return errors.required(&items, "must have a schema if x-kubernetes-list-type is map"),
        Some(json) => match Node::of(json) {
            Some(item) => item,
            None => {
                const WHY: &str = "must only have a single schema if x-kubernetes-list-type is map";
                return errors.invalid(&items, json, WHY);
            }
        },
    };
    if item.text("type") != "object" {
        const WHY: &str = "must be object if parent array's x-kubernetes-list-type is map";
        return errors.invalid(&items.child("type"), &text(item.text("type")), WHY);
    }
    keys_are_properties(node, item, path, errors);
}

fn keys_are_properties(node: Node<'_>, item: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let at = path.child("x-kubernetes-list-map-keys");
    let all = node.get("x-kubernetes-list-map-keys").cloned().unwrap_or_default();
    let keys: Vec<&str> = node.texts("x-kubernetes-list-map-keys").collect();
    for (i, key) in keys.iter().enumerate() {
        match item.property(key).map(|property| property.text("type")) {
            Some("array" | "object") => {
                const WHY: &str = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                let items = path.child("items");
                let properties = items.child("properties");
                errors.invalid(&properties.key(key).child("type"), &text(item.text("type")), WHY);
            }
            Some(_) => {}
            None => errors.invalid(&at, &all, "entries must all be names of item properties"),
        }
        if keys[..i].contains(key) {
            errors.invalid(&at, &all, "must not contain duplicate entries");
        }
    }
}

/// Elements and their keys always have a value.
fn key_values(node: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let list_type = node.text("x-kubernetes-list-type");
    let Some(item) = node.items().filter(|_| matches!(list_type, "set" | "map")) else { return };
    let items = path.child("items");
    if item.flag("nullable") {
        let why = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.forbidden(&items.child("nullable"), &why);
    }
    if list_type != "map" {
        return;
    }
    let properties = items.child("properties");
    for key in node.texts("x-kubernetes-list-map-keys") {
        let Some(property) = item.property(key) else { continue };
        let at = properties.key(key);
        if !item.texts("required").any(|required| required == key) && property.get("default").is_none() {
            const WHY: &str = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a \
                               required property";
            errors.required(&at.child("default"), WHY);
        }
        if property.flag("nullable") {
            const WHY: &str = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.forbidden(&at.child("nullable"), WHY);
        }
    }
}
