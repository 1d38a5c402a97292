//! Whether a webhook is asked about a request, and in which version of it. Reads nothing but memory.
//!
//! Upstream: apiserver `pkg/admission/plugin/webhook/generic/webhook.go`, `predicates/{namespace,object}/matcher.go`.

use super::{
    rules::{Rule, Subject},
    source::Hook,
};
use crate::{
    admission::{
        forbidden, is_core,
        policies::{
            authority::Authority,
            evaluation,
            facts::{self, Facts},
        },
    },
    objects,
};
use proa_meta::{ApiError, ApiResult, selector::Selector};
use proa_registry::{AdmissionRequest, Authorizer, Kind, KindDef, Operation};
use proa_schema::policy::{Scope, Variables};
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};

/// Kinds that neither policies nor webhooks are asked about: who could not be let in again.
const EXEMPT: [(&str, &[&str]); 3] = [
    (
        "admissionregistration.k8s.io",
        &[
            "mutatingadmissionpolicies",
            "mutatingadmissionpolicybindings",
            "validatingadmissionpolicies",
            "validatingadmissionpolicybindings",
        ],
    ),
    ("authentication.k8s.io", &["selfsubjectreviews", "tokenreviews"]),
    (
        "authorization.k8s.io",
        &[
            "localsubjectaccessreviews",
            "selfsubjectaccessreviews",
            "selfsubjectrulesreviews",
            "subjectaccessreviews",
        ],
    ),
];

/// Kinds that webhooks are not asked about either.
const OF_WEBHOOKS: [(&str, &[&str]); 1] =
    [("admissionregistration.k8s.io", &["mutatingwebhookconfigurations", "validatingwebhookconfigurations"])];

/// Whether neither policies nor webhooks are ever asked about such requests.
pub(in crate::admission) fn is_exempt(request: &AdmissionRequest<'_>) -> bool {
    is_among(&EXEMPT, request)
}

/// Whether webhooks are never asked about such requests.
pub(super) fn is_exempt_from_webhooks(request: &AdmissionRequest<'_>) -> bool {
    is_exempt(request) || is_among(&OF_WEBHOOKS, request)
}

fn is_among(kinds: &[(&str, &[&str])], request: &AdmissionRequest<'_>) -> bool {
    let (group, resource) = (request.kind.gvk.group.as_ref(), request.kind.resource.as_ref());
    kinds.iter().any(|(of, resources)| *of == group && resources.contains(&resource))
}

/// The version in which a webhook or a policy is asked: that of the request, or an equivalent one.
pub(in crate::admission) struct Asked(pub(super) Option<Arc<Kind>>);

impl Asked {
    /// That of the request.
    pub(in crate::admission) const fn own() -> Self {
        Self(None)
    }
    /// The kind in that version.
    pub(in crate::admission) fn kind<'a>(&'a self, request: &AdmissionRequest<'a>) -> &'a KindDef {
        self.0.as_ref().map_or(request.kind, |kind| &kind.def)
    }
}

fn subject<'a>(request: &AdmissionRequest<'a>, kind: &'a KindDef) -> Subject<'a> {
    Subject {
        operation: request.operation,
        group: &kind.gvk.group,
        version: &kind.gvk.version,
        resource: &kind.resource,
        subresource: request.subresource,
        namespaced: kind.is_namespaced(),
    }
}

/// The version in which the webhook's rules are about the request.
pub(super) fn rule(hook: &Hook, request: &AdmissionRequest<'_>) -> Option<Asked> {
    about(&hook.rules, hook.equivalent, request, |_| true)
}

/// The version in which rules are about the request. Rules that name the request's own come first, then rules in their
/// order; none: they are not about it. `holds` says whether a rule that fits counts at all.
pub(in crate::admission) fn about<R: AsRef<Rule>>(
    rules: &[R],
    equivalent: bool,
    request: &AdmissionRequest<'_>,
    holds: impl Fn(&R) -> bool,
) -> Option<Asked> {
    let is_about = |rule: &R, kind: &KindDef| rule.as_ref().matches(&subject(request, kind)) && holds(rule);
    if rules.iter().any(|rule| is_about(rule, request.kind)) {
        return Some(Asked(None));
    }
    if !equivalent {
        return None;
    }
    let catalogue = request.registry.catalogue();
    let others = catalogue.siblings(request.kind);
    let matching = rules.iter().find_map(|rule| others.iter().find(|other| is_about(rule, &other.def)));
    matching.map(|kind| Asked(Some(Arc::clone(kind))))
}

/// Whether the webhook is asked about the request with this object (null on delete).
///
/// # Errors
/// The namespace does not exist, or a condition cannot be evaluated and the webhook's failures count.
pub(super) async fn asked(
    hook: &Hook,
    request: &AdmissionRequest<'_>,
    object: &Value,
    authorizer: &Arc<dyn Authorizer>,
) -> ApiResult<Option<Asked>> {
    let Some(asked) = rule(hook, request) else { return Ok(None) };
    if !in_namespace(&hook.namespaces, request, object)? || !is_selected(&hook.objects, request, object) {
        return Ok(None);
    }
    if hook.conditions.is_empty() {
        return Ok(Some(asked));
    }
    let facts = Facts::of(&asked, request, object).await?;
    let authority = Authority::new(authorizer, request.user);
    let held = || {
        let (requested, none) = (facts::requested(request), Variables::default());
        let subject = facts.subject(&Value::Null);
        let scope = Scope::new(subject, &Value::Null, &none, authority.clone(), &requested);
        evaluation::all_hold(&hook.conditions, &scope)
    };
    let held = authority.settled(held).await;
    match held {
        Ok(true) => Ok(Some(asked)),
        Ok(false) => Ok(None),
        Err(_) if hook.ignores_failure => Ok(None),
        Err(why) => Err(forbidden(request, &why)),
    }
}

fn matches(selector: &Selector, object: &Value) -> bool {
    selector.matches_json(object["metadata"]["labels"].as_object())
}

/// Either the new or the old object is selected.
pub(in crate::admission) fn is_selected(
    selector: &Selector,
    request: &AdmissionRequest<'_>,
    object: &Value,
) -> bool {
    let selected = |object: &Value| !object.is_null() && matches(selector, &request.show(object));
    selector.is_everything() || selected(object) || request.old.is_some_and(selected)
}

/// Whether the namespace of the request is selected: of a namespace itself its own labels count, of other objects
/// without a namespace nothing does.
pub(in crate::admission) fn in_namespace(
    selector: &Selector,
    request: &AdmissionRequest<'_>,
    object: &Value,
) -> ApiResult<bool> {
    let is_namespace = request.kind.gvk.group.is_empty() && request.kind.resource == "namespaces";
    if selector.is_everything() || (request.namespace.is_empty() && !is_namespace) {
        return Ok(true);
    }
    if is_core(request, "namespaces") && matches!(request.operation, Operation::Create | Operation::Update) {
        return Ok(matches(selector, object));
    }
    let name = if is_namespace { request.name } else { request.namespace };
    let namespaces = objects::kind(request.registry, &objects::NAMESPACES)?;
    let namespace = namespaces.get("", name);
    let namespace =
        namespace.ok_or_else(|| ApiError::not_found(&objects::NAMESPACES.group_resource(), name))?;
    let labels: HashMap<&str, &str> = namespace.labels().collect();
    Ok(selector.matches(|key| labels.get(key).copied()))
}
