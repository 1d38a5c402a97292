//! Strategic merge patch: merge patch that knows which lists are merged by key, and directives inside the patch.
//!
//! Owns: `$patch` (`replace`, `delete`, `merge`), `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
//! `$setElementOrder/<field>` on objects; lists are in [`lists`], element order in [`order`].
//! Invariants: keys are processed in the patch's (sorted) order, so the result is deterministic where upstream's
//! depends on Go's map order. A schema field of object shape with an empty `patch_merge_key` has the strategy
//! `replace`. Fields that the schema does not name are merged as plain objects and replaced as lists.
//! Deliberately absent: making patches (clients do), custom kinds (the caller answers 415).
//! Upstream: apimachinery `pkg/util/strategicpatch/patch.go`, `pkg/util/mergepatch/errors.go`.

mod lists;
mod order;

use super::{go_text, merge::drop_nulls, unprocessable};
use crate::schema::{Field, Schema, SchemaRef, Shape};
use proa_meta::{ApiError, ApiResult, Reason};
use serde_json::{Map, Value};

type Object = Map<String, Value>;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList";
const ELEMENT_ORDER: &str = "$setElementOrder";

/// Why a patch cannot be applied; the text is upstream's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum Problem {
    #[error("invalid patch format of primitive list")]
    PrimitiveListFormat,
    #[error("invalid patch format of retainKeys")]
    RetainKeysFormat,
    #[error("invalid patch format of setElementOrder list")]
    ElementOrderFormat,
    #[error("lists of lists are not supported")]
    ListOfLists,
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey { map: String, key: String },
    #[error("expected a {expected}, but received a {actual}")]
    WrongType { expected: &'static str, actual: &'static str },
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective { directive: String, map: String },
    #[error("{0}")]
    Other(String),
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        match &problem {
            Problem::PrimitiveListFormat | Problem::RetainKeysFormat | Problem::ElementOrderFormat => {
                Self::bad_request(problem.to_string())
            }
            Problem::ListOfLists => unprocessable(),
            _ => Self::new(Reason::Unknown, problem.to_string()),
        }
    }
}

/// Where the patch is in the schema; `None` where the schema says nothing.
#[derive(Clone, Copy)]
struct Place<'s>(Option<&'s Schema>);

/// How one field is patched.
#[derive(Clone, Copy)]
struct FieldPlan<'s> {
    /// Schema of the field, for lists that of the elements.
    place: Place<'s>,
    merge_list: bool,
    replace_object: bool,
    key: Option<&'s str>,
}

impl<'s> Place<'s> {
    fn plan(self, name: &str) -> FieldPlan<'s> {
        let field = self.0.and_then(|schema| named_field(schema, name));
        let schema = match field {
            Some(field) => Some(field.schema.get()),
            None => self.0.and_then(|schema| schema.child(name)).map(SchemaRef::get),
        };
        let key = field.and_then(|field| field.patch_merge_key.as_deref());
        FieldPlan {
            place: Place(schema.map(elements_or_self)),
            merge_list: field.is_some_and(|field| field.patch_merge),
            replace_object: key == Some(""),
            key: key.filter(|key| !key.is_empty()),
        }
    }
}

fn named_field<'s>(schema: &'s Schema, name: &str) -> Option<&'s Field> {
    match &schema.shape {
        Shape::Object(object) => object.fields.get(name),
        _ => None,
    }
}

fn elements_or_self(schema: &Schema) -> &Schema {
    match &schema.shape {
        Shape::List(list) => list.items.get(),
        _ => schema,
    }
}

/// Applies a decoded strategic merge patch.
///
/// Errors: 400 for malformed directives and patches that are no object, 422 for lists of lists, 500 with upstream's
/// text for elements without their merge key and for wrong types, as upstream answers them.
pub fn strategic(schema: &Schema, original: &mut Value, patch: Value) -> ApiResult<()> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            super::json_patch::json_kind(&patch)
        )));
    };
    let Value::Object(object) = original else {
        return Err(wrong_type("map[string]interface {}", original).into());
    };
    *object = merge_object(std::mem::take(object), patch, Place(Some(schema)))?;
    Ok(())
}

