//! A custom kind's schema as the server publishes it.
//!
//! OpenAPI v3 shows all of it; the v2 form leaves out what kubectl's older reader cannot bear. Type and metadata of
//! whole objects are added by the caller, who knows the names of those definitions.
//! Upstream: apiextensions `pkg/apiserver/schema/{kubeopenapi,unfold}.go`, `pkg/controller/openapi/v2/conversion.go`.

use crate::schema::{ListType, Rules, Schema, SchemaRef, Shape};
use serde_json::{Map, Value, json};

/// OpenAPI v3 form.
pub fn v3(schema: &Schema) -> Value {
    Value::Object(write(schema, Version::V3))
}

/// OpenAPI v2 form.
pub fn v2(schema: &Schema) -> Value {
    Value::Object(write(schema, Version::V2))
}

#[derive(Clone, Copy, PartialEq)]
enum Version {
    V2,
    V3,
}

type Out = Map<String, Value>;

/// A child: named types (built-in, possibly recursive) are referred to.
fn child(schema: &SchemaRef, version: Version) -> Value {
    let base = match version {
        Version::V2 => "#/definitions",
        Version::V3 => "#/components/schemas",
    };
    match schema.type_name() {
        Some(name) => json!({"$ref": format!("{base}/{name}")}),
        None => Value::Object(write(schema, version)),
    }
}

fn write(schema: &Schema, version: Version) -> Out {
    let mut out = Out::new();
    let is_v2 = version == Version::V2;
    if let Some(description) = &schema.description {
        out.insert("description".into(), json!(&**description));
    }
    if let Some(default) = &schema.default {
        out.insert("default".into(), default.clone());
    }
    // A v2 reader takes declared parts for all there is.
    let is_opaque = is_v2 && (schema.nullable || schema.preserve_unknown);
    if !schema.untyped && !is_opaque_type(schema, is_opaque) {
        type_name(&schema.shape, &mut out);
    }
    if schema.nullable && !is_v2 {
        out.insert("nullable".into(), json!(true));
    }
    if !is_opaque {
        parts(&schema.shape, version, &mut out);
    } else {
        further(&schema.shape, version, &mut out);
    }
    for (flag, keyword) in [
        (schema.preserve_unknown, "x-kubernetes-preserve-unknown-fields"),
        (schema.embedded_resource, "x-kubernetes-embedded-resource"),
        (matches!(schema.shape, Shape::IntOrString), "x-kubernetes-int-or-string"),
    ] {
        if flag {
            out.insert(keyword.into(), json!(true));
        }
    }
    if let Some(rules) = &schema.rules {
        write_rules(rules, version, &mut out);
    }
    if is_v2 {
        drop_nullable_from_required(schema, &mut out);
    } else if matches!(schema.shape, Shape::IntOrString) {
        unfold_int_or_string(&mut out);
    }
    out
}

/// In v2 an opaque node has no type, unless it is a scalar that keeps its meaning without its parts.
fn is_opaque_type(schema: &Schema, is_opaque: bool) -> bool {
    is_opaque
        && (schema.nullable || matches!(schema.shape, Shape::Object(_) | Shape::Map(_) | Shape::List(_)))
}

fn type_name(shape: &Shape, out: &mut Out) {
    let name = match shape {
        Shape::Any | Shape::IntOrString => return,
        Shape::Boolean => "boolean",
        Shape::Integer { .. } => "integer",
        Shape::Number => "number",
        Shape::String | Shape::Bytes | Shape::Time | Shape::MicroTime | Shape::Duration | Shape::Quantity => {
            "string"
        }
        Shape::Object(_) | Shape::Map(_) => "object",
        Shape::List(_) => "array",
    };
    out.insert("type".into(), json!(name));
}

fn parts(shape: &Shape, version: Version, out: &mut Out) {
    match shape {
        Shape::Object(object) if !object.fields.is_empty() => {
            let fields = object.fields.iter();
            let properties = fields.map(|(name, field)| (name.to_string(), child(&field.schema, version)));
            out.insert("properties".into(), Value::Object(properties.collect()));
        }
        Shape::List(list) if !is_open(&list.items) => {
            out.insert("items".into(), child(&list.items, version));
        }
        _ => {}
    }
    further(shape, version, out);
}

