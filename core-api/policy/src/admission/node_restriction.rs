//! NodeRestriction: a node writes only what is its own.
//!
//! Owns: what the bodies of nodes' requests may say; which requests they may make at all is `node`'s matter. Of token
//! requests and evictions nothing is checked here: their actions call [`check_token_request`] and
//! [`check_eviction`]. Upstream: `plugin/pkg/admission/noderestriction/admission.go`.

mod certificates;

use super::{MIRROR_POD, forbidden, items};
use crate::{
    node::{
        node_name,
        references::{self, Reference},
    },
    objects,
};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, GroupResource, User};
use proa_registry::{AdmissionRequest, Operation, Registry, Validate};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The plugin.
pub struct NodeRestriction;

/// Why a write is refused: a text for the frame of a 403, or another error.
enum Refusal {
    Why(String),
    Error(ApiError),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Why(why)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self::Error(error)
    }
}

fn refuse(why: impl Into<String>) -> Result<(), Refusal> {
    Err(Refusal::Why(why.into()))
}

fn check(request: &AdmissionRequest<'_>, object: &Value) -> Result<(), Refusal> {
    let Some(node) = node_name(request.user) else { return Ok(()) };
    if node.is_empty() {
        return refuse(format!("could not determine node from user {:?}", request.user.name));
    }
    match (request.kind.gvk.group.as_ref(), request.kind.resource.as_ref(), request.subresource) {
        ("", "pods", "") => check_pod(request, node, object),
        ("", "pods", "status") => check_pod_status(request, node, object),
        ("", "pods", "eviction") => Ok(()),
        ("", "pods", other) => {
            refuse(format!("unexpected pod subresource {other:?}, only 'status' and 'eviction' are allowed"))
        }
        ("", "nodes", _) => check_node(request, node, object),
        ("", "persistentvolumeclaims", "status") => check_claim_status(request, node, object),
        ("", "persistentvolumeclaims", _) => refuse("may only update PVC status"),
        ("coordination.k8s.io", "leases", _) => check_lease(request, node),
        ("certificates.k8s.io", "podcertificaterequests", _) => certificates::check(request, node, object),
        ("storage.k8s.io", "csinodes", _) if request.name != node => {
            refuse("can only access CSINode with the same name as the requesting node")
        }
        _ => Ok(()),
    }
}

fn check_pod(request: &AdmissionRequest<'_>, node: &str, pod: &Value) -> Result<(), Refusal> {
    match (request.operation, request.old) {
        (Operation::Create, _) => {
            check_new_pod(node, pod)?;
            let owner = &pod["metadata"]["ownerReferences"][0];
            let found = objects::get_meta(request.registry, &objects::NODES, "", node)?;
            let claimed = owner["uid"].as_str().unwrap_or_default();
            if claimed == found.uid {
                return Ok(());
            }
            refuse(format!("node {node} UID mismatch: expected {claimed} got {}", found.uid))
        }
        (Operation::Delete, Some(old)) if old["spec"]["nodeName"] == node => Ok(()),
        (Operation::Delete, _) => {
            refuse(format!("node {node:?} can only delete pods with spec.nodeName set to itself"))
        }
        (operation, _) => refuse(format!(
            "unexpected operation {:?}, node {node:?} can only create and delete mirror pods",
            text_of(operation)
        )),
    }
}

const fn text_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

/// A node creates only mirror pods of its own that refer to nothing.
fn check_new_pod(node: &str, pod: &Value) -> Result<(), String> {
    let annotated = pod["metadata"]["annotations"].get(MIRROR_POD).is_some();
    if !annotated {
        return Err(format!(
            "pod does not have {MIRROR_POD:?} annotation, node {node:?} can only create mirror pods"
        ));
    }
    if pod["spec"]["nodeName"] != node {
        return Err(format!("node {node:?} can only create pods with spec.nodeName set to itself"));
    }
    let owners: Vec<_> = items(&pod["metadata"]["ownerReferences"]).collect();
    let [owner] = owners[..] else {
        let article = if owners.is_empty() { "an" } else { "a single" };
        return Err(format!(
            "node {node:?} can only create pods with {article} owner reference set to itself"
        ));
    };
    if owner["apiVersion"] != "v1" || owner["kind"] != "Node" || owner["name"] != node {
        return Err(format!("node {node:?} can only create pods with an owner reference set to itself"));
    }
    if owner["controller"] != true {
        return Err(format!(
            "node {node:?} can only create pods with a controller owner reference set to itself"
        ));
    }
    if owner["blockOwnerDeletion"] == true {
        return Err(format!("node {node:?} must not set blockOwnerDeletion on an owner reference"));
    }
    let mut referred = None;
    references::visit(&pod["spec"], "", &mut |reference, _| {
        referred.get_or_insert(match reference {
            Reference::Secret => "secrets",
            Reference::ConfigMap => "configmaps",
            Reference::Claim => "persistentvolumeclaims",
            Reference::ServiceAccount => "serviceaccounts",
        });
    });
    match referred {
        Some(resource) => Err(format!("node {node:?} can not create pods that reference {resource}")),
        None => Ok(()),
    }
}

