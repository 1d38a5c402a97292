//! Which kinds policy reads, and small views of them.
//!
//! Owns: names of kinds, views (only fields that a decision needs), typed lookups in the published state.
//! Deliberately absent: writing.

use proa_meta::{ApiError, ApiResult, Gvr, User, identity::MASTERS};
use proa_registry::{Kind, Registry};
use serde::{Deserialize, de::DeserializeOwned};
use std::sync::Arc;

const RBAC: &str = "rbac.authorization.k8s.io";
const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";

/// Roles.
pub const ROLES: Gvr = Gvr::new(RBAC, "v1", "roles");
/// ClusterRoles.
pub const CLUSTER_ROLES: Gvr = Gvr::new(RBAC, "v1", "clusterroles");
/// RoleBindings.
pub const ROLE_BINDINGS: Gvr = Gvr::new(RBAC, "v1", "rolebindings");
/// ClusterRoleBindings.
pub const CLUSTER_ROLE_BINDINGS: Gvr = Gvr::new(RBAC, "v1", "clusterrolebindings");
/// Namespaces.
pub const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
/// Nodes.
pub const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// Pods.
pub const PODS: Gvr = Gvr::new("", "v1", "pods");
/// Secrets.
pub const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
/// ServiceAccounts.
pub const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
/// ConfigMaps.
pub const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
/// Services.
pub const SERVICES: Gvr = Gvr::new("", "v1", "services");
/// Endpoints.
pub const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");
/// EndpointSlices.
pub const ENDPOINT_SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
/// PriorityClasses.
pub const PRIORITY_CLASSES: Gvr = Gvr::new("scheduling.k8s.io", "v1", "priorityclasses");
/// RuntimeClasses.
pub const RUNTIME_CLASSES: Gvr = Gvr::new("node.k8s.io", "v1", "runtimeclasses");
/// StorageClasses.
pub const STORAGE_CLASSES: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");
/// IngressClasses.
pub const INGRESS_CLASSES: Gvr = Gvr::new("networking.k8s.io", "v1", "ingressclasses");
/// ServiceCIDRs.
pub const SERVICE_CIDRS: Gvr = Gvr::new("networking.k8s.io", "v1", "servicecidrs");
/// IPAddresses.
pub const IP_ADDRESSES: Gvr = Gvr::new("networking.k8s.io", "v1", "ipaddresses");
/// FlowSchemas.
pub const FLOW_SCHEMAS: Gvr = Gvr::new(FLOW_CONTROL, "v1", "flowschemas");
/// PriorityLevelConfigurations.
pub const PRIORITY_LEVELS: Gvr = Gvr::new(FLOW_CONTROL, "v1", "prioritylevelconfigurations");
/// APIServices.
pub const API_SERVICES: Gvr = Gvr::new("apiregistration.k8s.io", "v1", "apiservices");
/// ResourceQuotas.
pub const RESOURCE_QUOTAS: Gvr = Gvr::new("", "v1", "resourcequotas");
/// LimitRanges.
pub const LIMIT_RANGES: Gvr = Gvr::new("", "v1", "limitranges");
/// PodDisruptionBudgets.
pub const POD_DISRUPTION_BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");

/// What is read of any object.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// When deletion was asked for.
    pub deletion_timestamp: Option<String>,
    /// resourceVersion.
    pub resource_version: String,
}

/// Who writes what the server itself needs: every authorizer lets this user pass.
pub fn server_user() -> Arc<User> {
    Arc::new(User::new("system:apiserver", &[MASTERS]))
}

/// The served kind, which the catalogue is expected to have.
pub fn kind(registry: &Registry, gvr: &Gvr) -> ApiResult<Arc<Kind>> {
    registry.kind(gvr).ok_or_else(|| ApiError::internal(format_args!("{gvr} is not served")))
}

/// An object's view, from the published state; `None` when it does not exist or its kind is not served.
pub fn find<T: DeserializeOwned>(
    registry: &Registry,
    gvr: &Gvr,
    namespace: &str,
    name: &str,
) -> ApiResult<Option<T>> {
    let Some(entry) = registry.kind(gvr).and_then(|kind| kind.get(namespace, name)) else { return Ok(None) };
    entry
        .decode()
        .map(Some)
        .map_err(|error| ApiError::internal(format_args!("decoding {}: {error}", entry.key)))
}

/// The same, with 404 when it does not exist.
pub fn get<T: DeserializeOwned>(registry: &Registry, gvr: &Gvr, namespace: &str, name: &str) -> ApiResult<T> {
    find(registry, gvr, namespace, name)?.ok_or_else(|| ApiError::not_found(&gvr.group_resource(), name))
}

/// An object's metadata; nothing else of it is decoded.
pub fn find_meta(registry: &Registry, gvr: &Gvr, namespace: &str, name: &str) -> ApiResult<Option<Meta>> {
    let Some(entry) = registry.kind(gvr).and_then(|kind| kind.get(namespace, name)) else { return Ok(None) };
    let mut json = format!("{{\"resourceVersion\":\"{}\"", entry.revision).into_bytes();
    json.extend_from_slice(&entry.metadata_tail());
    let meta = serde_json::from_slice(&json);
    meta.map(Some).map_err(|error| ApiError::internal(format_args!("decoding {}: {error}", entry.key)))
}

/// The same, with 404 when there is no such object.
pub fn get_meta(registry: &Registry, gvr: &Gvr, namespace: &str, name: &str) -> ApiResult<Meta> {
    find_meta(registry, gvr, namespace, name)?.ok_or_else(|| ApiError::not_found(&gvr.group_resource(), name))
}
