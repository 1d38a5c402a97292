//! Validation of events in the v1 form.
//!
//! Upstream: `pkg/apis/core/validation/events.go`.

use crate::{cursor::Cursor, fill};
use proa_meta::{FieldErrors, names};
use serde_json::Value;

/// What both versions ask for; `controller` is the name of the reporting controller's field.
pub(super) fn object(object: &Value, controller: &str, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (metadata, involved) = (root.get("metadata"), root.get("involvedObject"));
    let (own, other) = (metadata.text_of("namespace"), involved.get("namespace"));
    let new_form = root.get("eventTime").is_set();
    let fits = match other.text() {
        "" => own == "default" || own.is_empty() || (new_form && own == "kube-system"),
        namespace => new_form || namespace == own,
    };
    if !fits {
        other.invalid(errors, "does not match event.namespace");
    }
    if new_form {
        reporter(&root, controller, errors);
    }
}

fn reporter(root: &Cursor<'_, '_>, controller: &str, errors: &mut FieldErrors) {
    let at = root.get(controller);
    let at = at.with(root.get("reportingComponent").value());
    at.must_be_set(errors);
    at.named(errors, names::is_qualified_name);
    for field in ["reportingInstance", "action", "reason"] {
        root.get(field).must_be_set(errors);
        at_most(&root.get(field), 128, errors);
    }
    at_most(&root.get("message"), 1024, errors);
}

/// Upstream shows no value here.
fn wrong(at: &Cursor<'_, '_>, text: &str, errors: &mut FieldErrors) {
    at.with(&Value::from("")).invalid(errors, text);
}

fn at_most(at: &Cursor<'_, '_>, bytes: usize, errors: &mut FieldErrors) {
    if at.text().len() > bytes {
        wrong(at, &format!("can have at most {bytes} characters"), errors);
    }
}

fn series(root: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let Some(series) = root.present("series") else { return };
    if series.int_of("count") < 2 {
        wrong(&series.get("count"), "should be at least 2", errors);
    }
    if !series.get("lastObservedTime").is_set() {
        series.get("lastObservedTime").required(errors, "");
    }
}

/// A new event of events.k8s.io/v1 uses no deprecated field.
pub(super) fn create(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    series(&root, errors);
    if !root.get("eventTime").is_set() {
        root.get("eventTime").required(errors, "");
    }
    let kind = root.text_of("type");
    if !matches!(kind, "Normal" | "Warning") {
        wrong(&root.get("type"), &format!("has invalid value: {kind}"), errors);
    }
    for field in ["firstTimestamp", "lastTimestamp", "count", "source"] {
        if !fill::is_zero(root.get(field).value()) {
            wrong(&root.get(field), "needs to be unset", errors);
        }
    }
}

/// Only metadata and the series change.
pub(super) fn update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    const FIXED: [&str; 11] = [
        "involvedObject",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
    ];
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    if !fill::same(new.get("series").value(), old.get("series").value()) {
        series(&new, errors);
    }
    for field in FIXED {
        fixed(&new.get(field), old.get(field).value(), errors);
    }
    let controller = new.get("reportingController");
    let controller = controller.with(new.get("reportingComponent").value());
    fixed(&controller, old.get("reportingComponent").value(), errors);
    fixed(&new.get("reportingInstance"), old.get("reportingInstance").value(), errors);
}

/// A text that is absent shows as an empty one, but a time as null.
fn fixed(at: &Cursor<'_, '_>, old: &Value, errors: &mut FieldErrors) {
    if fill::same(at.value(), old) {
        return;
    }
    let path = at.path().to_string();
    match old.is_string() && !path.ends_with("Time") && !path.ends_with("Timestamp") {
        true => at.invalid(errors, crate::cursor::IMMUTABLE),
        false => errors.invalid(at.path(), at.value(), crate::cursor::IMMUTABLE),
    }
}
