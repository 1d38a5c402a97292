//! Pod templates inside workloads.
//!
//! Upstream: `ValidatePodTemplateSpec`, `ValidatePodTemplateSpecForReplicaSet`.

use super::{validate, warnings};
use crate::{cursor::Cursor, selector};
use proa_meta::{FieldErrors, names};
use serde_json::Value;

/// The selector does not fit the template.
pub(crate) const MISMATCH: &str = "`selector` does not match template `labels`";

/// Validates a pod template.
pub(crate) fn template(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let metadata = at.get("metadata");
    let (labels, annotations) = (at.get("labels"), at.get("annotations"));
    selector::labels(&labels.with(metadata.get("labels").value()), errors);
    let annotations = annotations.with(metadata.get("annotations").value());
    validate_annotations(&annotations, errors);
    let spec = at.get("spec");
    super::update::annotations(&annotations, &spec, errors);
    validate::pod_spec(&spec, &Value::Null, errors);
    let ephemeral = spec.get("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden(errors, "ephemeral containers not allowed in pod template");
    }
}

/// Metadata of a template that only gives labels and annotations. Upstream: `ValidateTemplateObjectMeta`.
pub(crate) fn metadata(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    validate_annotations(&at.get("annotations"), errors);
    selector::labels(&at.get("labels"), errors);
    for (key, value) in at.value().as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "labels" | "annotations") && !value.is_null() {
            // Upstream makes the path of the name in Go.
            let name = if key == "uid" { "uID" } else { key };
            at.get(name).forbidden(errors, "cannot be set");
        }
    }
}

fn validate_annotations(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut size = 0;
    for (key, value) in at.entries() {
        size += key.len() + value.text().len();
        for message in names::is_qualified_name(&key.to_lowercase()) {
            at.with(&key.into()).invalid(errors, &message);
        }
    }
    if size > 256 << 10 {
        errors.too_long(at.path(), 256 << 10);
    }
}

/// The selector fits the template's labels.
pub(crate) fn selected(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let template = spec.get("template");
    let metadata = template.get("metadata");
    let labels = metadata.get("labels");
    if selector::matches(spec.get("selector").value(), labels.value()) == Some(false) {
        errors.invalid(labels.path(), labels.value(), MISMATCH);
    }
}

/// Pods that are restarted for ever and have no deadline; `owner` is the kind that texts name.
pub(crate) fn runs_for_ever(template: &Cursor<'_, '_>, owner: &str, errors: &mut FieldErrors) {
    let spec = template.get("spec");
    spec.get("restartPolicy").enumeration(errors, &["Always"]);
    if spec.get("activeDeadlineSeconds").is_set() {
        let text = format!("activeDeadlineSeconds in {owner} is not Supported");
        spec.get("activeDeadlineSeconds").forbidden(errors, &text);
    }
}

/// Warnings of a workload whose name becomes part of host names.
pub(crate) fn owner_warnings(object: &Value) -> Vec<String> {
    let mut found = name_warning(object, "Pod names and hostnames");
    found.extend(template_warnings(object));
    found
}

/// Warnings of `spec.template`.
pub(crate) fn template_warnings(object: &Value) -> Vec<String> {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    warnings::warnings(&spec.get("template"), true)
}

/// A name that is no DNS label surprises where it becomes a host name.
pub(crate) fn name_warning(object: &Value, used_in: &str) -> Vec<String> {
    let name = object["metadata"]["name"].as_str().unwrap_or("");
    let problems = names::is_dns1123_label(name);
    if problems.is_empty() {
        return Vec::new();
    }
    vec![format!(
        "metadata.name: this is used in {used_in}, which can result in surprising behavior; a DNS label is recommended: [{}]",
        problems.join(" ")
    )]
}