/// Merges `patch` into `original`.
fn merge_object(mut original: Object, mut patch: Object, place: Place<'_>) -> Result<Object, Problem> {
    if let Some(directive) = patch.remove(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => Ok(patch),
            Some("delete") => Ok(Object::new()),
            _ => Err(unknown_directive(directive, patch)),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    lists::merge_ordered(&mut original, &mut patch, place)?;
    for (key, value) in patch {
        match key.strip_prefix(DELETE_FROM_LIST) {
            Some(rest) => delete_from_list(&mut original, rest, value, place)?,
            None => merge_field(&mut original, key, value, place)?,
        }
    }
    Ok(original)
}

fn unknown_directive(directive: Value, mut patch: Object) -> Problem {
    let text = go_text::plain(&directive);
    patch.insert(DIRECTIVE.to_owned(), directive);
    Problem::UnknownDirective { directive: text, map: go_text::plain(&Value::Object(patch)) }
}

fn wrong_type(expected: &'static str, actual: &Value) -> Problem {
    Problem::WrongType { expected, actual: go_text::type_name(actual) }
}

/// `$retainKeys`: fields of the original that it does not name go; every field of the patch must be named.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Problem> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(list) = directive else { return Err(Problem::RetainKeysFormat) };
    let retained = |key: &str| list.iter().any(|item| item.as_str() == Some(key));
    for (key, value) in patch.iter() {
        let parallel = key.starts_with(DELETE_FROM_LIST) || key.starts_with(ELEMENT_ORDER);
        if !value.is_null() && !parallel && !retained(key) {
            return Err(Problem::RetainKeysFormat);
        }
    }
    original.retain(|key, _| retained(key));
    Ok(())
}

/// `$deleteFromPrimitiveList/<field>`; `rest` is what follows the directive's name.
fn delete_from_list(
    original: &mut Object,
    rest: &str,
    value: Value,
    place: Place<'_>,
) -> Result<(), Problem> {
    let name = rest.strip_prefix('/').ok_or(Problem::PrimitiveListFormat)?;
    if value.is_null() {
        original.remove(name);
        return Ok(());
    }
    if let (Some(Value::Array(items)), Value::Array(gone)) = (original.get_mut(name), value) {
        *items = lists::delete(std::mem::take(items), gone, place.plan(name))?;
    }
    Ok(())
}

fn merge_field(original: &mut Object, key: String, value: Value, place: Place<'_>) -> Result<(), Problem> {
    if value.is_null() {
        original.remove(&key);
        return Ok(());
    }
    match (original.get_mut(&key), value) {
        (Some(Value::Object(current)), Value::Object(patch)) => {
            let plan = place.plan(&key);
            *current = match plan.replace_object {
                true => patch,
                false => merge_object(std::mem::take(current), patch, plan.place)?,
            };
        }
        (Some(Value::Array(current)), Value::Array(patch)) => {
            *current = lists::merge_field(std::mem::take(current), patch, place.plan(&key))?;
        }
        (_, value) => set_field(original, key, value),
    }
    Ok(())
}

/// A field that is new or of another type: taken from the patch without nulls and directives.
fn set_field(original: &mut Object, key: String, mut value: Value) {
    drop_nulls(&mut value);
    match without_directives(value) {
        Some(value) => drop(original.insert(key, value)),
        None => drop(original.remove(&key)),
    }
}

/// The value without objects that carry a directive; `None` when the value is one itself.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(map) if map.contains_key(DIRECTIVE) => None,
        Value::Object(map) => {
            let kept = map.into_iter().filter_map(|(key, value)| Some((key, without_directives(value)?)));
            Some(Value::Object(kept.collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        scalar => Some(scalar),
    }
}

#[cfg(test)]
mod tests;
