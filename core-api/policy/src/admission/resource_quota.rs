//! ResourceQuota: what a write uses up of its namespace's quotas, charged in the same step in which it is stored.
//!
//! The quotas' statuses change with the object or not at all, so a charge is never lost and never left over, and two
//! writers can never both take the last of a limit. Giving back is the resource-quota operator's.
//! Upstream: apiserver `pkg/admission/plugin/resourcequota/{admission,controller}.go`.

use super::forbidden;
use crate::objects;
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, GroupResource};
use proa_quota::{Charged, Item, Quota};
use proa_registry::{AdmissionRequest, Beside, Charge, Entry, Kind, Operation};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The plugin.
pub struct ResourceQuota;

/// Kinds whose objects can come to cost more while they exist.
const CHANGING: [&str; 3] = ["persistentvolumeclaims", "pods", "services"];
/// Never counted.
const FREE: &str = "events";

impl ResourceQuota {
    fn kind(request: &AdmissionRequest<'_>) -> Option<Arc<Kind>> {
        request.registry.kind(&objects::RESOURCE_QUOTAS)
    }
}

fn charge(request: &AdmissionRequest<'_>, object: &Value) -> ApiResult<Vec<Beside>> {
    let Some(kind) = ResourceQuota::kind(request) else { return Ok(Vec::new()) };
    let snapshot = kind.snapshot();
    let entries: Vec<Arc<Entry>> = snapshot.iter_namespace(request.namespace).cloned().collect();
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let resource = request.kind.group_resource();
    let read = |object: &Value| Item::read(&resource, object).map_err(ApiError::internal);
    let new = read(object)?;
    let old = request.old.map(read).transpose()?;
    let resized = !request.subresource.is_empty();
    if old.as_ref().is_some_and(|old| !resized && !new.is_charged_on_update(old)) {
        return Ok(Vec::new());
    }
    let quotas: Result<Vec<Quota>, _> = entries.iter().map(|entry| entry.decode()).collect();
    let quotas = quotas.map_err(ApiError::internal)?;
    let charged = proa_quota::charge(&quotas, &resource, &new, old.as_ref(), request.registry.now());
    let charged = charged.map_err(|why| forbidden(request, &why))?;
    Ok(charged.into_iter().map(|charged| paid(&kind, &entries, charged)).collect())
}

/// The quota once it has paid.
fn paid(kind: &Arc<Kind>, entries: &[Arc<Entry>], charged: Charged) -> Beside {
    let entry = entries[charged.index].clone();
    let mut object = entry.value(&kind.def);
    let used = charged.used.into_iter().map(|(name, quantity)| (name, quantity.to_string().into()));
    object["status"]["used"] = Value::Object(used.collect::<Map<_, _>>());
    Beside { kind: kind.clone(), entry, object }
}

/// Whether a kind is counted at all.
fn is_counted(resource: &GroupResource) -> bool {
    !(resource.resource == FREE && (resource.group.is_empty() || resource.group == "events.k8s.io"))
}

impl Charge for ResourceQuota {
    fn name(&self) -> &'static str {
        "ResourceQuota"
    }

    fn handles(&self, request: &AdmissionRequest<'_>) -> bool {
        let resource = request.kind.group_resource();
        if request.namespace.is_empty() || !request.kind.is_namespaced() || !is_counted(&resource) {
            return false;
        }
        let may_change = resource.group.is_empty() && CHANGING.contains(&&*resource.resource);
        match (request.operation, request.subresource) {
            (Operation::Create, "") => true,
            (Operation::Update, "") => may_change,
            (Operation::Update, "resize") => resource.resource == "pods",
            (Operation::Update, "status") => resource.resource == "persistentvolumeclaims" && may_change,
            _ => false,
        }
    }

    fn line(&self, request: &AdmissionRequest<'_>) -> Option<proa_store::Key> {
        let has_any = Self::kind(request)?.snapshot().iter_namespace(request.namespace).next().is_some();
        has_any.then(|| format!("resourcequotas of {}", request.namespace).into())
    }

    fn charge<'a>(
        &'a self,
        request: &'a AdmissionRequest<'a>,
        object: &'a Value,
    ) -> BoxFuture<'a, ApiResult<Vec<Beside>>> {
        async move { charge(request, object) }.boxed()
    }
}
