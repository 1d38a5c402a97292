//! `openAPIV3Schema` to [`Schema`]. Equal regular expressions are compiled once.
//!
//! Upstream: apiextensions `pkg/apiserver/schema/convert.go`.

use super::{
    node::{Additional, Node},
    pattern,
};
use crate::schema::{
    Field, ListShape, ListType, MapShape, ObjectShape, Pattern, Rules, Schema, SchemaRef, Shape,
};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Converts a schema. Fails on what a [`Schema`] cannot express; does not ask whether it is structural.
pub fn schema_of(json: &Value) -> Result<Schema, String> {
    schema_of_node(Node::of(json).ok_or("OpenAPIV3Schema must be an object")?)
}

/// Converts a part of a schema.
pub(super) fn schema_of_node(node: Node<'_>) -> Result<Schema, String> {
    Converter { patterns: HashMap::new() }.schema(node)
}

struct Converter {
    patterns: HashMap<String, Option<Pattern>>,
}

const UNSUPPORTED: [(&str, &str); 7] = [
    ("id", "id"),
    ("$schema", "schema"),
    ("$ref", "$ref"),
    ("patternProperties", "patternProperties"),
    ("dependencies", "dependencies"),
    ("additionalItems", "additionalItems"),
    ("definitions", "definitions"),
];

