//! Whether the user may do this. Upstream: apiserver `pkg/endpoints/filters/authorization.go`,
//! `pkg/endpoints/handlers/responsewriters/errors.go`.

use crate::{api::Server, request_info::RequestInfo};
use proa_meta::{ApiError, ApiResult, GroupResource, Reason, User};
use proa_registry::{Attributes, Decision, admission::annotate};
use std::sync::Arc;

pub(super) async fn check(server: &Server, info: &RequestInfo, user: &Arc<User>) -> ApiResult<()> {
    const DECISION: &str = "authorization.k8s.io/decision";
    const REASON: &str = "authorization.k8s.io/reason";
    let attributes = attributes(info, user);
    let decision = server.config.authorizer.authorize(&attributes).await;
    let (word, reason) = match &decision {
        Decision::Allow(why) => ("allow", why),
        Decision::Deny(why) | Decision::NoOpinion(why) => ("forbid", why),
    };
    annotate(|| DECISION.to_owned(), || word.to_owned());
    annotate(|| REASON.to_owned(), || reason.clone());
    allowed(&attributes, decision)
}

/// Asks the authorizer; anything but an allowance is a 403.
pub(crate) async fn decide(server: &Server, attributes: &Attributes) -> ApiResult<()> {
    allowed(attributes, server.config.authorizer.authorize(attributes).await)
}

fn allowed(attributes: &Attributes, decision: Decision) -> ApiResult<()> {
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(why) | Decision::NoOpinion(why) => Err(forbidden(attributes, &why)),
    }
}

/// The question that a request asks.
pub(crate) fn attributes(info: &RequestInfo, user: &Arc<User>) -> Attributes {
    Attributes {
        user: Arc::clone(user),
        verb: info.verb.to_owned(),
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: info.path.clone(),
        is_resource: info.is_resource,
        ..Attributes::default()
    }
    .selecting(&info.field_selector, &info.label_selector)
}

/// 403 with upstream's text.
pub(super) fn forbidden(attributes: &Attributes, reason: &str) -> ApiError {
    let mut why = sanitized(&explanation(attributes));
    if !reason.is_empty() {
        why.push_str(": ");
        why.push_str(reason);
    }
    if attributes.resource.is_empty() {
        return ApiError::new(Reason::Forbidden, format!("forbidden: {why}"))
            .with_details(Default::default());
    }
    let resource = GroupResource {
        group: attributes.group.clone().into(),
        resource: attributes.resource.clone().into(),
    };
    ApiError::forbidden(&resource, &attributes.name, &why)
}

fn explanation(attributes: &Attributes) -> String {
    let Attributes { verb, group, resource, subresource, namespace, path, .. } = attributes;
    let user = &attributes.user.name;
    if !attributes.is_resource {
        return format!("User {user:?} cannot {verb} path {path:?}");
    }
    let slash = if subresource.is_empty() { "" } else { "/" };
    let what = format!(
        "User {user:?} cannot {verb} resource \"{resource}{slash}{subresource}\" in API group {group:?}"
    );
    match namespace.as_str() {
        "" => format!("{what} at the cluster scope"),
        namespace => format!("{what} in the namespace {namespace:?}"),
    }
}

/// Nothing that a browser would take for markup.
fn sanitized(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;

    fn refusal(path: &str, reason: &str) -> ApiError {
        let info = crate::request_info::parse(&http::Method::GET, path, &Query::default()).unwrap();
        forbidden(&attributes(&info, &Arc::new(User::new("x", &[]))), reason)
    }

    #[test]
    fn texts_are_upstreams() {
        for (path, want) in [
            (
                "/api/v1/namespaces/default/pods",
                r#"pods is forbidden: User "x" cannot list resource "pods" in API group "" in the namespace "default""#,
            ),
            (
                "/api/v1/nodes/n1",
                r#"nodes "n1" is forbidden: User "x" cannot get resource "nodes" in API group "" at the cluster scope"#,
            ),
            (
                "/apis/apps/v1/namespaces/d/deployments/w/scale",
                "deployments.apps \"w\" is forbidden: User \"x\" cannot get resource \"deployments/scale\" \
                 in API group \"apps\" in the namespace \"d\"",
            ),
            ("/x", r#"forbidden: User "x" cannot get path "/x""#),
        ] {
            assert_eq!(refusal(path, "").message(), want);
        }
        assert!(refusal("/x", "no rule").message().ends_with("\"/x\": no rule"));
        assert!(refusal("/<b>", "").message().ends_with("\"/&lt;b&gt;\""));
    }
}
