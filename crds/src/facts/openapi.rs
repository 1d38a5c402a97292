//! OpenAPI components of built-in types, in version 2 and version 3.
//!
//! Upstream: kube-openapi `pkg/generators/openapi.go`; the published differences of version 2 are in
//! `pkg/builder3/util` and `pkg/util`.

use super::{
    descriptions::descriptions,
    table::{Field, ListKind, Part, Shape, TypeFacts, type_facts, types},
};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// Which OpenAPI document a component is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenApiVersion {
    /// Swagger 2.0: `#/definitions/`, no defaults.
    V2,
    /// OpenAPI 3.0: `#/components/schemas/`.
    V3,
}

/// Types that are scalars or opaque in JSON: shape, OpenAPI name, component in version 2 and in version 3.
struct Special {
    shape: &'static str,
    name: &'static str,
    v2: fn() -> Value,
    v3: fn() -> Value,
}

const fn special(shape: &'static str, name: &'static str, v2: fn() -> Value, v3: fn() -> Value) -> Special {
    Special { shape, name, v2, v3 }
}

fn date_time() -> Value {
    json!({"type": "string", "format": "date-time"})
}
fn text() -> Value {
    json!({"type": "string"})
}
fn object() -> Value {
    json!({"type": "object"})
}
fn anything() -> Value {
    json!({})
}

const SPECIALS: [Special; 12] = [
    special("time", "io.k8s.apimachinery.pkg.apis.meta.v1.Time", date_time, date_time),
    special("microtime", "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", date_time, date_time),
    special("duration", "io.k8s.apimachinery.pkg.apis.meta.v1.Duration", text, text),
    special("fieldsv1", "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", object, object),
    // Body of a patch request: no field holds it.
    special("", "io.k8s.apimachinery.pkg.apis.meta.v1.Patch", object, object),
    special("raw", "io.k8s.apimachinery.pkg.runtime.RawExtension", object, object),
    special(
        "quantity",
        "io.k8s.apimachinery.pkg.api.resource.Quantity",
        text,
        || json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
    ),
    special(
        "int-or-string",
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        || json!({"type": "string", "format": "int-or-string"}),
        || json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
    ),
    special("json", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON", anything, anything),
    special(
        "schema-or-bool",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        anything,
        anything,
    ),
    special(
        "schema-or-array",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        anything,
        anything,
    ),
    special(
        "schema-or-strings",
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
        anything,
        anything,
    ),
];

/// Types whose component names every group and version there is, in version 3 that of the document, which who writes it
/// knows.
const COMMON: [&str; 2] = ["DeleteOptions", "WatchEvent"];
/// Types that are in no group.
const UNGROUPED: [&str; 5] = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status"];

/// The OpenAPI component of a type; `null` when there is no such type.
pub fn openapi_component(type_name: &str, version: OpenApiVersion) -> Value {
    let texts = descriptions(type_name);
    let mut component = if let Some(special) = SPECIALS.iter().find(|s| s.name == type_name) {
        match version {
            OpenApiVersion::V2 => (special.v2)(),
            OpenApiVersion::V3 => (special.v3)(),
        }
    } else if let Some(facts) = type_facts(type_name) {
        type_component(&facts, version)
    } else {
        return Value::Null;
    };
    if let Some(texts) = texts {
        describe(&mut component, texts.text());
        let properties = component.get_mut("properties").and_then(Value::as_object_mut);
        for (name, property) in properties.into_iter().flatten() {
            describe(property, texts.field(name));
        }
    }
    component
}

fn describe(node: &mut Value, text: &str) {
    if !text.is_empty()
        && let Some(node) = node.as_object_mut()
    {
        node.insert("description".to_owned(), Value::from(text));
        wrap_reference(node);
    }
}

/// In version 3 a reference beside other words stands in an `allOf`.
fn wrap_reference(node: &mut Map<String, Value>) {
    let is_v3 = node.get("$ref").and_then(Value::as_str).is_some_and(|to| to.starts_with("#/components/"));
    if is_v3
        && node.len() > 1
        && let Some(to) = node.remove("$ref")
    {
        node.insert("allOf".to_owned(), json!([{ "$ref": to }]));
    }
}

/// Names of the types that a type's fields refer to, each once.
pub fn referenced(type_name: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for field in type_facts(type_name).map(|f| f.json_fields()).unwrap_or_default() {
        if let Some(name) = leaf_name(field.shape).filter(|name| !names.iter().any(|n| n == name)) {
            names.push(name.to_owned());
        }
    }
    names
}

fn leaf_name(shape: Shape) -> Option<&'static str> {
    match shape.part() {
        Part::Type(facts) => Some(facts.name),
        Part::List(inner) | Part::Map(inner) => leaf_name(inner),
        Part::Scalar(name) => SPECIALS.iter().find(|s| s.shape == name).map(|s| s.name),
    }
}

fn type_component(facts: &TypeFacts, version: OpenApiVersion) -> Value {
    let fields = facts.json_fields();
    let mut component = Map::new();
    component.insert("type".to_owned(), Value::from("object"));
    let required: Vec<_> = fields.iter().filter(|f| f.is_required()).filter_map(|f| f.name).collect();
    if !required.is_empty() {
        component.insert("required".to_owned(), Value::from(required));
    }
    if !fields.is_empty() {
        let properties = fields.iter().filter_map(|f| Some((f.name?.to_owned(), property(f, version))));
        component.insert("properties".to_owned(), Value::Object(properties.collect()));
    }
    if facts.is_atomic() {
        component.insert("x-kubernetes-map-type".to_owned(), Value::from("atomic"));
    }
    if facts.is_union() {
        component.insert("x-kubernetes-unions".to_owned(), union(&fields));
    }
    let kinds = kinds(facts, version);
    if !kinds.is_empty() {
        component.insert("x-kubernetes-group-version-kind".to_owned(), Value::from(kinds));
    }
    Value::Object(component)
}