impl Converter {
    fn schema(&mut self, node: Node<'_>) -> Result<Schema, String> {
        for (keyword, name) in UNSUPPORTED {
            if node.has(keyword) || (keyword == "additionalItems" && node.get(keyword).is_some()) {
                return Err(format!("OpenAPIV3Schema '{name}' is not supported"));
            }
        }
        if matches!(node.get("items"), Some(Value::Array(list)) if !list.is_empty()) {
            return Err("OpenAPIV3Schema 'items' must be a schema, but is an array".to_owned());
        }
        if node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(false)) {
            const WHY: &str =
                "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined";
            return Err(WHY.to_owned());
        }
        let description = node.text("description");
        Ok(Schema {
            shape: self.shape(node)?,
            nullable: node.flag("nullable"),
            default: node.get("default").cloned(),
            description: (!description.is_empty()).then(|| description.into()),
            rules: self.rules(node)?.map(Box::new),
            preserve_unknown: node.preserves_unknown(),
            embedded_resource: node.is_embedded(),
            untyped: node.text("type").is_empty() && !node.int_or_string(),
            wire: crate::protobuf::Wire::Plain,
            expressions: crate::cel::rules::Compiled::default(),
        })
    }

    fn shape(&mut self, node: Node<'_>) -> Result<Shape, String> {
        if node.int_or_string() {
            return Ok(Shape::IntOrString);
        }
        Ok(match node.text("type") {
            "string" => Shape::String,
            "boolean" => Shape::Boolean,
            "number" => Shape::Number,
            "integer" => Shape::Integer { bits: if node.text("format") == "int32" { 32 } else { 64 } },
            "array" => self.list(node)?,
            "object" => self.object(node)?,
            _ if node.has("properties") || node.additional().is_some() => self.object(node)?,
            _ if node.items().is_some() => self.list(node)?,
            _ => Shape::Any,
        })
    }

    fn list(&mut self, node: Node<'_>) -> Result<Shape, String> {
        let items = node.items().map(|items| self.schema(items)).transpose()?;
        let list_type = match node.text("x-kubernetes-list-type") {
            "set" => ListType::Set,
            "map" => ListType::Map(node.texts("x-kubernetes-list-map-keys").map(Into::into).collect()),
            _ => ListType::Atomic,
        };
        Ok(Shape::List(ListShape { items: SchemaRef::inline(items.unwrap_or_default()), list_type }))
    }

    fn object(&mut self, node: Node<'_>) -> Result<Shape, String> {
        let atomic = node.text("x-kubernetes-map-type") == "atomic";
        let additional = match node.additional() {
            None => None,
            Some(Additional::Allows(true)) => Some(Schema::default()),
            Some(Additional::Allows(false)) => Some(nothing()),
            Some(Additional::Schema(schema)) => Some(self.schema(schema)?),
        };
        let additional = additional.map(SchemaRef::inline);
        if let (Some(values), false) = (&additional, node.has("properties")) {
            return Ok(Shape::Map(MapShape { values: values.clone(), atomic }));
        }
        let required: Vec<&str> = node.texts("required").collect();
        let mut object = ObjectShape { atomic, additional, ..ObjectShape::default() };
        for (name, property) in node.properties() {
            let mut field = Field::new(SchemaRef::inline(self.schema(property)?));
            field.required = required.contains(&name);
            object.fields.insert(name.into(), field);
        }
        Ok(Shape::Object(object))
    }

    fn rules(&mut self, node: Node<'_>) -> Result<Option<Rules>, String> {
        const KEYWORDS: [&str; 24] = [
            "enum",
            "format",
            "pattern",
            "minLength",
            "maxLength",
            "minimum",
            "maximum",
            "multipleOf",
            "minItems",
            "maxItems",
            "uniqueItems",
            "minProperties",
            "maxProperties",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
            "required",
            "x-kubernetes-validations",
            "title",
            "example",
            "externalDocs",
            "x-kubernetes-list-type",
            "x-kubernetes-map-type",
        ];
        if !KEYWORDS.iter().any(|keyword| node.get(keyword).is_some()) {
            return Ok(None);
        }
        let count =
            |keyword: &str| node.get(keyword).and_then(Value::as_i64).map(|n| n.max(0).unsigned_abs());
        let number = |keyword: &str| node.get(keyword).and_then(Value::as_f64);
        let format = node.text("format");
        Ok(Some(Rules {
            enumeration: node.has("enum").then(|| node.list("enum").to_vec()),
            format: (!format.is_empty()).then(|| format.into()),
            pattern: self.pattern(node.text("pattern")),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            minimum: number("minimum"),
            maximum: number("maximum"),
            exclusive_minimum: node.flag("exclusiveMinimum"),
            exclusive_maximum: node.flag("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique_items: node.flag("uniqueItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            all_of: self.schemas(node, "allOf")?,
            any_of: self.schemas(node, "anyOf")?,
            one_of: self.schemas(node, "oneOf")?,
            not: node.node("not").map(|not| self.schema(not)).transpose()?.map(Box::new),
            validations: node.list("x-kubernetes-validations").to_vec(),
            required: node.texts("required").map(Into::into).collect(),
            annotations: annotations(node),
        }))
    }

    fn schemas(&mut self, node: Node<'_>, keyword: &str) -> Result<Vec<Schema>, String> {
        node.nodes(keyword).map(|one| self.schema(one)).collect()
    }

    /// `None` also when it does not compile, which the structural check reports.
    fn pattern(&mut self, source: &str) -> Option<Pattern> {
        if source.is_empty() {
            return None;
        }
        if let Some(known) = self.patterns.get(source) {
            return known.clone();
        }
        let compiled = pattern::compile(source).ok();
        self.patterns.insert(source.to_owned(), compiled.clone());
        compiled
    }
}

/// `additionalProperties: false`: a schema that nothing matches.
fn nothing() -> Schema {
    let rules = Rules { not: Some(Box::default()), ..Rules::default() };
    Schema { rules: Some(Box::new(rules)), ..Schema::default() }
}

/// What is only published. List and map types that equal the default are kept here, for they were written out.
fn annotations(node: Node<'_>) -> Option<Box<Map<String, Value>>> {
    let mut map = Map::new();
    for keyword in ["title", "example", "externalDocs"] {
        if let Some(value) = node.get(keyword) {
            map.insert(keyword.to_owned(), value.clone());
        }
    }
    for (keyword, default) in [("x-kubernetes-list-type", "atomic"), ("x-kubernetes-map-type", "granular")] {
        if node.text(keyword) == default {
            map.insert(keyword.to_owned(), Value::String(default.to_owned()));
        }
    }
    (!map.is_empty()).then(|| Box::new(map))
}
