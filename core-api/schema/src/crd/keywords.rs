//! Which keywords there are and which JSON type each has; what the root may hold when `/status` is served.
//!
//! Go refuses wrong types when it decodes the CustomResourceDefinition; here the schema is still plain JSON.

use super::node::Node;
use proa_meta::{FieldErrors, FieldPath};
use serde_json::Value;

/// JSON type of a keyword.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Text,
    Flag,
    Number,
    Count,
    Texts,
    Values,
    Objects,
    Any,
    Schema,
    Schemas,
    SchemaMap,
    SchemaOrFlag,
    SchemaOrSchemas,
    Object,
}

const KEYWORDS: [(&str, Wanted); 44] = {
    use Wanted::{
        Any, Count, Flag, Number, Object, Objects, Schema, SchemaMap, SchemaOrFlag, SchemaOrSchemas, Schemas,
        Text, Texts, Values,
    };
    [
        ("$ref", Text),
        ("$schema", Text),
        ("additionalItems", SchemaOrFlag),
        ("additionalProperties", SchemaOrFlag),
        ("allOf", Schemas),
        ("anyOf", Schemas),
        ("default", Any),
        ("definitions", SchemaMap),
        ("dependencies", Object),
        ("description", Text),
        ("enum", Values),
        ("example", Any),
        ("exclusiveMaximum", Flag),
        ("exclusiveMinimum", Flag),
        ("externalDocs", Object),
        ("format", Text),
        ("id", Text),
        ("items", SchemaOrSchemas),
        ("maxItems", Count),
        ("maxLength", Count),
        ("maxProperties", Count),
        ("maximum", Number),
        ("minItems", Count),
        ("minLength", Count),
        ("minProperties", Count),
        ("minimum", Number),
        ("multipleOf", Number),
        ("not", Schema),
        ("nullable", Flag),
        ("oneOf", Schemas),
        ("pattern", Text),
        ("patternProperties", SchemaMap),
        ("properties", SchemaMap),
        ("required", Texts),
        ("title", Text),
        ("type", Text),
        ("uniqueItems", Flag),
        ("x-kubernetes-embedded-resource", Flag),
        ("x-kubernetes-int-or-string", Flag),
        ("x-kubernetes-list-map-keys", Texts),
        ("x-kubernetes-list-type", Text),
        ("x-kubernetes-map-type", Text),
        ("x-kubernetes-preserve-unknown-fields", Flag),
        ("x-kubernetes-validations", Objects),
    ]
};

impl Wanted {
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string(),
            Self::Flag => value.is_boolean(),
            Self::Number => value.is_number(),
            Self::Count => value.is_i64() || value.is_u64(),
            Self::Texts => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            Self::Values => value.is_array(),
            Self::Objects | Self::Schemas => {
                value.as_array().is_some_and(|list| list.iter().all(Value::is_object))
            }
            Self::Any => true,
            Self::Schema | Self::SchemaMap | Self::Object => value.is_object(),
            Self::SchemaOrFlag => value.is_object() || value.is_boolean(),
            Self::SchemaOrSchemas => value.is_object() || value.is_array(),
        }
    }
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "must be a string",
            Self::Flag => "must be a boolean",
            Self::Number => "must be a number",
            Self::Count => "must be an integer",
            Self::Texts => "must be a list of strings",
            Self::Values => "must be a list",
            Self::Objects | Self::Schemas => "must be a list of objects",
            Self::Any => "",
            Self::Schema | Self::SchemaMap | Self::Object => "must be an object",
            Self::SchemaOrFlag => "must be an object or a boolean",
            Self::SchemaOrSchemas => "must be an object",
        }
    }
}

/// Reports keywords of a wrong JSON type, in the whole tree.
pub(super) fn check_types(json: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let Some(map) = json.as_object() else {
        errors.type_invalid(path, json, "must be an object");
        return;
    };
    for (keyword, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        let Ok(at) = KEYWORDS.binary_search_by(|(name, _)| (**name).cmp(keyword.as_str())) else { continue };
        let (_, wanted) = KEYWORDS[at];
        let path = path.child(keyword);
        if !wanted.is(value) {
            errors.type_invalid(&path, value, wanted.name());
            continue;
        }
        descend(wanted, value, &path, errors);
    }
}

fn descend(wanted: Wanted, value: &Value, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    match (wanted, value) {
        (Wanted::Schema | Wanted::SchemaOrFlag | Wanted::SchemaOrSchemas, Value::Object(_)) => {
            check_types(value, path, errors);
        }
        (Wanted::Schemas | Wanted::SchemaOrSchemas, Value::Array(list)) => {
            list.iter().enumerate().for_each(|(i, one)| check_types(one, &path.index(i), errors));
        }
        (Wanted::SchemaMap, Value::Object(map)) => {
            map.iter().for_each(|(name, one)| check_types(one, &path.key(name), errors));
        }
        _ => {}
    }
}

/// Names as upstream's message lists them, and as they are written.
const AT_ROOT: [(&str, &str); 22] = [
    ("Description", "description"),
    ("Type", "type"),
    ("Format", "format"),
    ("Title", "title"),
    ("Maximum", "maximum"),
    ("ExclusiveMaximum", "exclusiveMaximum"),
    ("Minimum", "minimum"),
    ("ExclusiveMinimum", "exclusiveMinimum"),
    ("MaxLength", "maxLength"),
    ("MinLength", "minLength"),
    ("Pattern", "pattern"),
    ("MaxItems", "maxItems"),
    ("MinItems", "minItems"),
    ("UniqueItems", "uniqueItems"),
    ("MultipleOf", "multipleOf"),
    ("Required", "required"),
    ("Items", "items"),
    ("Properties", "properties"),
    ("ExternalDocs", "externalDocs"),
    ("Example", "example"),
    ("XPreserveUnknownFields", "x-kubernetes-preserve-unknown-fields"),
    ("XValidations", "x-kubernetes-validations"),
];

/// With `/status` the schema of the status is taken out of the root, so rules that span both are refused.
pub(super) fn check_root_with_status(
    root: Node<'_>,
    json: &Value,
    path: &FieldPath<'_>,
    errors: &mut FieldErrors,
) {
    let is_refused = |keyword: &str| {
        let is_known = KEYWORDS.binary_search_by(|(name, _)| (*name).cmp(keyword)).is_ok();
        is_known && !AT_ROOT.iter().any(|(_, allowed)| *allowed == keyword) && is_set(root, keyword)
    };
    let kind = root.text("type");
    // The first that is wrong counts, in the order of upstream's type.
    if !["id", "$schema", "$ref"].into_iter().any(is_refused) && !kind.is_empty() && kind != "object" {
        const WHY: &str = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.invalid(&path.child("type"), &Value::String(kind.to_owned()), WHY);
        return;
    }
    if root.map().keys().any(|keyword| is_refused(keyword)) {
        let names = AT_ROOT.map(|(name, _)| name).join(" ");
        let why = format!(
            "only [{names}] fields are allowed at the root of the schema if the status subresource is enabled"
        );
        errors.invalid(path, json, &why);
    }
}

/// Whether a keyword is there; an empty value of some is like none at all.
fn is_set(root: Node<'_>, keyword: &str) -> bool {
    match keyword {
        "default" | "not" | "additionalProperties" | "additionalItems" | "$ref" => {
            root.get(keyword).is_some()
        }
        _ => root.has(keyword),
    }
}

#[cfg(test)]
mod tests {
    use super::KEYWORDS;

    #[test]
    fn keywords_are_sorted_for_the_search() {
        assert!(KEYWORDS.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