fn union(fields: &[Field]) -> Value {
    let mut members = Map::new();
    for name in fields.iter().filter(|f| !f.is_discriminator()).filter_map(|f| f.name) {
        let mut go_name = name.to_owned();
        go_name[..1].make_ascii_uppercase();
        members.insert(name.to_owned(), Value::from(go_name));
    }
    let mut union = Map::new();
    if let Some(name) = fields.iter().find(|f| f.is_discriminator()).and_then(|f| f.name) {
        union.insert("discriminator".to_owned(), Value::from(name));
    }
    union.insert("fields-to-discriminateBy".to_owned(), Value::Object(members));
    Value::from(vec![Value::Object(union)])
}

fn kinds(facts: &TypeFacts, version: OpenApiVersion) -> Vec<Value> {
    let gvk = |(group, version, kind)| json!({"group": group, "kind": kind, "version": version});
    let own: Vec<_> = facts.kinds().map(gvk).collect();
    let Some(kind) = facts.name.strip_prefix("io.k8s.apimachinery.pkg.apis.meta.v1.") else { return own };
    if UNGROUPED.contains(&kind) || (COMMON.contains(&kind) && version == OpenApiVersion::V3) {
        return vec![gvk(("", "v1", kind))];
    }
    if !COMMON.contains(&kind) {
        return own;
    }
    let versions: BTreeSet<_> =
        types().flat_map(|t| t.kinds()).map(|(group, version, _)| (group, version)).collect();
    versions.into_iter().map(|(group, version)| gvk((group, version, kind))).collect()
}

fn property(field: &Field, version: OpenApiVersion) -> Value {
    let mut node = node(field.shape, field, version);
    let mut set = |key: &str, value: Value| drop(node.insert(key.to_owned(), value));
    if version == OpenApiVersion::V3 {
        let default = field.default().or_else(|| zero(field.shape, field.omits_empty()));
        if let Some(default) = default {
            set("default", default);
        }
    }
    match field.list_kind() {
        ListKind::Atomic { declared: false } => {}
        ListKind::Atomic { declared: true } => set("x-kubernetes-list-type", Value::from("atomic")),
        ListKind::Set => set("x-kubernetes-list-type", Value::from("set")),
        ListKind::Map(keys) => {
            set("x-kubernetes-list-type", Value::from("map"));
            set("x-kubernetes-list-map-keys", Value::from(keys.split(',').collect::<Vec<_>>()));
        }
    }
    for (key, value) in [
        ("x-kubernetes-map-type", field.map_type()),
        ("x-kubernetes-patch-strategy", field.patch_strategy()),
        ("x-kubernetes-patch-merge-key", field.patch_merge_key()),
    ] {
        if let Some(value) = value {
            set(key, Value::from(value));
        }
    }
    wrap_reference(&mut node);
    Value::Object(node)
}

/// The node of a shape.
fn node(shape: Shape, field: &Field, version: OpenApiVersion) -> Map<String, Value> {
    let inner = |shape: Shape| Value::Object(node(shape, field, version));
    let value = match shape.part() {
        Part::Type(facts) => link(facts.name, version),
        Part::List(item) => json!({"type": "array", "items": inner(item)}),
        Part::Map(value) => json!({"type": "object", "additionalProperties": inner(value)}),
        Part::Scalar(name) => scalar(name, field, version),
    };
    match value {
        Value::Object(node) => node,
        _ => Map::new(),
    }
}

fn link(name: &str, version: OpenApiVersion) -> Value {
    match version {
        OpenApiVersion::V2 => json!({"$ref": format!("#/definitions/{name}")}),
        OpenApiVersion::V3 => json!({"$ref": format!("#/components/schemas/{name}")}),
    }
}

fn scalar(name: &str, field: &Field, version: OpenApiVersion) -> Value {
    match name {
        "string" => {
            let values: Vec<_> = field.enumeration().collect();
            if values.is_empty() { text() } else { json!({"type": "string", "enum": values}) }
        }
        "bool" => json!({"type": "boolean"}),
        "int32" | "int64" => json!({"type": "integer", "format": name}),
        "double" => json!({"type": "number", "format": "double"}),
        "bytes" => json!({"type": "string", "format": "byte"}),
        "any" => object(),
        _ => SPECIALS.iter().find(|s| s.shape == name).map_or_else(anything, |s| link(s.name, version)),
    }
}

/// What Go writes for a field that is no pointer and was not set, as OpenAPI publishes it.
fn zero(shape: Shape, omits_empty: bool) -> Option<Value> {
    if shape.is_pointer() {
        return None;
    }
    match shape.part() {
        Part::Type(_) => Some(json!({})),
        Part::Scalar("string") if !omits_empty => Some(json!("")),
        Part::Scalar("bool") if !omits_empty => Some(json!(false)),
        Part::Scalar("int32" | "int64" | "double") if !omits_empty => Some(json!(0)),
        _ => None,
    }
}
