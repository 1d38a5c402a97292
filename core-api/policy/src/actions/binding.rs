//! `pods/binding` and `bindings`: puts a pod on a node.
//!
//! Upstream: `pkg/registry/core/pod/storage/storage.go` (BindingREST).

use super::{set_condition, success};
use crate::{admission::pod_topology_labels, objects};
use futures::{FutureExt, future::BoxFuture};
use jiff::Timestamp;
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, GroupResource, Reason, names};
use proa_registry::{
    Registry,
    request::{Action, ActionRequest, Target, Written},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;

const RESOURCE: GroupResource = GroupResource::new("", "pods/binding");
const PODS: GroupResource = GroupResource::new("", "pods");

/// The action.
pub struct Binding;

fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object[field].as_str().unwrap_or_default()
}

async fn answer(registry: &Arc<Registry>, request: ActionRequest) -> ApiResult<Written> {
    let binding = &request.body;
    let name = text(&binding["metadata"], "name");
    if !request.target.subresource.is_empty() && request.target.name != name {
        return Err(ApiError::bad_request("name in URL does not match name in Binding object"));
    }
    validate(binding)?;
    if request.target.subresource.is_empty() {
        check_name(name)?;
    }
    let node = text(&binding["target"], "name");
    let topology = pod_topology_labels::labels_of(registry, node);
    let target = Target {
        kind: objects::kind(registry, &objects::PODS)?,
        namespace: request.target.namespace.clone(),
        name: name.to_owned(),
        subresource: String::new(),
        user: request.target.user.clone(),
    };
    let now = registry.now();
    let change = |pod: &mut Value| {
        check_preconditions(pod, &binding["metadata"])?;
        assign(pod, binding, now).map_err(|why| ApiError::conflict(&RESOURCE, name, &why))?;
        pod_topology_labels::set_labels(pod, topology.clone());
        Ok(())
    };
    registry.modify(&target, &request.options, &change).await?;
    Ok(success())
}

/// Where no URL names the pod, its name is checked as one of a URL.
fn check_name(name: &str) -> ApiResult<()> {
    if name.is_empty() {
        return Err(ApiError::bad_request("Name parameter required."));
    }
    match names::is_path_segment_name(name).join(";") {
        why if why.is_empty() => Ok(()),
        why => Err(ApiError::bad_request(format!("Name parameter invalid: {name:?}: {why}"))),
    }
}

/// Upstream answers these with 500 and the bare texts.
fn validate(binding: &Value) -> ApiResult<()> {
    let mut errors = FieldErrors::default();
    let target = FieldPath::root("target");
    let kind = text(&binding["target"], "kind");
    if !matches!(kind, "" | "Node") {
        errors.not_supported(&target.child("kind"), &json!(kind), &["Node", "<empty>"]);
    }
    match text(&binding["target"], "name") {
        "" => errors.required(&target.child("name"), ""),
        node => {
            for why in names::is_dns1123_subdomain(node) {
                errors.invalid(&target.child("name"), &json!(node), &why);
            }
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::new(Reason::Unknown, errors.summary())) }
}

fn check_preconditions(pod: &Value, metadata: &Value) -> ApiResult<()> {
    let present = &pod["metadata"];
    for (what, field) in [("UID", "uid"), ("ResourceVersion", "resourceVersion")] {
        let (wanted, found) = (text(metadata, field), text(present, field));
        if !wanted.is_empty() && wanted != found {
            let why = format!(
                "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
            );
            return Err(ApiError::conflict(&PODS, text(present, "name"), &why));
        }
    }
    Ok(())
}