/// What stays of an opaque node: map values and how parts are merged.
fn further(shape: &Shape, version: Version, out: &mut Out) {
    let (additional, atomic) = match shape {
        Shape::Object(object) => (object.additional.as_ref(), object.atomic),
        Shape::Map(map) => (Some(&map.values), map.atomic),
        Shape::List(list) => return list_type(&list.list_type, out),
        _ => return,
    };
    if let Some(schema) = additional {
        let is_nothing = schema.rules.as_ref().is_some_and(|rules| rules.not.is_some());
        let json = match is_open(schema) {
            true => json!(true),
            false if matches!(schema.shape, Shape::Any) && is_nothing => json!(false),
            false => child(schema, version),
        };
        out.insert("additionalProperties".into(), json);
    }
    if atomic {
        out.insert("x-kubernetes-map-type".into(), json!("atomic"));
    }
}

/// A schema that says nothing at all.
fn is_open(schema: &Schema) -> bool {
    matches!(schema.shape, Shape::Any) && schema.rules.is_none() && !schema.preserve_unknown
}

fn list_type(list_type: &ListType, out: &mut Out) {
    match list_type {
        ListType::Atomic => {}
        ListType::Set => {
            out.insert("x-kubernetes-list-type".into(), json!("set"));
        }
        ListType::Map(keys) => {
            out.insert("x-kubernetes-list-type".into(), json!("map"));
            let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
            out.insert("x-kubernetes-list-map-keys".into(), json!(keys));
        }
    }
}

fn write_rules(rules: &Rules, version: Version, out: &mut Out) {
    let mut put = |keyword: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(keyword.to_owned(), value);
        }
    };
    put("enum", rules.enumeration.clone().map(Value::Array));
    put("format", rules.format.as_deref().map(Value::from));
    put("pattern", rules.pattern.as_ref().map(|pattern| Value::from(&*pattern.source)));
    for (keyword, count) in [
        ("minLength", rules.min_length),
        ("maxLength", rules.max_length),
        ("minItems", rules.min_items),
        ("maxItems", rules.max_items),
        ("minProperties", rules.min_properties),
        ("maxProperties", rules.max_properties),
    ] {
        put(keyword, count.map(Value::from));
    }
    for (keyword, bound) in
        [("minimum", rules.minimum), ("maximum", rules.maximum), ("multipleOf", rules.multiple_of)]
    {
        put(keyword, bound.map(number));
    }
    for (keyword, flag) in [
        ("exclusiveMinimum", rules.exclusive_minimum),
        ("exclusiveMaximum", rules.exclusive_maximum),
        ("uniqueItems", rules.unique_items),
    ] {
        put(keyword, flag.then_some(Value::Bool(true)));
    }
    let required: Vec<&str> = rules.required.iter().map(|name| &**name).collect();
    put("required", (!required.is_empty()).then(|| json!(required)));
    put("x-kubernetes-validations", (!rules.validations.is_empty()).then(|| json!(rules.validations)));
    for (keyword, value) in rules.annotations.iter().flat_map(|map| map.iter()) {
        put(keyword, Some(value.clone()));
    }
    if version == Version::V3 {
        for (keyword, schemas) in
            [("allOf", &rules.all_of), ("anyOf", &rules.any_of), ("oneOf", &rules.one_of)]
        {
            let list = || schemas.iter().map(v3).collect();
            put(keyword, (!schemas.is_empty()).then(|| Value::Array(list())));
        }
        put("not", rules.not.as_deref().map(v3));
    }
}

/// Whole numbers without a fraction, as they were written.
fn number(float: f64) -> Value {
    crate::validate::whole_of(float).map_or_else(|| json!(float), Value::from)
}

/// `x-kubernetes-int-or-string` spelled out for readers who do not know it.
fn unfold_int_or_string(out: &mut Out) {
    let both = json!([{"type": "integer"}, {"type": "string"}]);
    let in_all_of =
        out.get("allOf").and_then(|all| all.get(0)).and_then(|first| first.get("anyOf")) == Some(&both);
    match out.get("anyOf") {
        None => {
            if !in_all_of {
                out.insert("anyOf".into(), both);
            }
        }
        Some(found) if *found == both || in_all_of => {}
        Some(_) => {
            let all = out.entry("allOf").or_insert_with(|| json!([]));
            if let Value::Array(all) = all {
                all.insert(0, json!({ "anyOf": both }));
            }
        }
    }
}

/// v2 has no null, so a nullable field cannot be required.
fn drop_nullable_from_required(schema: &Schema, out: &mut Out) {
    let Some(Value::Array(required)) = out.get_mut("required") else { return };
    match &schema.shape {
        Shape::Object(object) => required.retain(|name| {
            let field = name.as_str().and_then(|name| object.fields.get(name));
            field.is_none_or(|field| !field.schema.nullable)
        }),
        Shape::Map(map) if map.values.nullable => required.clear(),
        _ => {}
    }
    if required.is_empty() {
        out.remove("required");
    }
}
