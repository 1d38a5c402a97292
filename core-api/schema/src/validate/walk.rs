//! The walk over value and schema.
//!
//! Each node runs upstream's validators in upstream's order (type, alternatives, text, format, number, list, enum,
//! object) and counts the ones that ran, for the count chooses which alternative's failures are shown.
//! Upstream: kube-openapi `pkg/validation/validate/*.go`, apiextensions `pkg/apiserver/validation/ratcheting.go`.

use super::{
    format,
    number::{self, whole_of},
    outcome::{Failure, Outcome},
};
use crate::schema::{ListType, Rules, Schema, Shape};
use proa_meta::FieldPath;
use serde_json::{Map, Value};

/// Validates `value`, ratcheting against `old`.
pub(super) fn check(schema: &Schema, value: &Value, old: Option<&Value>) -> Outcome {
    let mut out = node(schema, value, &FieldPath::root(""), old);
    forgive(&mut out, value, old);
    out
}

/// Failures of a value that did not change do not count.
fn forgive(out: &mut Outcome, value: &Value, old: Option<&Value>) {
    if !out.is_valid() && old == Some(value) {
        out.failures.clear();
    }
}

fn node(schema: &Schema, value: &Value, path: &FieldPath<'_>, old: Option<&Value>) -> Outcome {
    let mut out = Outcome::default();
    let rules = schema.rules.as_deref();
    let declared = Declared::of(schema);
    if value.is_null() {
        declared.check_null(schema, path, &mut out);
        enumeration(rules, value, path, &mut out);
        return out;
    }
    if !declared.types.is_empty() || declared.format.is_some() {
        declared.check(value, path, &mut out);
        out.matches += 1;
    }
    if let Some(rules) = rules {
        alternatives(rules, value, path, old, &mut out);
    }
    out.matches += 2;
    match value {
        Value::String(text) => string(rules, &declared, text, path, &mut out),
        Value::Number(number) => {
            number::check(schema, number, path, &mut out);
            out.matches += 1;
        }
        Value::Array(list) => elements(schema, list, path, old, &mut out),
        _ => {}
    }
    enumeration(rules, value, path, &mut out);
    out.matches += 1;
    if let Value::Object(map) = value {
        object(schema, map, path, old, &mut out);
        out.matches += 1;
    }
    out.matches += 1;
    out
}

/// Declared JSON types and the format, if it is one that is checked.
struct Declared<'a> {
    types: &'static [&'static str],
    format: Option<&'a str>,
}

impl<'a> Declared<'a> {
    fn of(schema: &'a Schema) -> Self {
        let types: &[&str] = match &schema.shape {
            _ if schema.untyped => &[],
            Shape::Any => &[],
            Shape::Boolean => &["boolean"],
            Shape::Integer { .. } => &["integer"],
            Shape::Number => &["number"],
            Shape::String
            | Shape::Bytes
            | Shape::Time
            | Shape::MicroTime
            | Shape::Duration
            | Shape::Quantity => &["string"],
            Shape::IntOrString => &["integer", "string"],
            Shape::Object(_) | Shape::Map(_) => &["object"],
            Shape::List(_) => &["array"],
        };
        let format = schema.rules.as_ref().and_then(|rules| rules.format.as_deref());
        let kind = if let [kind] = types { kind } else { "" };
        Self { types, format: format.filter(|format| format::is_checked(kind, format)) }
    }

    fn has(&self, wanted: &str) -> bool {
        self.types.contains(&wanted)
    }

    fn check_null(&self, schema: &Schema, path: &FieldPath<'_>, out: &mut Outcome) {
        if !self.types.is_empty() && !schema.nullable {
            out.fail(wrong_type(path, &self.types.join(","), "null"));
        } else {
            out.matches += 1;
        }
    }

    fn check(&self, value: &Value, path: &FieldPath<'_>, out: &mut Outcome) {
        let (found, found_format) = json_type(value);
        let is_number = self.has("number") || self.has("integer");
        let is_text_like = matches!(value, Value::String(_) | Value::Array(_));
        let is_whole_float = found == "number"
            && self.has("integer")
            && value.as_f64().is_some_and(|float| whole_of(float).is_some() || float.fract() == 0.0);
        let fits = self.has(found) || is_whole_float || (found == "integer" && self.has("number"));
        if let Some(format) = self.format {
            if !is_text_like && !fits && format != found_format {
                out.fail(wrong_type(path, format, found_format));
                return;
            }
            if !is_number && is_text_like {
                out.matches += 1;
                return;
            }
        }
        if fits {
            out.matches += 1;
        } else {
            out.fail(wrong_type(path, &self.types.join(","), found));
        }
    }
}

/// JSON type of a value and the format upstream derives from it.
fn json_type(value: &Value) -> (&'static str, &'static str) {
    match value {
        Value::Null => ("null", ""),
        Value::Bool(_) => ("boolean", ""),
        Value::Number(number) if number.as_i64().is_some() => ("integer", "int64"),
        Value::Number(_) => ("number", "float64"),
        Value::String(_) => ("string", ""),
        Value::Array(_) => ("array", ""),
        Value::Object(_) => ("object", ""),
    }
}

