//! Built-in admission plugins, one file each.
//!
//! Owns: which plugins run and in which order (upstream's: `pkg/kubeapiserver/options/plugins.go`). Left out:
//! PersistentVolumeClaimResize. Existence and termination of namespaces
//! are checked by the registry, which guards the write with them.

pub mod certificates;
pub mod default_ingress_class;
pub mod default_storage_class;
pub mod default_toleration_seconds;
pub mod devices;
pub mod limit_ranger;
pub mod namespace_lifecycle;
pub mod node_restriction;
pub mod pod_security;
pub mod pod_topology_labels;
pub mod policies;
pub mod priority;
pub mod resource_quota;
pub mod runtime_class;
pub mod service_account;
pub mod storage_object_in_use_protection;
pub mod taint_nodes_by_condition;
pub mod webhooks;

use crate::rbac::{Rbac, escalation::Escalation};
use proa_meta::ApiError;
use proa_registry::{
    AdmissionRequest, Authorizer, Charge, Mutate, Operation, Validate, webhook::CallWebhook,
};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Annotation of pods that mirror a node's static pods.
pub(crate) const MIRROR_POD: &str = "kubernetes.io/config.mirror";

/// Plugins that change objects, in order. `authorizer` is the whole chain, `client` calls webhooks.
pub fn mutators(authorizer: &Arc<dyn Authorizer>, client: &Arc<dyn CallWebhook>) -> Vec<Arc<dyn Mutate>> {
    vec![
        Arc::new(limit_ranger::LimitRanger),
        Arc::new(service_account::ServiceAccount),
        Arc::new(taint_nodes_by_condition::TaintNodesByCondition),
        Arc::new(priority::Priority),
        Arc::new(default_toleration_seconds::DefaultTolerationSeconds),
        Arc::new(default_storage_class::DefaultStorageClass),
        Arc::new(storage_object_in_use_protection::StorageObjectInUseProtection),
        Arc::new(runtime_class::RuntimeClass),
        Arc::new(certificates::Requests),
        Arc::new(default_ingress_class::DefaultIngressClass),
        Arc::new(devices::Taints),
        Arc::new(pod_topology_labels::PodTopologyLabels),
        Arc::new(policies::MutatingAdmissionPolicy::new(authorizer.clone())),
        Arc::new(webhooks::MutatingAdmissionWebhook::new(authorizer.clone(), client.clone())),
    ]
}

/// Plugins that only refuse, in order. `rbac` knows what users hold, `authorizer` is the whole chain, `client` calls
/// webhooks.
pub fn validators(
    rbac: &Arc<Rbac>,
    authorizer: &Arc<dyn Authorizer>,
    client: &Arc<dyn CallWebhook>,
) -> Vec<Arc<dyn Validate>> {
    vec![
        Arc::new(namespace_lifecycle::NamespaceLifecycle),
        Arc::new(limit_ranger::LimitRanger),
        Arc::new(node_restriction::NodeRestriction),
        Arc::new(pod_security::PodSecurity),
        Arc::new(priority::Priority),
        Arc::new(runtime_class::RuntimeClass),
        Arc::new(certificates::Signers::new(authorizer.clone())),
        Arc::new(devices::Claims::new(authorizer.clone())),
        Arc::new(Escalation::new(rbac.clone(), authorizer.clone())),
        Arc::new(policies::ParamAccess::new(authorizer.clone())),
        Arc::new(policies::ValidatingAdmissionPolicy::new(authorizer.clone())),
        Arc::new(webhooks::ValidatingAdmissionWebhook::new(authorizer.clone(), client.clone())),
    ]
}

/// Plugins that charge what a write uses up, after all others.
pub fn charges() -> Vec<Arc<dyn Charge>> {
    vec![Arc::new(resource_quota::ResourceQuota)]
}

/// 403 in the frame that all plugins use.
pub(crate) fn forbidden(request: &AdmissionRequest<'_>, why: &str) -> ApiError {
    ApiError::forbidden(&request.kind.group_resource(), request.name, why)
}

/// Whether the request is about a resource of the core group itself, not a subresource.
pub(crate) fn is_core(request: &AdmissionRequest<'_>, resource: &str) -> bool {
    request.subresource.is_empty() && request.kind.gvk.group.is_empty() && request.kind.resource == resource
}

/// Whether a pod is being created.
pub(crate) fn creates_pod(request: &AdmissionRequest<'_>) -> bool {
    request.operation == Operation::Create && is_core(request, "pods")
}

/// A list's items; none when there is no list.
pub(crate) fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}

/// The map at `field`, made when absent.
pub(crate) fn map_at<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Map<String, Value>> {
    let map = object.as_object_mut()?.entry(field).or_insert_with(|| Value::Object(Map::new()));
    if map.is_null() {
        *map = Value::Object(Map::new());
    }
    map.as_object_mut()
}

/// The list at `field`, made when absent.
pub(crate) fn list_at<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Vec<Value>> {
    let list = object.as_object_mut()?.entry(field).or_insert_with(|| Value::Array(Vec::new()));
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    list.as_array_mut()
}