/// Sets the node, the condition, annotations and labels. Pure.
fn assign(pod: &mut Value, binding: &Value, now: Timestamp) -> Result<(), String> {
    let name = text(&pod["metadata"], "name").to_owned();
    if !text(&pod["metadata"], "deletionTimestamp").is_empty() {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = text(&pod["spec"], "nodeName");
    if !node.is_empty() {
        return Err(format!("pod {name} is already assigned to node {node:?}"));
    }
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    pod["spec"]["nodeName"] = binding["target"]["name"].clone();
    for map in ["annotations", "labels"] {
        let Some(given) = binding["metadata"][map].as_object().filter(|given| !given.is_empty()) else {
            continue;
        };
        let merged = pod["metadata"][map].as_object().cloned().unwrap_or_default();
        let merged: Map<_, _> = merged.into_iter().chain(given.clone()).collect();
        pod["metadata"][map] = Value::Object(merged);
    }
    if !pod["status"].is_object() {
        pod["status"] = json!({});
    }
    if let Some(status) = pod["status"].as_object_mut() {
        status.remove("nominatedNodeName");
    }
    let condition = json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null});
    set_condition(&mut pod["status"], &condition, now);
    Ok(())
}

impl Action for Binding {
    fn call<'a>(
        &'a self,
        registry: &'a Arc<Registry>,
        request: ActionRequest,
    ) -> BoxFuture<'a, ApiResult<Written>> {
        answer(registry, request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding() -> Value {
        json!({"metadata": {"name": "web", "annotations": {"a": "1"}, "labels": {"zone": "z"}},
               "target": {"kind": "Node", "name": "n1"}})
    }

    fn now() -> Timestamp {
        Timestamp::from_second(1_000_000_000).unwrap()
    }

    #[test]
    fn a_pod_is_assigned_once() {
        let mut pod = json!({
            "metadata": {"name": "web", "annotations": {"b": "2"}}, "spec": {},
            "status": {"phase": "Pending", "nominatedNodeName": "n9", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": "old"}]},
        });
        assign(&mut pod, &binding(), now()).unwrap();
        assert_eq!(
            pod,
            json!({
                "metadata": {"name": "web", "annotations": {"a": "1", "b": "2"}, "labels": {"zone": "z"}},
                "spec": {"nodeName": "n1"},
                "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True",
                    "lastProbeTime": null, "lastTransitionTime": "2001-09-09T01:46:40Z"}]},
            })
        );
        assert_eq!(
            assign(&mut pod, &binding(), now()).unwrap_err(),
            "pod web is already assigned to node \"n1\""
        );
    }

    #[test]
    fn pods_that_go_or_wait_are_not_assigned() {
        for (pod, why) in [
            (
                json!({"metadata": {"name": "web", "deletionTimestamp": "2001-09-09T01:46:40Z"}, "spec": {}}),
                "pod web is being deleted, cannot be assigned to a host",
            ),
            (
                json!({"metadata": {"name": "web"}, "spec": {"schedulingGates": [{"name": "g"}]}}),
                "pod web has non-empty .spec.schedulingGates",
            ),
        ] {
            let mut changed = pod;
            assert_eq!(assign(&mut changed, &binding(), now()).unwrap_err(), why);
        }
    }

    #[test]
    fn wrong_bindings_are_refused() {
        for (want, binding) in [
            ("", binding()),
            ("", json!({"target": {"name": "n1"}})),
            ("target.name: Required value", json!({"target": {"kind": "Node"}})),
            (
                "target.kind: Unsupported value: \"Pod\": supported values: \"Node\", \"<empty>\"",
                json!({"target": {"kind": "Pod", "name": "n1"}}),
            ),
        ] {
            let found = validate(&binding).err().map(|e| e.message().to_owned()).unwrap_or_default();
            assert_eq!(found, want);
        }
        let pod = json!({"metadata": {"name": "web", "uid": "a", "resourceVersion": "7"}});
        assert!(check_preconditions(&pod, &json!({"uid": "a", "resourceVersion": "7"})).is_ok());
        let error = check_preconditions(&pod, &json!({"uid": "b"})).unwrap_err();
        assert_eq!(error.code(), 409);
    }
}
