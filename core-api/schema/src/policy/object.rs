//! Objects that expressions make, `Object{}` and `JSONPatch{}`, as JSON.
//!
//! Upstream: apiserver `pkg/cel/mutation/{dynamic/objects,jsonpatch}.go`,
//! `pkg/admission/plugin/policy/mutating/patch/json_patch.go`.

use crate::cel::{MADE_TYPE, Map, Value};
use serde_json::{Map as JsonMap, Value as Json, json};

/// The name of the type of a value that was made with one.
fn made_type(value: &Value<'_>) -> Option<String> {
    match value {
        Value::Map(map @ Map::Owned(_)) => map.get(MADE_TYPE)?.as_str().map(str::to_owned),
        _ => None,
    }
}

/// Fields of a map, without the mark of its type.
fn fields<'a>(map: &Map<'a>) -> Result<Vec<(String, Value<'a>)>, String> {
    let mut fields = Vec::with_capacity(map.len());
    for key in map.keys() {
        let Some(name) = key.as_str().map(str::to_owned) else {
            return Err(format!("map key is of type {}, not string", key.type_name()));
        };
        if let Some(value) = map.get(&name).filter(|_| name != MADE_TYPE) {
            fields.push((name, value));
        }
    }
    Ok(fields)
}

/// A value as JSON.
///
/// # Errors
/// JSON has no form for it.
pub(super) fn to_json(value: &Value<'_>) -> Result<Json, String> {
    match value {
        Value::List(list) => {
            list.iter().map(|item| to_json(&item)).collect::<Result<_, _>>().map(Json::Array)
        }
        Value::Map(map @ Map::Owned(_)) => {
            let pair = |(name, value): (String, Value<'_>)| Ok::<_, String>((name, to_json(&value)?));
            fields(map)?.into_iter().map(pair).collect::<Result<JsonMap<_, _>, _>>().map(Json::Object)
        }
        other => other.to_json().ok_or_else(|| format!("unable to convert {} to JSON", other.type_name())),
    }
}

/// Most parts of an object that an expression makes: more than fit into what the API stores.
const MOST_PARTS: usize = 1_000_000;

/// Whether a value may be walked whole. Parts that are shared count each time.
///
/// # Errors
/// It is too large.
pub(super) fn check_size(value: &Value<'_>) -> Result<(), String> {
    fn is_within(value: &Value<'_>, left: &mut usize) -> bool {
        let Some(less) = left.checked_sub(1) else { return false };
        *left = less;
        match value {
            Value::List(list) => list.iter().all(|item| is_within(&item, left)),
            Value::Map(map @ Map::Owned(_)) => {
                map.keys().into_iter().all(|key| map.find(&key).is_none_or(|value| is_within(&value, left)))
            }
            _ => true,
        }
    }
    if is_within(value, &mut { MOST_PARTS }) { Ok(()) } else { Err("the value is too large".to_owned()) }
}

/// Types of parts are named after their places: `Object.spec` is the type of the field `spec` of `Object`.
///
/// # Errors
/// All that are not.
pub(super) fn check_types(value: &Value<'_>) -> Result<(), String> {
    let mut path = made_type(value).unwrap_or_default();
    let mut problems = Vec::new();
    check(value, &mut path, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(format!("type mismatch: {}", problems.join("\n"))) }
}

fn check(value: &Value<'_>, path: &mut String, problems: &mut Vec<String>) {
    match value {
        Value::List(list) => list.iter().for_each(|item| check(&item, path, problems)),
        Value::Map(map @ Map::Owned(_)) => {
            let made = made_type(value);
            if let Some(name) = made.as_ref().filter(|name| *name != path) {
                problems.push(format!(
                    "unexpected type name {name:?}, expected {path:?}, which matches field name path from root Object type"
                ));
            }
            for (name, child) in fields(map).unwrap_or_default() {
                let here = path.len();
                // Maps in between have no names of their own.
                if made.is_some() {
                    path.push('.');
                    path.push_str(&name);
                }
                check(&child, path, problems);
                path.truncate(here);
            }
        }
        _ => {}
    }
}

/// The operations of a list of `JSONPatch{}`.
///
/// # Errors
/// It is no such list, or a value has no form in JSON.
pub(super) fn operations(value: &Value<'_>) -> Result<Vec<Json>, String> {
    let Value::List(list) = value else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".to_owned());
    };
    list.iter().map(|item| operation(&item)).collect()
}

fn operation(value: &Value<'_>) -> Result<Json, String> {
    let patch = match value {
        Value::Map(map) if made_type(value).as_deref() == Some("JSONPatch") => map,
        other => {
            let found = other.type_name();
            return Err(format!(
                "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch, got element of {found}"
            ));
        }
    };
    let text = |name: &str| match patch.get(name) {
        None => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.to_string()),
        Some(other) => Err(format!("unexpected type {} for JSONPatchType '{name}' field", other.type_name())),
    };
    let mut operation = json!({"op": text("op")?, "path": text("path")?});
    let from = text("from")?;
    if !from.is_empty() {
        operation["from"] = json!(from);
    }
    if let Some(value) = patch.get("value") {
        if made_type(&value).is_some() {
            check_size(&value)?;
            check_types(&value)?;
        }
        operation["value"] = to_json(&value).map_err(|why| {
            format!("JSONPath valueExpression evaluated to a type that could not marshal to JSON: {why}")
        })?;
    }
    Ok(operation)
}
