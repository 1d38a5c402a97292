//! Versions of a CustomResourceDefinition.
//!
//! What all versions share is reported once, below `spec`, as upstream does: it hoists equal parts there.

use crate::{cursor::Cursor, fill::same};
use proa_meta::{FieldErrors, names};
use proa_schema::{
    Schema, SchemaRef, Shape,
    crd::{self, StatusSubresource},
    jsonpath::JsonPath,
};
use serde_json::Value;
use std::collections::BTreeSet;

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
/// Upstream's words, although the second says the opposite of what it means.
const HOISTED_SCHEMA: &str = "may only be set when validations.schema is included";
const VERSION_SCHEMA: &str = "may only be set when `version.schema.openAPIV3Schema` is not included";
const MAX_SELECTABLE: usize = 8;

/// `spec.versions`.
pub(super) fn versions(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let list = spec.get("versions");
    let mut unique = BTreeSet::new();
    let mut is_unique = true;
    for version in list.items() {
        is_unique &= unique.insert(version.text_of("name"));
        let name = version.get("name");
        let problems = names::is_dns1035_label(name.text());
        if !problems.is_empty() {
            name.invalid(errors, &problems.join(","));
        }
        deprecation(&version, errors);
        let schema = version.get("schema");
        let schema = schema.get("openAPIV3Schema");
        if !schema.is_set() {
            schema.required(errors, "");
        }
    }
    shared(spec, "schema", "validation", errors, schema);
    shared(spec, "subresources", "subresources", errors, |at, _, errors| scale(at, errors));
    shared(spec, "additionalPrinterColumns", "additionalPrinterColumns", errors, |at, _, errors| {
        at.items().for_each(|one| column(&one, errors));
    });
    shared(spec, "selectableFields", "selectableFields", errors, selectable);
    let first = spec.get("version");
    let first = first.with(list.value().get(0).map_or(&Value::Null, |version| &version["name"]));
    let problems = names::is_dns1035_label(first.text());
    if !first.is_empty() && !problems.is_empty() {
        first.invalid(errors, &problems.join(","));
    }
    if !is_unique {
        list.invalid(errors, "must contain unique version names");
    }
    if list.items().filter(|version| version.get("storage").is_true()).count() != 1 {
        list.invalid(errors, "must have exactly one version marked as storage version");
    }
}

/// Checks a part of each version, or of all at once when they are equal.
fn shared(
    spec: &Cursor<'_, '_>,
    part: &str,
    hoisted: &str,
    errors: &mut FieldErrors,
    check: fn(&Cursor<'_, '_>, &Value, &mut FieldErrors),
) {
    let versions = spec.get("versions");
    let list = versions.list();
    let Some(first) = list.first() else { return };
    if list.iter().all(|version| same(&version[part], &first[part])) {
        let at = spec.get(hoisted);
        return check(&at.with(&first[part]), first, errors);
    }
    for version in versions.items() {
        check(&version.get(part), version.value(), errors);
    }
}

fn deprecation(version: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(warning) = version.present("deprecationWarning") else { return };
    let text = warning.text();
    if !version.get("deprecated").is_true() {
        return warning.invalid(errors, "can only be set for deprecated versions");
    }
    if text.len() > 256 {
        warning.invalid(errors, "must be <= 256 characters long");
    }
    if text.is_empty() {
        warning.invalid(errors, "must not be an empty string");
    }
    if let Some((index, _)) = text.char_indices().find(|(_, c)| c.is_control()) {
        let found = format!("non-printable character found at index {index}");
        warning.invalid(errors, &format!("must only contain printable UTF-8 characters; {found}"));
    }
}

fn status_of(version: &Value) -> StatusSubresource {
    match version["subresources"]["status"].is_null() {
        true => StatusSubresource::Absent,
        false => StatusSubresource::Served,
    }
}

fn schema(at: &Cursor<'_, '_>, version: &Value, errors: &mut FieldErrors) {
    let schema = at.get("openAPIV3Schema");
    if schema.is_set() {
        crd::compile(schema.value(), status_of(version), schema.path(), errors);
    }
}

fn scale(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(scale) = at.present("scale") else { return };
    let required = [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")];
    for (field, prefix) in required {
        let path = scale.get(field);
        if path.must_be_set(errors) && simple_path(&path, errors) && !path.text().starts_with(prefix) {
            let place = prefix.trim_end_matches('.');
            path.invalid(errors, &format!("should be a json path under {place}"));
        }
    }
    let labels = scale.get("labelSelectorPath");
    if !labels.is_empty()
        && simple_path(&labels, errors)
        && !labels.text().starts_with(".spec.")
        && !labels.text().starts_with(".status.")
    {
        labels.invalid(errors, "should be a json path under either .spec or .status");
    }
}

fn simple_path(at: &Cursor<'_, '_>, errors: &mut FieldErrors) -> bool {
    let ok = at.text().starts_with('.');
    if !ok {
        at.invalid(errors, "must be a simple json path starting with .");
    }
    ok
}

fn column(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at.get("name").must_be_set(errors);
    let (kind, format) = (at.get("type"), at.get("format"));
    let kinds = format!("must be one of {}", COLUMN_TYPES.join(","));
    if kind.is_empty() {
        kind.required(errors, &kinds);
    } else if !COLUMN_TYPES.contains(&kind.text()) {
        kind.invalid(errors, &kinds);
    }
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format.text()) {
        format.invalid(errors, &format!("must be one of {}", COLUMN_FORMATS.join(",")));
    }
    let (path, shown) = (at.get("jsonPath"), at.get("JSONPath"));
    let shown = shown.with(path.value());
    if shown.must_be_set(errors)
        && simple_path(&shown, errors)
        && let Err(problem) = JsonPath::parse(path.text())
    {
        shown.invalid(errors, &problem.to_string());
    }
}

fn selectable(at: &Cursor<'_, '_>, version: &Value, errors: &mut FieldErrors) {
    if at.is_empty() {
        return;
    }
    if version["schema"]["openAPIV3Schema"].is_null() {
        let hoisted = !at.path().to_string().contains('[');
        let needed = if hoisted { HOISTED_SCHEMA } else { VERSION_SCHEMA };
        return at.with(&"".into()).invalid(errors, needed);
    }
    let Ok(schema) = crd::schema_of(&version["schema"]["openAPIV3Schema"]) else { return };
    let mut seen = BTreeSet::new();
    for entry in at.items() {
        let path = entry.get("jsonPath");
        if !path.must_be_set(errors) {
            continue;
        }
        if path.text().starts_with(".metadata") {
            path.invalid(errors, "must not point to fields in metadata");
        }
        match field(&schema, path.text()) {
            None => path.invalid(errors, "is an invalid path: does not refer to a valid field"),
            Some(Shape::String | Shape::Boolean | Shape::Integer { .. }) => {}
            Some(_) => path.invalid(
                errors,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            ),
        }
        if !seen.insert(path.text()) {
            path.duplicate(errors);
        }
    }
    if seen.len() > MAX_SELECTABLE {
        errors.too_many(at.path(), seen.len(), MAX_SELECTABLE);
    }
}

fn field<'a>(schema: &'a Schema, path: &str) -> Option<&'a Shape> {
    let mut steps = path.strip_prefix('.')?.split('.');
    steps.try_fold(schema, |at, step| at.child(step).map(SchemaRef::get)).map(|found| &found.shape)
}
