//! Validation of job specs and their changes.
//!
//! Upstream: `ValidateJobSpec`, `ValidateJobSpecUpdate` and `validationOptionsForJob`.

use super::{NAME_LABELS, UID_LABELS, policies};
use crate::{
    cursor::Cursor,
    fill::{is_empty, items, keep, same, set, sub},
    pod_spec::template,
    selector, table,
};
use proa_meta::{FieldErrors, FieldPath, names};
use serde_json::{Value, json};

/// Validates a new job.
pub(super) fn validate_create(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let (metadata, spec) = (root.get("metadata"), root.get("spec"));
    generated_selector(&metadata, &spec, errors);
    whole_spec(&spec, errors);
    host_names(&metadata, &spec, errors);
}

fn whole_spec(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    validate_spec(spec, errors);
    let own = spec.get("selector");
    match own.is_set() {
        true => selector::validate(&own, errors),
        false => own.required(errors, ""),
    }
    template::selected(spec, errors);
}

/// Validates a job's spec without its selector.
pub(crate) fn validate_spec(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    numbers(spec, errors);
    modes(spec, errors);
    policies::policies(spec, errors);
    template::template(&spec.get("template"), errors);
    restart_policy(spec, errors);
}

fn generated_selector(metadata: &Cursor<'_, '_>, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let own = spec.get("selector");
    if spec.get("manualSelector").is_true() || !own.is_set() {
        return;
    }
    metadata.get("uid").must_be_set(errors);
    let template = spec.get("template");
    let pods = template.get("metadata");
    let labels = pods.get("labels");
    let (uid, name) = (metadata.text_of("uid"), metadata.text_of("name"));
    let expected: Vec<(&str, &str)> = UID_LABELS
        .into_iter()
        .zip(NAME_LABELS)
        .flat_map(|labels| [(labels.0, uid), (labels.1, name)])
        .collect();
    for (label, value) in &expected {
        let at = labels.key(label);
        match at.is_set() {
            false => at.required(errors, &format!("must be '{value}'")),
            true if at.text() != *value => {
                at.with(labels.value()).invalid(errors, &format!("must be '{value}'"));
            }
            true => {}
        }
    }
    let expected: Value = expected.into_iter().map(|(k, v)| (k.to_owned(), json!(v))).collect();
    if selector::matches(own.value(), &expected) == Some(false) {
        own.invalid(errors, "`selector` not auto-generated");
    }
}

fn numbers(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const NUMBERS: [&str; 7] = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ];
    for number in NUMBERS {
        spec.get(number).non_negative(errors);
    }
    if spec.get("maxFailedIndexes").is_set() && !spec.get("backoffLimitPerIndex").is_set() {
        spec.get("backoffLimitPerIndex").required(errors, "when maxFailedIndexes is specified");
    }
    if let Some(manager) = spec.present("managedBy") {
        names::validate_domain_prefixed_path(manager.text(), manager.path(), errors);
        if manager.text().len() > 63 {
            errors.too_long(manager.path(), 63);
        }
    }
}

fn modes(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mode = spec.get("completionMode");
    mode.opt_one_of(errors, &["NonIndexed", "Indexed"]);
    match mode.text() {
        "Indexed" => indexed(spec, errors),
        text if text == "NonIndexed" || !mode.is_set() => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if spec.get(field).is_set() {
                    spec.get(field).invalid(errors, "requires indexed completion mode");
                }
            }
        }
        _ => {}
    }
}

fn indexed(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const MANY: i64 = 100_000;
    const FEW: i64 = 10_000;
    let (completions, parallelism) = (spec.get("completions"), spec.get("parallelism"));
    let failed = spec.get("maxFailedIndexes");
    if !completions.is_set() {
        completions.required(errors, "when completion mode is Indexed");
    }
    if parallelism.int() > MANY {
        let text = format!("must be less than or equal to {MANY} when completion mode is Indexed");
        parallelism.invalid(errors, &text);
    }
    if completions.is_set() && failed.is_set() && failed.int() > completions.int() {
        failed.invalid(errors, "must be less than or equal to completions");
    }
    if failed.int() > MANY {
        failed.invalid(errors, &format!("must be less than or equal to {MANY}"));
    }
    if completions.int() <= MANY || !spec.get("backoffLimitPerIndex").is_set() {
        return;
    }
    if !failed.is_set() {
        failed.required(errors, &format!("must be specified when completions is above {MANY}"));
    }
    for at in [parallelism, failed].into_iter().filter(|at| at.int() > FEW) {
        let text = format!(
            "must be less than or equal to {FEW} when completions are above {MANY} and used with backoff limit per index"
        );
        at.invalid(errors, &text);
    }
}

