//! Versions of a CustomResourceDefinition.
//!
//! What all versions share is reported once, below `spec`, as upstream does: it hoists equal parts there.

use crate::{cursor::Cursor, fill::same};
use proa_meta::{FieldErrors, names};
use proa_schema::crd::{self, StatusSubresource};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
/// Upstream's words, although the second says the opposite of what it means.
const HOISTED_SCHEMA: &str = "may only be set when validations.schema is included";
const VERSION_SCHEMA: &str = "may only be set when `version.schema.openAPIV3Schema` is not included";
const MAX_SELECTABLE: usize = 8;

/// The parts of versions that upstream checks once, below `spec`, where they are the same in all of them.
const PARTS: [&str; 4] = ["schema", "subresources", "additionalPrinterColumns", "selectableFields"];

/// The parts that all versions share.
fn shared_parts(versions: &[Value]) -> Vec<&'static str> {
    let Some(first) = versions.first() else { return Vec::new() };
    let is_same = |part: &str, version: &Value| {
        let (one, other) = (&version[part], &first[part]);
        // An empty object is not an absent one; an empty list is.
        same(one, other) && one.is_object() == other.is_object()
    };
    let is_shared = |part: &&str| versions.iter().all(|version| is_same(part, version));
    PARTS.into_iter().filter(is_shared).collect()
}

/// What each version has of its own, and what holds for all of them together.
pub(super) fn each(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let list = spec.get("versions");
    for version in list.items() {
        let schema = version.get("schema");
        let schema = schema.get("openAPIV3Schema");
        if !schema.is_set() {
            schema.required(errors, "");
        }
    }
    let preserved = spec.get("preserveUnknownFields");
    let schemas = || list.list().iter().map(|version| &version["schema"]["openAPIV3Schema"]);
    if preserved.is_true() && schemas().any(crd::has_default) {
        preserved.invalid(errors, "must be false in order to use defaults in the schema");
    }
    let shared = shared_parts(list.list());
    // Of versions of the same name, the first says whether there is a status.
    let mut named: BTreeMap<&str, &Value> = BTreeMap::new();
    for version in list.items() {
        let first = *named.entry(version.text_of("name")).or_insert(version.value());
        label(&version.get("name"), errors);
        deprecation(&version, errors);
        let status = status_of(first);
        let check =
            Check { parts: version.value(), schema_at: "schema", needs_schema: VERSION_SCHEMA, status };
        check.run(&version, |part| !shared.contains(&part), errors);
    }
    if named.len() < list.list().len() {
        errors.invalid(list.path(), list.value(), "must contain unique version names");
    }
    if list.items().filter(|version| version.get("storage").is_true()).count() != 1 {
        let why = "must have exactly one version marked as storage version";
        errors.invalid(list.path(), list.value(), why);
    }
    let first = spec.get("version");
    let first = first.with(list.value().get(0).map_or(&Value::Null, |version| &version["name"]));
    if !first.is_empty() {
        label(&first, errors);
    }
}

/// What all versions share.
pub(super) fn shared(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let list = spec.get("versions");
    let list = list.list();
    let Some(first) = list.first() else { return };
    let shared = shared_parts(list);
    let served = list.iter().map(status_of).find(|status| *status == StatusSubresource::Served);
    let status = served.unwrap_or(StatusSubresource::Absent);
    let check = Check { parts: first, schema_at: "validation", needs_schema: HOISTED_SCHEMA, status };
    check.run(spec, |part| shared.contains(&part), errors);
}

fn label(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let problems = names::is_dns1035_label(at.text());
    if !problems.is_empty() {
        at.invalid(errors, &problems.join(","));
    }
}

/// A check of parts, of one version or of all.
struct Check<'v> {
    parts: &'v Value,
    schema_at: &'static str,
    needs_schema: &'static str,
    status: StatusSubresource,
}

impl Check<'_> {
    fn run(&self, at: &Cursor<'_, '_>, is_here: impl Fn(&str) -> bool, errors: &mut FieldErrors) {
        let schema = &self.parts["schema"]["openAPIV3Schema"];
        let has_schema = is_here("schema") && !schema.is_null();
        if has_schema {
            let at = at.get(self.schema_at);
            crd::compile(schema, self.status, at.get("openAPIV3Schema").path(), errors);
        }
        if is_here("subresources") {
            scale(&at.get("subresources").with(&self.parts["subresources"]), errors);
        }
        if is_here("additionalPrinterColumns") {
            let columns = at.get("additionalPrinterColumns");
            columns
                .with(&self.parts["additionalPrinterColumns"])
                .items()
                .for_each(|one| column(&one, errors));
        }
        let fields = at.get("selectableFields");
        let fields = fields.with(&self.parts["selectableFields"]);
        if !is_here("selectableFields") || fields.is_empty() {
            return;
        }
        if !has_schema {
            return fields.with(&"".into()).invalid(errors, self.needs_schema);
        }
        match crd::schema_of(schema) {
            Ok(_) => selectable(&fields, schema, errors),
            Err(why) => at.get("schema.openAPIV3Schema").with(&"".into()).invalid(errors, &why),
        }
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
    if let Some((index, _)) = text.char_indices().find(|(_, c)| !is_printable(*c)) {
        let found = format!("non-printable character found at index {index}");
        warning.invalid(errors, &format!("must only contain printable UTF-8 characters; {found}"));
    }
}

/// Of white space only the plain blank is.
fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{feff}'))
}

fn status_of(version: &Value) -> StatusSubresource {
    match version["subresources"]["status"].is_null() {
        true => StatusSubresource::Absent,
        false => StatusSubresource::Served,
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
    if shown.must_be_set(errors) {
        simple_path(&shown, errors);
    }
}

fn selectable(at: &Cursor<'_, '_>, schema: &Value, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for entry in at.items() {
        let path = entry.get("jsonPath");
        if !path.must_be_set(errors) {
            continue;
        }
        let (place, found) = match crd::field_at(path.text(), schema) {
            Ok(found) => found,
            Err(why) => {
                path.invalid(errors, &format!("is an invalid path: {why}"));
                continue;
            }
        };
        if place.split(['.', '[']).next() == Some("metadata") {
            path.invalid(errors, "must not point to fields in metadata");
        }
        if !matches!(found["type"].as_str(), Some("string" | "boolean" | "integer")) {
            path.invalid(
                errors,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            );
        }
        if !seen.insert(place) {
            path.duplicate(errors);
        }
    }
    if seen.len() > MAX_SELECTABLE {
        errors.too_many(at.path(), seen.len(), MAX_SELECTABLE);
    }
}