fn check_pod_status(request: &AdmissionRequest<'_>, node: &str, pod: &Value) -> Result<(), Refusal> {
    let Some(old) = request.old.filter(|_| request.operation == Operation::Update) else {
        return refuse(format!("unexpected operation {:?}", text_of(request.operation)));
    };
    if old["spec"]["nodeName"] != node {
        return refuse(format!(
            "node {node:?} can only update pod status for pods with spec.nodeName set to itself"
        ));
    }
    if differs(&pod["metadata"]["labels"], &old["metadata"]["labels"]) {
        return refuse(format!("node {node:?} cannot update labels through pod status"));
    }
    if differs(&pod["status"]["resourceClaimStatuses"], &old["status"]["resourceClaimStatuses"]) {
        return refuse(format!("node {node:?} cannot update resource claim statues"));
    }
    Ok(())
}

/// Whether two fields differ, where absent, null and empty are the same.
fn differs(new: &Value, old: &Value) -> bool {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    new != old && !(empty(new) && empty(old))
}

fn check_claim_status(request: &AdmissionRequest<'_>, node: &str, claim: &Value) -> Result<(), Refusal> {
    const OPEN: [&str; 4] = ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"];
    let Some(old) = request.old.filter(|_| request.operation == Operation::Update) else {
        return refuse(format!("unexpected operation {:?}", text_of(request.operation)));
    };
    let rest = |claim: &Value| {
        let mut claim = claim.clone();
        for (part, fields) in [("status", &OPEN[..]), ("metadata", &["resourceVersion", "managedFields"])] {
            if let Some(map) = claim.get_mut(part).and_then(Value::as_object_mut) {
                map.retain(|key, _| !fields.contains(&key.as_str()));
            }
        }
        claim
    };
    if rest(claim) == rest(old) {
        return Ok(());
    }
    refuse(format!(
        "node {node:?} is not allowed to update fields other than status.quantity and status.conditions"
    ))
}

fn check_lease(request: &AdmissionRequest<'_>, node: &str) -> Result<(), Refusal> {
    if request.namespace != "kube-node-lease" {
        return refuse("can only access leases in the \"kube-node-lease\" system namespace");
    }
    if request.name != node {
        return refuse("can only access node lease with the same name as the requesting node");
    }
    Ok(())
}

fn check_node(request: &AdmissionRequest<'_>, node: &str, object: &Value) -> Result<(), Refusal> {
    if request.name != node {
        return refuse(format!("node {node:?} is not allowed to modify node {:?}", request.name));
    }
    match request.operation {
        Operation::Create => check_new_node(node, object).map_err(Refusal::Why),
        Operation::Update => {
            check_changed_node(node, object, request.old.unwrap_or(&Value::Null)).map_err(Refusal::Why)
        }
        Operation::Delete | Operation::Connect => Ok(()),
    }
}

fn check_new_node(node: &str, object: &Value) -> Result<(), String> {
    if object["spec"]["configSource"].is_object() {
        return Err(format!("node {node:?} is not allowed to create pods with a non-nil configSource"));
    }
    let labels = forbidden_labels(&object["metadata"]["labels"], &Value::Null);
    if labels.is_empty() {
        return Ok(());
    }
    Err(format!("node {node:?} is not allowed to set the following labels: {}", labels.join(", ")))
}