fn restart_policy(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let template = spec.get("template");
    let pod = template.get("spec");
    let policy = pod.get("restartPolicy");
    match policy.text() {
        "Always" | "" => policy.required(errors, "valid values: \"OnFailure\", \"Never\""),
        "Never" => {}
        "OnFailure" if spec.get("podFailurePolicy").is_set() => {
            policy.invalid(errors, "only \"Never\" is supported when podFailurePolicy is specified");
        }
        "OnFailure" => {}
        _ => policy.unsupported(errors, &["OnFailure", "Never"]),
    }
}

/// Pods of an indexed job are called after it and their index.
fn host_names(metadata: &Cursor<'_, '_>, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let completions = spec.int_of("completions");
    if spec.text_of("completionMode") != "Indexed" || completions <= 0 {
        return;
    }
    let longest = format!("{}-{}", metadata.text_of("name"), completions - 1);
    if !names::is_dns1123_label(&longest).is_empty() {
        let text = format!("will not able to create pod with invalid DNS label: {longest}");
        metadata.get("name").invalid(errors, &text);
    }
}

/// Validates a change.
pub(super) fn validate_update(new: &Value, old: &Value, errors: &mut FieldErrors) {
    const FIXED: [&str; 5] =
        ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"];
    let (root, before) = (Cursor::root(new), Cursor::root(old));
    let (now, before) = (root.get("spec"), before.get("spec"));
    whole_spec(&now, errors);
    completions(&now, &before, errors);
    now.get("selector").immutable(&before.get("selector"), errors);
    template_update(&now, old, errors);
    for field in FIXED {
        now.get(field).immutable(&before.get(field), errors);
    }
    host_names(&root.get("metadata"), &now, errors);
}

/// An indexed job's size may change together with its parallelism.
fn completions(new: &Cursor<'_, '_>, old: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (now, before) = (new.get("completions"), old.get("completions"));
    if new.text_of("completionMode") != "Indexed" {
        return now.immutable(&before, errors);
    }
    if now.is_set() && now.value() != before.value() && now.int() != new.int_of("parallelism") {
        now.invalid(errors, "can only be modified in tandem with spec.parallelism");
    }
}

/// The template is fixed, but a job that was suspended before it started may be scheduled and sized differently.
fn template_update(new: &Cursor<'_, '_>, old: &Value, errors: &mut FieldErrors) {
    let spec = &old["spec"];
    let idle = old["status"]["startTime"].is_null() || table::condition(old, "Suspended") == "True";
    let mutable = spec["suspend"] == true && idle && old["status"]["active"].as_i64().unwrap_or(0) == 0;
    let template = new.get("template");
    if !mutable {
        let before = Cursor::at(&spec["template"], FieldPath::root(""));
        return template.immutable(&before, errors);
    }
    let mut allowed = spec["template"].clone();
    scheduling_as(&mut allowed, template.value());
    sizes_as(sub(&mut allowed, "spec"), &template.value()["spec"]);
    if !same(&allowed["spec"], &template.value()["spec"]) {
        let shown = new.get("template.spec");
        errors.invalid(shown.path(), &template.value()["spec"], crate::cursor::IMMUTABLE);
    }
}

fn scheduling_as(allowed: &mut Value, template: &Value) {
    for field in ["annotations", "labels"] {
        keep(sub(allowed, "metadata"), &template["metadata"], field);
    }
    let spec = sub(allowed, "spec");
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        keep(spec, &template["spec"], field);
    }
    let mut affinity = spec["affinity"].clone();
    let now = &template["spec"]["affinity"];
    keep(&mut affinity, now, "nodeAffinity");
    if is_empty(&affinity) {
        affinity = if now.is_object() { serde_json::json!({}) } else { Value::Null };
    }
    set(spec, "affinity", affinity);
}

fn sizes_as(allowed: &mut Value, spec: &Value) {
    for list in ["containers", "initContainers"] {
        let new = spec[list].as_array().map_or(&[][..], Vec::as_slice);
        if allowed[list].as_array().map_or(0, Vec::len) != new.len() {
            continue;
        }
        for (container, new) in items(allowed, list).zip(new) {
            if container["name"] == new["name"] {
                keep(container, new, "resources");
            }
        }
    }
}
