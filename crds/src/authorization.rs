//! Reviews of the group `authorization.k8s.io`, `v1`: answered, never stored.
//!
//! Upstream: `pkg/registry/authorization`, `pkg/apis/authorization/validation/validation.go`.

use crate::{
    cursor::Cursor,
    facts,
    selector::{self, Unknown},
};
use proa_meta::{FieldErrors, GroupKind, Gvk};
use proa_registry::kind::{KindDef, Scope, Strategy};
use serde_json::Value;

fn review(kind: &'static str, resource: &'static str, validate: fn(&Value, &mut FieldErrors)) -> KindDef {
    let schema = facts::schema(&format!("io.k8s.api.authorization.v1.{kind}"));
    let kind = KindDef::cluster(Gvk::new("authorization.k8s.io", "v1", kind), resource, schema)
        .with_strategy(Strategy { validate, ..Strategy::default() })
        .answered();
    // Upstream's errors name the group only.
    KindDef { error_kind: Some(GroupKind::new("authorization.k8s.io", "")), ..kind }
}

/// Whether anyone may do something.
pub(crate) fn subject_access_review() -> KindDef {
    review("SubjectAccessReview", "subjectaccessreviews", |object, errors| {
        attributes(object, errors);
        subject(object, errors);
        selectors(object, errors);
        empty_metadata(object, &[], "must be empty", errors);
    })
}

/// Whether the caller may do something.
pub(crate) fn self_subject_access_review() -> KindDef {
    review("SelfSubjectAccessReview", "selfsubjectaccessreviews", |object, errors| {
        attributes(object, errors);
        selectors(object, errors);
        empty_metadata(object, &[], "must be empty", errors);
    })
}

/// What the caller may do in a namespace.
pub(crate) fn self_subject_rules_review() -> KindDef {
    review("SelfSubjectRulesReview", "selfsubjectrulesreviews", |_, _| {})
}

/// Whether anyone may do something in one namespace.
pub(crate) fn local_subject_access_review() -> KindDef {
    let kind = review("LocalSubjectAccessReview", "localsubjectaccessreviews", |object, errors| {
        attributes(object, errors);
        subject(object, errors);
        selectors(object, errors);
        empty_metadata(object, &["namespace"], "must be empty except for namespace", errors);
        local(object, errors);
    });
    KindDef { scope: Scope::Namespaced, ..kind }
}

fn attributes(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let (resource, other) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    if resource.is_set() == other.is_set() {
        let text = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        errors.invalid(spec.path(), other.value(), text);
    }
}

fn subject(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    if spec.get("user").is_empty() && spec.get("groups").is_empty() {
        spec.get("user").invalid(errors, "at least one of user or group must be specified");
    }
}

fn selectors(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let resource = spec.get("resourceAttributes");
    let requirements = [field_requirement, label_requirement];
    for (name, check) in ["fieldSelector", "labelSelector"].into_iter().zip(requirements) {
        let Some(selector) = resource.present(name) else { continue };
        let (raw, list) = (selector.get("rawSelector"), selector.get("requirements"));
        match (raw.is_empty(), list.is_empty()) {
            (false, false) => raw.invalid(errors, "may not specified at the same time as requirements"),
            (true, true) => {
                let path = selector.path();
                let text = format!("when {path} is specified, requirements or rawSelector is required");
                list.required(errors, &text);
            }
            _ => {}
        }
        list.items().for_each(|one| check(&one, errors));
    }
}

fn field_requirement(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.get("key").is_empty() {
        at.get("key").required(errors, "must be specified");
    }
    selector::operator(at, Unknown::Passed, errors);
}

fn label_requirement(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    selector::validate_requirement(at, Unknown::Passed, errors);
}

fn empty_metadata(object: &Value, allowed: &[&str], text: &str, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let metadata = root.get("metadata");
    let fields = metadata.value().as_object().into_iter().flatten();
    let ignored = |key: &str| allowed.contains(&key) || matches!(key, "managedFields" | "creationTimestamp");
    if fields.into_iter().any(|(key, value)| !ignored(key) && !crate::fill::is_empty(value)) {
        metadata.invalid(errors, text);
    }
}

fn local(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let (resource, other) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    let namespace = resource.get("namespace");
    if resource.is_set() && namespace.text() != root.get("metadata").text_of("namespace") {
        namespace.invalid(errors, "must match metadata.namespace");
    }
    if other.is_set() {
        other.invalid(errors, "disallowed on this kind of request");
    }
}