fn wrong_type(path: &FieldPath<'_>, wanted: &str, found: &str) -> Failure {
    Failure::Type {
        path: path.to_string(),
        value: Value::String(found.to_owned()),
        text: format!("{path} in body must be of type {wanted}: {found:?}"),
    }
}

fn alternatives(rules: &Rules, value: &Value, path: &FieldPath<'_>, old: Option<&Value>, out: &mut Outcome) {
    if !rules.any_of.is_empty() {
        any_of(&rules.any_of, value, path, old, out);
    }
    if !rules.one_of.is_empty() {
        one_of(&rules.one_of, value, path, old, out);
    }
    if !rules.all_of.is_empty() {
        all_of(&rules.all_of, value, path, old, out);
    }
    if let Some(not) = &rules.not
        && node(not, value, path, old).is_valid()
    {
        out.fail(Failure::Whole {
            text: format!("{:?} must not validate the schema (not)", path.to_string()),
        });
    }
}

fn any_of(schemas: &[Schema], value: &Value, path: &FieldPath<'_>, old: Option<&Value>, out: &mut Outcome) {
    let mut best: Option<Outcome> = None;
    for schema in schemas {
        let found = node(schema, value, path, old);
        if found.is_valid() {
            out.merge(found);
            return;
        }
        if best.as_ref().is_none_or(|best| found.matches > best.matches) {
            best = Some(found);
        }
    }
    let text = format!("{:?} must validate at least one schema (anyOf)", path.to_string());
    out.fail(Failure::Whole { text });
    out.merge(best.unwrap_or_default());
}

fn one_of(schemas: &[Schema], value: &Value, path: &FieldPath<'_>, old: Option<&Value>, out: &mut Outcome) {
    let mut best: Option<Outcome> = None;
    let mut valid: Option<Outcome> = None;
    let mut count = 0;
    for schema in schemas {
        let found = node(schema, value, path, old);
        if found.is_valid() {
            count += 1;
            best = None;
            valid.get_or_insert(found);
        } else if count == 0 && best.as_ref().is_none_or(|best| found.matches > best.matches) {
            best = Some(found);
        }
    }
    let why = match count {
        1 => return out.merge(valid.unwrap_or_default()),
        0 => "Found none valid".to_owned(),
        many => format!("Found {many} valid alternatives"),
    };
    let text = format!("{:?} must validate one and only one schema (oneOf). {why}", path.to_string());
    out.fail(Failure::Whole { text });
    out.merge(best.unwrap_or_default());
}

fn all_of(schemas: &[Schema], value: &Value, path: &FieldPath<'_>, old: Option<&Value>, out: &mut Outcome) {
    let mut valid = 0;
    for schema in schemas {
        let found = node(schema, value, path, old);
        valid += usize::from(found.is_valid());
        out.merge(found);
    }
    if valid != schemas.len() {
        let none = if valid == 0 { ". None validated" } else { "" };
        let text = format!("{:?} must validate all the schemas (allOf){none}", path.to_string());
        out.fail(Failure::Whole { text });
    }
}

fn string(
    rules: Option<&Rules>,
    declared: &Declared<'_>,
    text: &str,
    path: &FieldPath<'_>,
    out: &mut Outcome,
) {
    out.matches += 1;
    if let Some(failure) = rules.and_then(|rules| text_failure(rules, text, path)) {
        out.fail(failure);
    }
    let Some(name) = declared.format else { return };
    let Some(format) = format::Format::named(name) else { return };
    out.matches += 1;
    if !format.matches(text) {
        out.fail(Failure::Type {
            path: path.to_string(),
            value: Value::String(text.to_owned()),
            text: format!("{path} in body must be of type {name}: {text:?}"),
        });
    }
}

/// The first thing wrong with a text.
fn text_failure(rules: &Rules, text: &str, path: &FieldPath<'_>) -> Option<Failure> {
    let invalid = |detail: String| {
        let value = Value::String(text.to_owned());
        Some(Failure::Invalid { path: path.to_string(), value, text: format!("{path} in body {detail}") })
    };
    let length = || text.chars().count() as u64;
    if let Some(max) = rules.max_length.filter(|&max| text.len() as u64 > max && length() > max) {
        return Some(Failure::TooLong { path: path.to_string(), max });
    }
    if let Some(min) = rules.min_length.filter(|&min| length() < min) {
        return invalid(format!("should be at least {min} chars long"));
    }
    match &rules.pattern {
        Some(pattern) if !pattern.regex.is_match(text) => {
            invalid(format!("should match '{}'", pattern.source))
        }
        _ => None,
    }
}

fn elements(schema: &Schema, list: &[Value], path: &FieldPath<'_>, old: Option<&Value>, out: &mut Outcome) {
    if let Shape::List(shape) = &schema.shape {
        for (i, item) in list.iter().enumerate() {
            let before = correlated(&shape.list_type, item, old);
            let mut found = node(&shape.items, item, &path.index(i), before);
            forgive(&mut found, item, before);
            out.merge(found);
        }
    }
    if let Some(rules) = &schema.rules {
        count_items(rules, list, path, out);
    }
    out.matches += 2;
}

