//! The decision: what is to be published.

use crate::index::{API_SERVICE, ApiServiceView, Place, Publication, ROLE, RoleView, SERVICE};
use proa_kit::{Action, Plan, Typed, views::ServiceView};
use serde_json::{Value, json};

/// The machine that the API server runs on.
const HERE: &str = "localhost";

/// What is missing or not as it should be.
pub fn plan(publication: &Publication) -> Plan {
    let mut plan = Plan::default();
    let Some(place) = &publication.place else { return plan };
    let api = publication.api_service.as_deref();
    if api.is_some_and(|api| !is_own(api)) {
        // Somebody else serves the group.
        return plan;
    }
    plan.actions.extend(role(publication));
    plan.actions.extend(service(publication));
    plan.actions.extend(api_service(api, place));
    plan
}

fn is_own(api: &ApiServiceView) -> bool {
    let named = api.spec.service.as_ref();
    named.is_some_and(|service| (&*service.namespace, &*service.name) == SERVICE)
}

fn role(publication: &Publication) -> Option<Action> {
    if publication.role.is_some() {
        return None;
    }
    let labels: Value = ["view", "edit", "admin"]
        .iter()
        .map(|role| (format!("rbac.authorization.k8s.io/aggregate-to-{role}"), json!("true")))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let rule =
        json!({"apiGroups": ["metrics.k8s.io"], "resources": ["nodes", "pods"], "verbs": ["get", "list"]});
    let role = json!({"metadata": {"name": ROLE, "labels": labels}, "rules": [rule]});
    Some(Action::create(RoleView::KIND, "", role))
}

fn service(publication: &Publication) -> Option<Action> {
    let spec = json!({"type": "ExternalName", "externalName": HERE});
    match &publication.service {
        None => {
            let service = json!({"metadata": {"name": SERVICE.1}, "spec": spec});
            Some(Action::create(ServiceView::KIND, SERVICE.0, service))
        }
        Some(present) if (&*present.spec.kind, &*present.spec.external_name) == ("ExternalName", HERE) => {
            None
        }
        Some(present) => Some(Action::merge(present.reference(), json!({"spec": spec}))),
    }
}

fn api_service(present: Option<&ApiServiceView>, place: &Place) -> Option<Action> {
    let Place { port, authority } = place;
    let service = json!({"namespace": SERVICE.0, "name": SERVICE.1, "port": port});
    let Some(present) = present else {
        let api = json!({"metadata": {"name": API_SERVICE}, "spec": {
            "group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": service, "caBundle": authority}});
        return Some(Action::create(ApiServiceView::KIND, "", api));
    };
    let is_current = present.spec.service.as_ref().is_some_and(|service| service.port == *port)
        && present.spec.ca_bundle == *authority;
    let patch = json!({"spec": {"service": service, "caBundle": authority, "insecureSkipTLSVerify": false}});
    (!is_current).then(|| Action::merge(present.reference(), patch))
}
