//! Tables: what `kubectl get` shows.
//!
//! The only form that decodes objects. Upstream: apimachinery `pkg/apis/meta/v1/types.go` (Table), apiextensions
//! `pkg/registry/customresource/tableconvertor`.

use super::{Encoder, text};
use proa_meta::{ApiError, ApiResult};
use proa_registry::{
    Entry, KindDef,
    kind::{Column, Row},
};
use proa_schema::jsonpath::JsonPath;
use proa_store::Revision;
use serde_json::{Value, json};
use std::sync::Arc;

/// What a row carries besides its cells: `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Include {
    None,
    #[default]
    Metadata,
    Object,
}

impl Include {
    pub(crate) fn parse(text: Option<&str>) -> ApiResult<Self> {
        match text {
            None | Some("" | "Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(ApiError::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: \
                 must be 'Metadata', 'Object', 'None', or empty"
            ))),
        }
    }
}

/// A whole table of these entries.
pub(super) fn of_entries(encoder: &Encoder, entries: &[Arc<Entry>], out: &mut Vec<u8>) {
    let revision = entries.first().map(|e| e.revision).unwrap_or_default();
    open(encoder, revision, Some(&columns(&encoder.kind.def)), out);
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_row(encoder, entry, entry.revision, out);
    }
    out.extend_from_slice(b"]}");
}

/// A whole table of one object that was made for this answer; a scale has columns of its own.
pub(super) fn of_value(encoder: &Encoder, value: &Value, out: &mut Vec<u8>) {
    let revision = value["metadata"]["resourceVersion"].as_str().and_then(|v| v.parse().ok()).map(Revision);
    let is_scale = value["kind"] == "Scale" && encoder.kind.def.gvk.kind != "Scale";
    let (columns, cells) = if is_scale {
        (SCALE.iter().map(column).collect(), scale_cells(encoder, value))
    } else {
        (columns(&encoder.kind.def), cells(encoder, value))
    };
    open(encoder, revision.unwrap_or_default(), Some(&columns), out);
    let object = match encoder.include {
        Include::None => Value::Null,
        Include::Metadata => encoder.partial_value(value),
        Include::Object => value.clone(),
    };
    let row = json!({"cells": cells, "object": object});
    text::write(&row, out);
    out.extend_from_slice(b"]}");
}

/// Up to and including the opening bracket of `rows`.
pub(super) fn open(encoder: &Encoder, revision: Revision, columns: Option<&Vec<Value>>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"kind\":\"Table\",\"apiVersion\":\"");
    out.extend_from_slice(encoder.form.meta_version().as_bytes());
    out.extend_from_slice(b"\",\"metadata\":{\"resourceVersion\":\"");
    out.extend_from_slice(revision.to_string().as_bytes());
    out.extend_from_slice(b"\"},\"columnDefinitions\":");
    text::write(&columns, out);
    out.extend_from_slice(b",\"rows\":[");
}

/// The column definitions of a kind.
pub(super) fn columns(def: &KindDef) -> Vec<Value> {
    let mut columns: Vec<Value> = def.table.columns.iter().map(column).collect();
    if let Row::Paths(_) = &def.table.row {
        columns.insert(0, column(&Column::name()));
    }
    columns
}

const SCALE: [Column; 4] = [
    Column::text("Name"),
    Column::of("Desired", "integer"),
    Column::of("Available", "integer"),
    Column::age(),
];

/// Upstream: `printScale` of `pkg/printers/internalversion`.
fn scale_cells(encoder: &Encoder, scale: &Value) -> Vec<Value> {
    let created = scale["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
    let number = |part: &str| json!(scale[part]["replicas"].as_i64().unwrap_or(0));
    let age = proa_schema::table::since(created, encoder.now);
    vec![scale["metadata"]["name"].clone(), number("spec"), number("status"), json!(age)]
}

fn column(column: &Column) -> Value {
    json!({
        "name": column.name, "type": column.kind, "format": column.format, "description": column.description,
        "priority": column.priority,
    })
}

/// One row.
pub(super) fn write_row(encoder: &Encoder, entry: &Entry, revision: Revision, out: &mut Vec<u8>) {
    let value = entry.value_at(&encoder.kind.def, revision);
    out.extend_from_slice(b"{\"cells\":");
    text::write(&cells(encoder, &value), out);
    out.extend_from_slice(b",\"object\":");
    match encoder.include {
        Include::None => out.extend_from_slice(b"null"),
        Include::Metadata => encoder.partial(entry, revision, out),
        Include::Object => entry.write_json_at(&encoder.kind.def, revision, out),
    }
    out.push(b'}');
}

fn cells(encoder: &Encoder, object: &Value) -> Vec<Value> {
    let table = &encoder.kind.def.table;
    match &table.row {
        Row::Function(row) => row(object, encoder.now),
        Row::Paths(_) => {
            let name = object["metadata"]["name"].clone();
            let columns = table.columns.iter().zip(encoder.paths.iter());
            let cell = |(column, path): (&Column, &Option<JsonPath>)| match path {
                Some(path) => proa_schema::table::cell(path, &column.kind, object, encoder.now),
                None => Value::Null,
            };
            std::iter::once(name).chain(columns.map(cell)).collect()
        }
    }
}

/// A custom kind's columns made ready: once per request, for parsing costs more than a cell.
pub(super) fn compile(def: &KindDef) -> Arc<[Option<JsonPath>]> {
    match &def.table.row {
        Row::Function(_) => Arc::default(),
        // Columns with paths that do not parse are not made.
        Row::Paths(paths) => paths.iter().map(|path| JsonPath::parse(path).ok()).collect(),
    }
}
