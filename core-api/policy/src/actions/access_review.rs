//! SubjectAccessReview, LocalSubjectAccessReview and SelfSubjectAccessReview: asks the authorizers.
//!
//! Selectors in resource attributes are accepted and change no answer, since no built-in authorizer but the node one
//! looks at them. Upstream: `pkg/registry/authorization/*/rest.go`, `pkg/apis/authorization/validation/validation.go`.

use super::{created, spec_of};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, User};
use proa_registry::{
    Attributes, Authorizer, Decision, Registry,
    request::{Action, ActionRequest, Written},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Whose access is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The spec names it.
    Named,
    /// The spec names it; only the review's namespace may be asked about.
    NamedInNamespace,
    /// Whoever asks.
    Caller,
}

/// The action.
pub struct AccessReview {
    subject: Subject,
    authorizer: Arc<dyn Authorizer>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    resource_attributes: Option<ResourceAttributes>,
    non_resource_attributes: Option<PathAttributes>,
    user: String,
    groups: Vec<String>,
    extra: BTreeMap<String, Vec<String>>,
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceAttributes {
    namespace: String,
    verb: String,
    group: String,
    version: String,
    resource: String,
    subresource: String,
    name: String,
    field_selector: Option<SelectorAttributes>,
    label_selector: Option<SelectorAttributes>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SelectorAttributes {
    raw_selector: String,
    requirements: Vec<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PathAttributes {
    path: String,
    verb: String,
}

impl AccessReview {
    /// A review of the given kind.
    pub fn new(subject: Subject, authorizer: Arc<dyn Authorizer>) -> Self {
        Self { subject, authorizer }
    }

    async fn answer(&self, request: ActionRequest) -> ApiResult<Written> {
        let mut review = request.body;
        let spec: Spec = spec_of(&review)?;
        let errors = validate(self.subject, &spec, &review["metadata"]);
        if !errors.is_empty() {
            return Err(ApiError::invalid(&request.target.kind.def.group_kind(), "", &errors));
        }
        if self.subject == Subject::NamedInNamespace {
            check_namespace(&request.target.namespace, &review)?;
        }
        let user = match self.subject {
            Subject::Caller => request.target.user.clone(),
            _ => Arc::new(User {
                name: spec.user.clone(),
                uid: spec.uid.clone(),
                groups: spec.groups.clone(),
                extra: spec.extra.clone(),
            }),
        };
        let decision = self.authorizer.authorize(&attributes(user, spec)).await;
        review["status"] = status(&decision);
        Ok(created(review))
    }
}

fn check_namespace(namespace: &str, review: &Value) -> ApiResult<()> {
    if review["metadata"]["namespace"].as_str().unwrap_or_default() == namespace {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("spec.resourceAttributes.namespace must match namespace: {namespace}")))
}

fn attributes(user: Arc<User>, spec: Spec) -> Attributes {
    match (spec.resource_attributes, spec.non_resource_attributes) {
        (Some(resource), _) => Attributes {
            user,
            verb: resource.verb,
            group: resource.group,
            version: if resource.version.is_empty() { "*".to_owned() } else { resource.version },
            resource: resource.resource,
            subresource: resource.subresource,
            namespace: resource.namespace,
            name: resource.name,
            path: String::new(),
            is_resource: true,
        },
        (None, path) => {
            let PathAttributes { path, verb } = path.unwrap_or_default();
            Attributes { user, verb, path, ..Attributes::default() }
        }
    }
}

fn status(decision: &Decision) -> Value {
    let (allowed, denied, reason) = match decision {
        Decision::Allow(reason) => (true, false, reason),
        Decision::Deny(reason) => (false, true, reason),
        Decision::NoOpinion(reason) => (false, false, reason),
    };
    let mut status = json!({ "allowed": allowed });
    if denied {
        status["denied"] = json!(true);
    }
    if !reason.is_empty() {
        status["reason"] = json!(reason);
    }
    status
}

fn validate(subject: Subject, spec: &Spec, metadata: &Value) -> FieldErrors {
    let mut errors = FieldErrors::default();
    let path = FieldPath::root("spec");
    match (&spec.resource_attributes, &spec.non_resource_attributes) {
        (Some(_), Some(asked)) => errors.invalid(
            &path.child("nonResourceAttributes"),
            &json!({"path": asked.path, "verb": asked.verb}),
            "cannot be specified in combination with resourceAttributes",
        ),
        (None, None) => errors.invalid(
            &path.child("resourceAttributes"),
            &Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        _ => {}
    }
    if subject != Subject::Caller && spec.user.is_empty() && spec.groups.is_empty() {
        errors.invalid(&path.child("user"), &json!(""), "at least one of user or group must be specified");
    }
    if let Some(resource) = &spec.resource_attributes {
        let path = path.child("resourceAttributes");
        validate_selector(resource.field_selector.as_ref(), &path.child("fieldSelector"), &mut errors);
        validate_selector(resource.label_selector.as_ref(), &path.child("labelSelector"), &mut errors);
    }
    validate_metadata(subject, spec, metadata, &mut errors);
    errors
}

fn validate_selector(selector: Option<&SelectorAttributes>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let Some(selector) = selector else { return };
    match (selector.raw_selector.is_empty(), selector.requirements.is_empty()) {
        (false, false) => errors.invalid(
            &path.child("rawSelector"),
            &json!(selector.raw_selector),
            "may not specified at the same time as requirements",
        ),
        (true, true) => errors.required(
            &path.child("requirements"),
            &format!("when {path} is specified, requirements or rawSelector is required"),
        ),
        _ => {}
    }
}

fn validate_metadata(subject: Subject, spec: &Spec, metadata: &Value, errors: &mut FieldErrors) {
    let local = subject == Subject::NamedInNamespace;
    let set = |(key, value): (&String, &Value)| {
        !value.is_null() && key != "managedFields" && !(local && key == "namespace")
    };
    if metadata.as_object().is_some_and(|metadata| metadata.iter().any(set)) {
        let text = if local { "must be empty except for namespace" } else { "must be empty" };
        errors.invalid(&FieldPath::root("metadata"), metadata, text);
    }
    if !local {
        return;
    }
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    let spec_path = FieldPath::root("spec");
    if let Some(resource) = spec.resource_attributes.as_ref().filter(|r| r.namespace != namespace) {
        let path = spec_path.child("resourceAttributes");
        errors.invalid(&path.child("namespace"), &json!(resource.namespace), "must match metadata.namespace");
    }
    if spec.non_resource_attributes.is_some() {
        let text = "disallowed on this kind of request";
        errors.invalid(&spec_path.child("nonResourceAttributes"), &Value::Null, text);
    }
}

impl Action for AccessReview {
    fn call<'a>(&'a self, _: &'a Arc<Registry>, request: ActionRequest) -> BoxFuture<'a, ApiResult<Written>> {
        self.answer(request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(subject: Subject, review: &Value) -> String {
        validate(subject, &Spec::deserialize(&review["spec"]).unwrap(), &review["metadata"]).summary()
    }

    #[test]
    fn reviews_are_validated_as_upstream() {
        let asked = json!({"namespace": "a", "verb": "get", "resource": "pods"});
        for (want, subject, review) in [
            ("", Subject::Caller, json!({"spec": {"resourceAttributes": asked}})),
            ("", Subject::Named, json!({"spec": {"user": "ann", "nonResourceAttributes": {"path": "/"}}})),
            (
                "spec.user: Invalid value: \"\": at least one of user or group must be specified",
                Subject::Named,
                json!({"spec": {"resourceAttributes": asked}}),
            ),
            (
                "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or \
                 resourceAttributes must be specified",
                Subject::Caller,
                json!({"spec": {}}),
            ),
            (
                "metadata: Invalid value: {\"name\":\"x\"}: must be empty",
                Subject::Caller,
                json!({"metadata": {"name": "x"}, "spec": {"resourceAttributes": asked}}),
            ),
            (
                "",
                Subject::NamedInNamespace,
                json!({"metadata": {"namespace": "a"}, "spec": {"user": "ann", "resourceAttributes": asked}}),
            ),
            (
                "spec.resourceAttributes.namespace: Invalid value: \"a\": must match metadata.namespace",
                Subject::NamedInNamespace,
                json!({"metadata": {"namespace": "b"}, "spec": {"user": "ann", "resourceAttributes": asked}}),
            ),
        ] {
            assert_eq!(problems(subject, &review), want, "{review}");
        }
    }

    #[test]
    fn status_tells_denial_from_no_opinion() {
        assert_eq!(status(&Decision::Allow("why".into())), json!({"allowed": true, "reason": "why"}));
        assert_eq!(status(&Decision::Deny(String::new())), json!({"allowed": false, "denied": true}));
        assert_eq!(status(&Decision::NoOpinion(String::new())), json!({"allowed": false}));
    }
}
