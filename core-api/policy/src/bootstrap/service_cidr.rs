//! The ServiceCIDR `kubernetes`: the first network that services get their addresses from. It is ready from the start.
//!
//! Upstream: `pkg/controlplane/controller/defaultservicecidr`.

use super::{FIELD_MANAGER, Wanted, ensure, reconcile};
use crate::objects;
use proa_meta::{ApiResult, time::Time};
use proa_registry::{
    Registry,
    request::{Body, Target, WriteOptions},
};
use serde_json::{Value, json};
use std::sync::Arc;

const NAME: &str = "kubernetes";

/// Makes the cluster's ServiceCIDR and says that it is ready. One that is there already keeps its network.
///
/// # Errors
/// It cannot be written.
pub async fn service_cidr(registry: &Arc<Registry>, cidr: &str) -> ApiResult<()> {
    let object = json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
        "metadata": {"name": NAME, "finalizers": ["networking.k8s.io/service-cidr-finalizer"]},
        "spec": {"cidrs": [cidr]},
    });
    ensure(registry, &Wanted { gvr: objects::SERVICE_CIDRS, object, reconcile: reconcile::keep }).await?;
    let Some(kind) = registry.kind(&objects::SERVICE_CIDRS) else { return Ok(()) };
    let Some(entry) = kind.get("", NAME) else { return Ok(()) };
    let mut value = entry.value(&kind.def);
    if value["spec"]["cidrs"] != json!([cidr]) {
        tracing::warn!(%cidr, was = %value["spec"]["cidrs"], "the ServiceCIDR `kubernetes` names another network");
        return Ok(());
    }
    if !is_new(&value) {
        return Ok(());
    }
    let ready = json!({
        "type": "Ready", "status": "True", "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": Time::new(registry.now()).to_string(),
    });
    value["status"] = json!({"conditions": [ready]});
    let target = Target {
        kind,
        namespace: String::new(),
        name: NAME.to_owned(),
        subresource: "status".to_owned(),
        user: objects::server_user(),
    };
    let options = WriteOptions { field_manager: FIELD_MANAGER.to_owned(), ..WriteOptions::default() };
    registry.update(&target, Body { value, issues: Vec::new() }, &options).await.map(drop)
}

/// Nobody has yet said whether it is ready, and it is not about to go.
fn is_new(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let is_told = conditions.is_some_and(|all| all.iter().any(|condition| condition["type"] == "Ready"));
    !is_told && object["metadata"]["deletionTimestamp"].is_null()
}
