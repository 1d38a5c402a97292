//! Environment variables and where they come from.

use super::files;
use crate::{cursor::Cursor, pod_spec::resources};
use proa_meta::{FieldErrors, names, quantity::Quantity};
use serde_json::Value;

const POD_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const MANY_SOURCES: &str = "may not have more than one field specified at a time";

/// `env`.
pub(super) fn env(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for variable in list.items() {
        let name = variable.get("name");
        if name.must_be_set(errors) {
            name.named(errors, names::is_relaxed_env_var_name);
        }
        if let Some(source) = variable.present("valueFrom") {
            value_from(&source, !variable.text_of("value").is_empty(), errors);
        }
    }
}

fn value_from(source: &Cursor<'_, '_>, has_value: bool, errors: &mut FieldErrors) {
    let mut sources = 0;
    let mut each = |name: &str, check: fn(&Cursor<'_, '_>, &mut FieldErrors)| {
        if let Some(at) = source.present(name) {
            sources += 1;
            check(&at, errors);
        }
    };
    each("fieldRef", |at, errors| object_field(at, &POD_FIELDS, errors));
    each("resourceFieldRef", |at, errors| resource_field(at, false, errors));
    each("configMapKeyRef", key_selector);
    each("secretKeyRef", key_selector);
    each("fileKeyRef", file_key_selector);
    let empty = Value::from("");
    let shown = source.with(&empty);
    match sources {
        0 => shown.invalid(
            errors,
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
        ),
        _ if has_value => shown.invalid(errors, "may not be specified when `value` is not empty"),
        1 => {}
        _ => shown.invalid(errors, MANY_SOURCES),
    }
}

/// `envFrom`; errors about the number of sources carry the path of the list, as upstream's do.
pub(super) fn env_from(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let empty = Value::from("");
    for source in list.items() {
        source.get("prefix").opt_named(errors, names::is_relaxed_env_var_name);
        let references: Vec<_> =
            ["configMapRef", "secretRef"].into_iter().filter_map(|kind| source.present(kind)).collect();
        for reference in &references {
            let name = reference.get("name");
            if name.must_be_set(errors) {
                name.invalid_each(errors, &names::name_is_dns_subdomain(name.text(), true));
            }
        }
        match references.len() {
            0 => list.with(&empty).invalid(errors, "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => list.with(&empty).invalid(errors, MANY_SOURCES),
        }
    }
}

fn key_selector(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at.get("name").named(errors, names::is_dns1123_subdomain);
    let key = at.get("key");
    if key.must_be_set(errors) {
        key.named(errors, names::is_config_map_key);
    }
}

fn file_key_selector(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (key, volume, path) = (at.get("key"), at.get("volumeName"), at.get("path"));
    if key.must_be_set(errors) {
        key.named(errors, names::is_relaxed_env_var_name);
    }
    if volume.must_be_set(errors) {
        volume.named(errors, names::is_dns1123_label);
    }
    if path.must_be_set(errors) {
        files::no_backsteps(&path, errors);
    }
}

/// A file reference names an emptyDir of the pod.
pub(super) fn file_references(container: &Cursor<'_, '_>, spec: &Value, errors: &mut FieldErrors) {
    for variable in container.get("env").items() {
        let source = variable.get("valueFrom");
        let Some(reference) = source.present("fileKeyRef") else { continue };
        let name = reference.get("volumeName");
        let mut volumes = spec["volumes"].as_array().into_iter().flatten();
        match volumes.find(|volume| volume["name"] == *name.value()) {
            None => name.not_found(errors),
            Some(volume) if volume["emptyDir"].is_null() => {
                name.invalid(errors, "referenced volume must be of type emptyDir");
            }
            Some(_) => {}
        }
    }
}

/// `fieldRef`: one of these fields, or one label or annotation.
pub(super) fn object_field(at: &Cursor<'_, '_>, fields: &[&str], errors: &mut FieldErrors) {
    let (version, path) = (at.get("apiVersion"), at.get("fieldPath"));
    if !version.must_be_set(errors) || !path.must_be_set(errors) {
        return;
    }
    if let Err(problem) = known_field(version.text(), path.text()) {
        return path.invalid(errors, &format!("error converting fieldPath: {problem}"));
    }
    let text = if path.text() == "spec.host" { "spec.nodeName" } else { path.text() };
    match subscript(text) {
        Some(("metadata.annotations", key)) => qualified(at, &key.to_lowercase(), errors),
        Some((_, key)) => qualified(at, key, errors),
        None if !fields.contains(&text) => path.with(&text.into()).unsupported(errors, fields),
        None => {}
    }
}

fn qualified(at: &Cursor<'_, '_>, key: &str, errors: &mut FieldErrors) {
    at.with(&key.into()).named(errors, names::is_qualified_name);
}

/// `metadata.labels['key']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(field, _)| !field.is_empty())
}

fn known_field(version: &str, path: &str) -> Result<(), String> {
    const MORE: [&str; 6] = [
        "metadata.annotations",
        "metadata.labels",
        "spec.restartPolicy",
        "spec.schedulerName",
        "status.phase",
        "spec.host",
    ];
    if version != "v1" {
        return Err(format!("unsupported pod version: {version}"));
    }
    match subscript(path) {
        Some(("metadata.annotations" | "metadata.labels", _)) => Ok(()),
        Some(_) => Err(format!("field label does not support subscript: {path}")),
        None if POD_FIELDS.contains(&path) || MORE.contains(&path) => Ok(()),
        None => Err(format!("field label not supported: {path}")),
    }
}

/// `resourceFieldRef`.
pub(super) fn resource_field(at: &Cursor<'_, '_>, in_volume: bool, errors: &mut FieldErrors) {
    let resource = at.get("resource");
    let is_huge = |name: &str| {
        name.strip_prefix("requests.").or(name.strip_prefix("limits.")).is_some_and(resources::is_hugepages)
    };
    if in_volume && at.text_of("containerName").is_empty() {
        at.get("containerName").required(errors, "");
    } else if resource.must_be_set(errors) && !is_huge(resource.text()) {
        resource.enumeration(errors, &RESOURCES);
    }
    divisor(at, resource.text(), errors);
}

fn divisor(at: &Cursor<'_, '_>, resource: &str, errors: &mut FieldErrors) {
    const SIZES: &str = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
    let Some(divisor) = resources::amount(at.value(), "divisor").filter(|d| *d != Quantity::ZERO) else {
        return;
    };
    let divisor = divisor.to_string();
    let name = resource.split_once('.').map_or("", |(_, name)| name);
    let (fits, values, what) = match name {
        "cpu" => (matches!(divisor.as_str(), "1" | "1m"), "1m and 1", "cpu"),
        "memory" => (SIZES.split(", ").any(|size| size == divisor), SIZES, "memory"),
        "ephemeral-storage" => {
            (SIZES.split(", ").any(|size| size == divisor), SIZES, "local ephemeral storage")
        }
        name if resources::is_hugepages(name) => {
            (SIZES.split(", ").any(|size| size == divisor), SIZES, "hugepages")
        }
        _ => return,
    };
    if !fits {
        let text = format!("only divisor's values {values} are supported with the {what} resource");
        at.get("divisor").with(&resource.into()).invalid(errors, &text);
    }
}