fn check_changed_node(node: &str, object: &Value, old: &Value) -> Result<(), String> {
    let config = &object["spec"]["configSource"];
    if config.is_object() && *config != old["spec"]["configSource"] {
        return Err(format!(
            "node {node:?} is not allowed to update configSource to a new non-nil configSource"
        ));
    }
    if differs(&object["spec"]["taints"], &old["spec"]["taints"]) {
        return Err(format!("node {node:?} is not allowed to modify taints"));
    }
    if differs(&object["metadata"]["ownerReferences"], &old["metadata"]["ownerReferences"]) {
        return Err(format!("node {node:?} is not allowed to modify ownerReferences"));
    }
    let labels = forbidden_labels(&object["metadata"]["labels"], &old["metadata"]["labels"]);
    if labels.is_empty() {
        return Ok(());
    }
    Err(format!("is not allowed to modify labels: {}", labels.join(", ")))
}

/// Labels that differ and that a node must not set, in order.
fn forbidden_labels(new: &Value, old: &Value) -> Vec<String> {
    let none = Map::new();
    let (new, old) = (new.as_object().unwrap_or(&none), old.as_object().unwrap_or(&none));
    let changed = |a: &Map<String, Value>, b: &Map<String, Value>| {
        a.iter()
            .filter(|(key, value)| b.get(*key) != Some(value))
            .map(|(key, _)| key.clone())
            .collect::<BTreeSet<_>>()
    };
    let changed = changed(new, old).into_iter().chain(changed(old, new)).collect::<BTreeSet<_>>();
    changed.into_iter().filter(|label| is_forbidden_label(label)).collect()
}

fn is_forbidden_label(label: &str) -> bool {
    const OWN_LABELS: [&str; 14] = [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.kubernetes.io/zone",
        "failure-domain.kubernetes.io/region",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "node.kubernetes.io/windows-build",
    ];
    let Some((domain, _)) = label.split_once('/') else { return false };
    let within =
        |parent: &str| domain == parent || domain.strip_suffix(parent).is_some_and(|d| d.ends_with('.'));
    if within("node-restriction.kubernetes.io") {
        return true;
    }
    let reserved = within("kubernetes.io") || within("k8s.io");
    let own = OWN_LABELS.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    reserved && !own
}

/// A node asks for tokens only of pods that run on it, for audiences that the pods ask for.
///
/// # Errors
/// 403 or 404 for a node that asks for more; other users pass.
pub fn check_token_request(
    registry: &Registry,
    user: &User,
    namespace: &str,
    account: &str,
    request: &Value,
) -> ApiResult<()> {
    const ACCOUNTS: GroupResource = GroupResource::new("", "serviceaccounts");
    let Some(node) = node_name(user) else { return Ok(()) };
    let forbid = |why: &str| Err(ApiError::forbidden(&ACCOUNTS, account, why));
    let bound = &request["spec"]["boundObjectRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, uid) = (text(&bound["name"]), text(&bound["uid"]));
    if bound["apiVersion"] != "v1" || bound["kind"] != "Pod" || name.is_empty() {
        return forbid("node requested token not bound to a pod");
    }
    if uid.is_empty() {
        return forbid("node requested token with a pod binding without a uid");
    }
    let pod: Value = objects::get(registry, &objects::PODS, namespace, &name)?;
    if pod["metadata"]["uid"] != uid {
        return forbid(&format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        ));
    }
    if node.is_empty() || pod["spec"]["nodeName"] != node {
        return forbid("node requested token bound to a pod scheduled on a different node");
    }
    let audiences: Vec<_> = items(&request["spec"]["audiences"]).map(text).collect();
    let audience = match &audiences[..] {
        [] => "",
        [one] => one,
        _ => return forbid("node may only request 0 or 1 audiences"),
    };
    if asks_for_audience(&pod["spec"], audience) {
        return Ok(());
    }
    forbid(&format!(
        "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        user.name
    ))
}

/// Whether a projected volume of the pod asks for a token of the audience.
fn asks_for_audience(spec: &Value, audience: &str) -> bool {
    let asks = |source: &Value| {
        let token = &source["serviceAccountToken"];
        token.is_object() && token["audience"].as_str().unwrap_or_default() == audience
    };
    items(&spec["volumes"]).any(|volume| items(&volume["projected"]["sources"]).any(asks))
}

/// A node evicts only pods that run on it.
///
/// # Errors
/// 403 for a node that evicts others; other users pass.
pub fn check_eviction(user: &User, name: &str, pod: &Value) -> ApiResult<()> {
    const PODS: GroupResource = GroupResource::new("", "pods");
    match node_name(user) {
        Some(node) if node.is_empty() || pod["spec"]["nodeName"] != node => {
            let why = format!("node {node} can only evict pods with spec.nodeName set to itself");
            Err(ApiError::forbidden(&PODS, name, &why))
        }
        _ => Ok(()),
    }
}

