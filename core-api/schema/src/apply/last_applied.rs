//! Hand-over from client-side apply: what `kubectl apply` noted in its annotation may be taken over by
//! `kubectl apply --server-side`, and the annotation is kept up to date for those who go back.
//!
//! Only for the manager `kubectl`. Upstream: apimachinery `managedfields/internal/lastappliedmanager.go`,
//! `lastappliedupdater.go`.

use super::{compare::Difference, field_set::field_set, path_set::PathSet, reset::Reset};
use crate::{patch::go_text, schema::Schema};
use serde_json::Value;

/// The manager that takes over.
pub(super) const KUBECTL: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Most bytes of all annotations together.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// Fields of the noted configuration that still have the noted value: these are no conflicts.
pub(super) fn allowed_conflicts(schema: &Schema, api_version: &str, live: &Value) -> Option<PathSet> {
    let noted: Value = serde_json::from_str(annotation(live)?).ok()?;
    if noted.get("apiVersion")?.as_str() != Some(api_version) {
        return None;
    }
    let difference = Difference::between(schema, &noted, live, Reset::Nothing);
    let fields = field_set(schema, &noted);
    Some(fields.without(&difference.modified).without(&difference.added).without(&difference.removed))
}

/// Notes what was applied, if the object has the annotation; too long a note is dropped.
pub(super) fn refresh(object: &mut Value, mut applied: Value) {
    if annotation(object).is_none_or(str::is_empty) {
        return;
    }
    if let Some(Value::Object(annotations)) = applied.pointer_mut("/metadata/annotations") {
        annotations.remove(ANNOTATION);
    }
    let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") else { return };
    annotations.insert(ANNOTATION.to_owned(), Value::String(go_text::json(&applied) + "\n"));
    let size = |(key, value): (&String, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if annotations.iter().map(size).sum::<usize>() > MAX_ANNOTATIONS {
        annotations.remove(ANNOTATION);
    }
}

fn annotation(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("annotations")?.get(ANNOTATION)?.as_str()
}
