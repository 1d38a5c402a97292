//! SubjectAccessReview, LocalSubjectAccessReview and SelfSubjectAccessReview: asks the authorizers.
//!
//! What is wrong with a review is found before, by its kind.
//! A selector that cannot be read, or an operator that nobody here knows, is left out, which asks for more, and is told in
//! the status. Upstream: `pkg/registry/authorization/util/helpers.go`,
//! `pkg/registry/authorization/*/rest.go`.

use super::{created, spec_of};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{
    ApiError, ApiResult, User,
    selector::{
        FieldRequirement, FieldSelector, LabelSelector, LabelSelectorRequirement, Requirement, Selector,
    },
};
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
    requirements: Vec<LabelSelectorRequirement>,
}

/// Requirements, and whether some were left out.
type Read<T> = (Vec<T>, bool);

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
        let (attributes, ignored) = attributes(user, spec);
        let decision = self.authorizer.authorize(&attributes).await;
        review["status"] = status(&decision);
        if !ignored.is_empty() {
            review["status"]["evaluationError"] = json!(ignored);
        }
        Ok(created(review))
    }
}

fn check_namespace(namespace: &str, review: &Value) -> ApiResult<()> {
    if review["metadata"]["namespace"].as_str().unwrap_or_default() == namespace {
        return Ok(());
    }
    Err(ApiError::bad_request(format!("spec.resourceAttributes.namespace must match namespace: {namespace}")))
}

/// The question, and what of it could not be read.
fn attributes(user: Arc<User>, spec: Spec) -> (Attributes, String) {
    match (spec.resource_attributes, spec.non_resource_attributes) {
        (Some(resource), _) => selecting(user, resource),
        (None, path) => {
            let PathAttributes { path, verb } = path.unwrap_or_default();
            (Attributes { user, verb, path, ..Attributes::default() }, String::new())
        }
    }
}

fn selecting(user: Arc<User>, resource: ResourceAttributes) -> (Attributes, String) {
    let (fields, no_fields) = resource.field_selector.as_ref().map(fields_of).unwrap_or_default();
    let (labels, no_labels) = resource.label_selector.as_ref().map(labels_of).unwrap_or_default();
    let told = |what: &str, ignored: bool, partially: bool| {
        let partially = if partially { "partially " } else { "" };
        ignored.then(|| format!("spec.resourceAttributes.{what} {partially}ignored due to parse error"))
    };
    let ignored = [
        told("fieldSelector", no_fields, !fields.is_empty()),
        told("labelSelector", no_labels, !labels.is_empty()),
    ];
    let attributes = Attributes {
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
        fields,
        labels,
    };
    (attributes, ignored.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn fields_of(selector: &SelectorAttributes) -> Read<FieldRequirement> {
    if selector.requirements.is_empty() {
        let parsed = FieldSelector::parse(&selector.raw_selector);
        return parsed.map_or_else(|_| (Vec::new(), true), |read| (read.requirements().to_vec(), false));
    }
    let read = selector.requirements.iter().filter_map(|one| match (one.operator.as_str(), &*one.values) {
        (operator @ ("In" | "NotIn"), [value]) => Some(FieldRequirement {
            field: one.key.clone(),
            negated: operator == "NotIn",
            value: value.clone(),
        }),
        _ => None,
    });
    let read: Vec<_> = read.collect();
    let is_partial = read.len() < selector.requirements.len();
    (read, is_partial)
}

fn labels_of(selector: &SelectorAttributes) -> Read<Requirement> {
    if selector.requirements.is_empty() {
        let parsed = Selector::parse(&selector.raw_selector);
        return parsed.map_or_else(|_| (Vec::new(), true), |read| (read.requirements().to_vec(), false));
    }
    let one = |requirement: &LabelSelectorRequirement| {
        let alone =
            LabelSelector { match_expressions: vec![requirement.clone()], ..LabelSelector::default() };
        alone.compile().ok()?.requirements().first().cloned()
    };
    let read: Vec<_> = selector.requirements.iter().filter_map(one).collect();
    let is_partial = read.len() < selector.requirements.len();
    (read, is_partial)
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

impl Action for AccessReview {
    fn call<'a>(&'a self, _: &'a Arc<Registry>, request: ActionRequest) -> BoxFuture<'a, ApiResult<Written>> {
        self.answer(request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_part_of_the_question() {
        let asked = |fields: Value, labels: Value| {
            let resource =
                json!({"verb": "list", "resource": "pods", "fieldSelector": fields, "labelSelector": labels});
            let spec = spec_of(&json!({"spec": {"resourceAttributes": resource}})).unwrap();
            attributes(Arc::default(), spec)
        };
        let (found, ignored) =
            asked(json!({"rawSelector": "spec.nodeName=n1"}), json!({"rawSelector": "app in (a,b),!c"}));
        assert!(found.selects_field("spec.nodeName", "n1") && ignored.is_empty());
        assert_eq!(found.labels.len(), 2);
        let (found, ignored) = asked(
            json!({"requirements": [
                {"key": "spec.nodeName", "operator": "In", "values": ["n1"]},
                {"key": "a", "operator": "Exists"},
            ]}),
            json!({"requirements": [{"key": "app", "operator": "Like", "values": ["a"]}]}),
        );
        assert!(found.selects_field("spec.nodeName", "n1") && found.labels.is_empty());
        assert_eq!(
            ignored,
            "spec.resourceAttributes.fieldSelector partially ignored due to parse error; \
             spec.resourceAttributes.labelSelector ignored due to parse error"
        );
    }

    #[test]
    fn status_tells_denial_from_no_opinion() {
        assert_eq!(status(&Decision::Allow("why".into())), json!({"allowed": true, "reason": "why"}));
        assert_eq!(status(&Decision::Deny(String::new())), json!({"allowed": false, "denied": true}));
        assert_eq!(status(&Decision::NoOpinion(String::new())), json!({"allowed": false}));
    }
}