fn count_items(rules: &Rules, list: &[Value], path: &FieldPath<'_>, out: &mut Outcome) {
    let size = list.len() as u64;
    if let Some(min) = rules.min_items.filter(|&min| size < min) {
        let text = format!("{path} in body should have at least {min} items");
        out.fail(Failure::Invalid { path: path.to_string(), value: size.into(), text });
    }
    if let Some(max) = rules.max_items.filter(|&max| size > max) {
        out.fail(Failure::TooMany { path: path.to_string(), actual: list.len(), max });
    }
    let repeats = || list.iter().enumerate().any(|(i, item)| list[..i].contains(item));
    if rules.unique_items && repeats() {
        let text = format!("{path} in body shouldn't contain duplicates");
        out.fail(Failure::Invalid { path: path.to_string(), value: Value::Null, text });
    }
}

/// The old element of a keyed list that `item` replaces.
fn correlated<'o>(list_type: &ListType, item: &Value, old: Option<&'o Value>) -> Option<&'o Value> {
    let (ListType::Map(keys), Some(Value::Array(old))) = (list_type, old) else { return None };
    old.iter().find(|before| keys.iter().all(|key| before.get(&**key) == item.get(&**key)))
}

fn enumeration(rules: Option<&Rules>, value: &Value, path: &FieldPath<'_>, out: &mut Outcome) {
    let Some(allowed) = rules.and_then(|rules| rules.enumeration.as_deref()) else { return };
    let is_allowed = !value.is_null() && allowed.iter().any(|one| is_same(one, value));
    if !allowed.is_empty() && !is_allowed {
        out.fail(Failure::Enum { path: path.to_string(), value: value.clone(), allowed: texts(allowed) });
    }
}

/// Enumerated values as errors list them: texts bare, the rest as JSON.
pub(super) fn texts(values: &[Value]) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    values.iter().map(text).collect()
}

/// Equal, where 1 and 1.0 are the same number.
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

fn object(
    schema: &Schema,
    map: &Map<String, Value>,
    path: &FieldPath<'_>,
    old: Option<&Value>,
    out: &mut Outcome,
) {
    if let Some(rules) = &schema.rules {
        count_properties(rules, map, path, out);
    }
    let mut child = |schema: &Schema, key: &str, value: &Value| {
        let before = old.and_then(|old| old.get(key));
        let is_type = |_: &&Value| matches!(key, "apiVersion" | "kind") && path.to_string().is_empty();
        let before = before.filter(|value| !is_type(value));
        let mut found = node(schema, value, &path.child(key), before);
        forgive(&mut found, value, before);
        out.merge(found);
    };
    match &schema.shape {
        Shape::Map(shape) if !forbids_all(&shape.values) => {
            map.iter().for_each(|(key, value)| child(&shape.values, key, value));
        }
        Shape::Object(shape) => {
            for (key, value) in map {
                match (shape.fields.get(key.as_str()), &shape.additional) {
                    (Some(field), _) => child(&field.schema, key, value),
                    (None, Some(schema)) if !forbids_all(schema) => child(schema, key, value),
                    _ => {}
                }
            }
        }
        _ => {}
    }
    forbidden(schema, map, path, out);
    for name in schema.rules.iter().flat_map(|rules| &rules.required) {
        if !map.contains_key(&**name) {
            out.fail(Failure::Required { path: path.child(name).to_string() });
        }
    }
}

/// `additionalProperties: false` is kept as a schema that nothing matches.
fn forbids_all(schema: &Schema) -> bool {
    let not = schema.rules.as_ref().and_then(|rules| rules.not.as_ref());
    not.is_some_and(|not| matches!(not.shape, Shape::Any) && not.rules.is_none())
}

fn forbidden(schema: &Schema, map: &Map<String, Value>, path: &FieldPath<'_>, out: &mut Outcome) {
    let (fields, additional) = match &schema.shape {
        Shape::Map(shape) => (None, Some(&shape.values)),
        Shape::Object(shape) => (Some(&shape.fields), shape.additional.as_ref()),
        _ => return,
    };
    if !additional.is_some_and(|additional| forbids_all(additional)) {
        return;
    }
    for key in map.keys().filter(|key| !fields.is_some_and(|fields| fields.contains_key(key.as_str()))) {
        out.fail(Failure::Invalid {
            path: path.to_string(),
            value: Value::String(key.clone()),
            text: format!("{path}.{key} in body is a forbidden property"),
        });
    }
}

fn count_properties(rules: &Rules, map: &Map<String, Value>, path: &FieldPath<'_>, out: &mut Outcome) {
    let size = map.len() as u64;
    if let Some(min) = rules.min_properties.filter(|&min| size < min) {
        let text = format!("{path} in body should have at least {min} properties");
        out.fail(Failure::Invalid { path: path.to_string(), value: size.into(), text });
    }
    if let Some(max) = rules.max_properties.filter(|&max| size > max) {
        out.fail(Failure::TooMany { path: path.to_string(), actual: map.len(), max });
    }
}
