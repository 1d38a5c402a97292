//! The question: an AdmissionReview. Pure but for conversion.
//!
//! Upstream: apiserver `pkg/admission/plugin/webhook/request/admissionreview.go`.

use super::{matching::Asked, rules};
use proa_meta::{ApiResult, Gvk, User};
use proa_registry::{
    AdmissionRequest, KindDef,
    admission::Options,
    kind::Propagation,
    request::{DeleteOptions, FieldValidation, WriteOptions},
};
use serde_json::{Map, Value, json};

/// An object as a webhook is shown it: null stays null.
///
/// # Errors
/// It cannot be converted to the version in which the webhook is asked.
pub(in crate::admission) async fn object(
    asked: &Asked,
    request: &AdmissionRequest<'_>,
    object: &Value,
) -> ApiResult<Value> {
    let mut shown = request.show(object).into_owned();
    if request.gvk() == request.kind.gvk {
        request.registry.convert(request.kind, asked.kind(request), &mut shown).await?;
    }
    Ok(shown)
}

/// Kind of what is shown: in the version asked for, unless a subresource has a kind of its own.
fn kind(asked: &Asked, request: &AdmissionRequest<'_>) -> Gvk {
    let gvk = request.gvk();
    if gvk == request.kind.gvk { asked.kind(request).gvk.clone() } else { gvk }
}

fn gvk(gvk: &Gvk) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}

fn gvr(def: &KindDef) -> Value {
    json!({"group": def.gvk.group, "version": def.gvk.version, "resource": def.resource})
}

/// Everything about the request but its objects.
pub(in crate::admission) fn attributes(asked: &Asked, request: &AdmissionRequest<'_>) -> Value {
    let mut attributes = json!({
        "kind": gvk(&kind(asked, request)),
        "resource": gvr(asked.kind(request)),
        "requestKind": gvk(&request.gvk()),
        "requestResource": gvr(request.kind),
        "operation": rules::name_of(request.operation),
        "userInfo": user_info(request.user),
        "dryRun": request.dry_run,
        "options": options(request),
    });
    let is_namespace = request.kind.gvk.group.is_empty() && request.kind.resource == "namespaces";
    let namespace = if is_namespace { request.name } else { request.namespace };
    let texts = [
        ("subResource", request.subresource),
        ("requestSubResource", request.subresource),
        ("name", request.name),
        ("namespace", namespace),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        attributes[field] = json!(text);
    }
    attributes
}

/// The whole question in a version of AdmissionReview; versions differ in nothing but their name.
pub(super) fn review(
    version: &str,
    uid: &str,
    asked: &Asked,
    request: &AdmissionRequest<'_>,
    shown: &Value,
    old: Value,
) -> Value {
    let mut question = attributes(asked, request);
    question["uid"] = json!(uid);
    question["object"] = shown.clone();
    question["oldObject"] = old;
    json!({"kind": "AdmissionReview", "apiVersion": format!("admission.k8s.io/{version}"), "request": question})
}

fn user_info(user: &User) -> Value {
    let mut info = Map::new();
    info.insert("username".to_owned(), json!(user.name));
    if !user.uid.is_empty() {
        info.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        info.insert("extra".to_owned(), json!(user.extra));
    }
    Value::Object(info)
}

fn options(request: &AdmissionRequest<'_>) -> Value {
    match request.options {
        Options::None => Value::Null,
        Options::Write(options) => {
            let kind = match request.operation {
                proa_registry::Operation::Create => "CreateOptions",
                _ => "UpdateOptions",
            };
            write_options(kind, options)
        }
        Options::Delete(options) => delete_options(options),
    }
}

fn head(kind: &str, dry_run: bool) -> Value {
    let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if dry_run {
        options["dryRun"] = json!(["All"]);
    }
    options
}

fn write_options(kind: &str, given: &WriteOptions) -> Value {
    let mut options = head(kind, given.dry_run);
    if given.given.field_manager {
        options["fieldManager"] = json!(given.field_manager);
    }
    if given.given.field_validation {
        options["fieldValidation"] = json!(match given.field_validation {
            FieldValidation::Ignore => "Ignore",
            FieldValidation::Warn => "Warn",
            FieldValidation::Strict => "Strict",
        });
    }
    options
}

fn delete_options(given: &DeleteOptions) -> Value {
    let mut options = head("DeleteOptions", given.dry_run);
    if let Some(seconds) = given.grace_period_seconds {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    for (field, wanted) in [("uid", &given.uid), ("resourceVersion", &given.resource_version)] {
        if let Some(wanted) = wanted {
            options["preconditions"][field] = json!(wanted);
        }
    }
    if let Some(policy) = given.propagation {
        options["propagationPolicy"] = json!(match policy {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Orphan => "Orphan",
        });
    }
    options
}