impl Validate for NodeRestriction {
    fn name(&self) -> &'static str {
        "NodeRestriction"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        request.operation != Operation::Connect && node_name(request.user).is_some()
    }

    fn validate<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<()>> {
        let result = check(request, object).map_err(|refusal| match refusal {
            Refusal::Why(why) => forbidden(request, &why),
            Refusal::Error(error) => error,
        });
        async move { result }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reserved_labels_are_forbidden() {
        for (want, label) in [
            (false, "team"),
            (false, "example.com/team"),
            (false, "kubernetes.io/hostname"),
            (false, "node.kubernetes.io/anything"),
            (false, "sub.node.kubernetes.io/anything"),
            (false, "kubelet.kubernetes.io/x"),
            (true, "node-restriction.kubernetes.io/x"),
            (true, "a.node-restriction.kubernetes.io/x"),
            (true, "node-role.kubernetes.io/control-plane"),
            (true, "k8s.io/x"),
            (true, "x.k8s.io/x"),
            (false, "notk8s.io/x"),
        ] {
            assert_eq!(is_forbidden_label(label), want, "{label}");
        }
    }

    #[test]
    fn a_node_keeps_its_taints_and_reserved_labels() {
        let node = |labels: &Value, taints: &Value| json!({"metadata": {"labels": labels}, "spec": {"taints": taints}});
        let old = node(&json!({"a": "b", "k8s.io/x": "1"}), &json!([]));
        for (want, new) in [
            (None, node(&json!({"a": "c", "k8s.io/x": "1"}), &Value::Null)),
            (
                Some("node \"n1\" is not allowed to modify taints"),
                node(&json!({"k8s.io/x": "1"}), &json!([{"key": "t"}])),
            ),
            (Some("is not allowed to modify labels: k8s.io/x"), node(&json!({}), &json!([]))),
            (
                Some("is not allowed to modify labels: k8s.io/x, k8s.io/y"),
                node(&json!({"k8s.io/x": "2", "k8s.io/y": "2"}), &json!([])),
            ),
        ] {
            assert_eq!(check_changed_node("n1", &new, &old).err().as_deref(), want, "{new}");
        }
    }

    #[test]
    fn mirror_pods_belong_to_their_node_and_refer_to_nothing() {
        let good = json!({
            "metadata": {
                "annotations": {MIRROR_POD: "hash"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u", "controller": true}],
            },
            "spec": {"nodeName": "n1", "containers": [{"name": "a"}]},
        });
        assert_eq!(check_new_pod("n1", &good), Ok(()));
        for (path, value, why) in [
            ("/spec/nodeName", json!("n2"), "spec.nodeName set to itself"),
            ("/metadata/annotations", json!({}), "can only create mirror pods"),
            ("/metadata/ownerReferences", json!([]), "with an owner reference"),
            ("/metadata/ownerReferences/0/name", json!("n2"), "with an owner reference"),
            ("/metadata/ownerReferences/0/controller", json!(false), "with a controller owner reference"),
            (
                "/spec/containers",
                json!([{"envFrom": [{"configMapRef": {"name": "c"}}]}]),
                "reference configmaps",
            ),
        ] {
            let mut pod = good.clone();
            *pod.pointer_mut(path).unwrap() = value;
            let found = check_new_pod("n1", &pod).unwrap_err();
            assert!(found.contains(why), "{found}");
        }
    }

    #[test]
    fn tokens_are_asked_for_audiences_of_the_pod() {
        let spec = json!({"volumes": [
            {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
            {"projected": {"sources": [{"serviceAccountToken": {"audience": "vault"}}]}},
        ]});
        assert!(asks_for_audience(&spec, ""));
        assert!(asks_for_audience(&spec, "vault"));
        assert!(!asks_for_audience(&spec, "other"));
        assert!(!asks_for_audience(&json!({}), ""));
    }

    #[test]
    fn only_nodes_are_restricted_in_evictions() {
        let pod = json!({"spec": {"nodeName": "n1"}});
        let node = |name: &str| User::new(name, &["system:nodes"]);
        assert!(check_eviction(&node("system:node:n1"), "a", &pod).is_ok());
        assert!(check_eviction(&node("system:node:n2"), "a", &pod).is_err());
        assert!(check_eviction(&node("odd"), "a", &pod).is_err());
        assert!(check_eviction(&User::new("system:node:n2", &[]), "a", &pod).is_ok());
    }
}
