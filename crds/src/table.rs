//! Cells that several kinds' tables share.
//!
//! Rows always hold the wide cells too: clients drop columns by priority.
//! Upstream: `pkg/printers/internalversion/printers.go`.

use crate::{cursor::Cursor, selector};
use jiff::Timestamp;
use serde_json::Value;

/// Time since a time field of the object, or `<unknown>`.
pub(crate) fn since(time: &Value, now: Timestamp) -> String {
    time.as_str().map_or_else(|| "<unknown>".to_owned(), |text| proa_schema::table::since(text, now))
}

/// Age of the object.
pub(crate) fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now).into()
}

/// Name of the object.
pub(crate) fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

/// A number, zero when absent.
pub(crate) fn number(value: &Value) -> Value {
    value.as_i64().unwrap_or(0).into()
}

/// A text, or what stands for none.
pub(crate) fn text_or(value: &Value, none: &str) -> Value {
    value.as_str().filter(|text| !text.is_empty()).unwrap_or(none).into()
}

/// Names and images of a template's containers.
pub(crate) fn containers(pod_spec: &Value) -> [Value; 2] {
    let column = |field| {
        let list = pod_spec["containers"].as_array().into_iter().flatten();
        list.map(|c| c[field].as_str().unwrap_or("")).collect::<Vec<_>>().join(",").into()
    };
    [column("name"), column("image")]
}

/// A label selector on one line.
pub(crate) fn selector(selector: &Value) -> Value {
    match selector::text(selector) {
        None => "<error>".into(),
        Some(text) if text.is_empty() => "<none>".into(),
        Some(text) => text.into(),
    }
}

/// Status of the condition of a type, empty when there is none.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> &'a str {
    let list = object["status"]["conditions"].as_array().into_iter().flatten();
    list.into_iter().find(|c| c["type"] == kind).and_then(|c| c["status"].as_str()).unwrap_or("")
}

/// The first texts of a list, and how many more there are.
pub(crate) fn first_of(texts: &[String], max: usize, none: &str) -> String {
    let shown = texts[..texts.len().min(max)].join(",");
    match texts.len() {
        0 => none.to_owned(),
        n if n > max => format!("{shown} + {} more...", n - max),
        _ => shown,
    }
}

/// Users, groups and service accounts of a binding.
pub(crate) fn subjects(object: &Value) -> [Value; 3] {
    let of = |kind: &str| {
        let root = Cursor::root(object);
        let list = root.get("subjects");
        let names = list.items().filter(|s| s.text_of("kind") == kind).map(|s| match kind {
            "ServiceAccount" if !s.text_of("namespace").is_empty() => {
                format!("{}/{}", s.text_of("namespace"), s.text_of("name"))
            }
            "ServiceAccount" => format!("/{}", s.text_of("name")),
            _ => s.text_of("name").to_owned(),
        });
        Value::from(names.collect::<Vec<_>>().join(", "))
    };
    [of("User"), of("Group"), of("ServiceAccount")]
}
