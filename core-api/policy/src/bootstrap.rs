//! What every cluster has from its first second on.
//!
//! Owns: system namespaces, bootstrap roles and bindings, system priority classes, the `kubernetes` Service with its
//! endpoints, the service network, priorities of requests, the ConfigMap that tells extension servers whom to trust,
//! APIServices of built-in groups, roles of Proa's operators. Runs at every start and only writes what differs; all
//! writes of a step go out at once, so they share a sync. Objects of kinds that are not served are left out.
//! Upstream: `pkg/registry/rbac/rest/storage_rbac.go`,
//! `pkg/controlplane/controller/{systemnamespaces,kubernetesservice,clusterauthenticationtrust}`,
//! component-helpers `auth/rbac/reconciliation`.

mod flow;
pub mod reconcile;
mod service_cidr;
pub mod system;
pub mod table;

use crate::{aggregation, objects, registration};
use futures::future::try_join_all;
use proa_meta::{ApiError, ApiResult, Gvr, Reason};
use proa_registry::{
    Kind, Registry,
    request::{Body, Target, WriteOptions},
};
use serde_json::{Value, json};
pub use service_cidr::service_cidr;
use std::sync::Arc;
pub use system::{FrontProxies, Settings};

/// Annotation of objects that are reconciled at start; `false` opts out.
pub const AUTO_UPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// Who is named in `managedFields` of bootstrap objects.
const FIELD_MANAGER: &str = "kube-apiserver";
/// Times that a write is tried when the object appears, changes or goes at the same time.
const ATTEMPTS: usize = 3;

/// An object that must exist.
pub struct Wanted {
    /// Kind.
    pub gvr: Gvr,
    /// The object, complete.
    pub object: Value,
    /// What becomes of an object that already exists: the changed object, or none to leave it.
    pub reconcile: fn(existing: &Value, wanted: &Value) -> Option<Value>,
}

/// Brings the cluster's own objects into being, then fills aggregated roles.
///
/// # Errors
/// A write failed, or the bootstrap policy cannot be read.
pub async fn run(
    registry: &Arc<Registry>,
    settings: &Settings,
    front_proxies: &FrontProxies,
    operators: Vec<Wanted>,
) -> ApiResult<()> {
    ensure_all(registry, system::namespaces()).await?;
    let mut wanted = policy()?;
    let users = operators.iter().filter(|wanted| wanted.gvr == objects::CLUSTER_ROLES);
    let users: Vec<_> = users.filter_map(|wanted| wanted.object["metadata"]["name"].as_str()).collect();
    wanted.extend(flow::operators(&users));
    wanted.extend(operators);
    wanted.extend(system::priority_classes());
    wanted.extend(flow::levels());
    wanted.extend(flow::schemas());
    wanted.push(system::authentication(settings, front_proxies));
    wanted.extend(registration::builtin(registry));
    wanted.extend(system::kubernetes_service(settings));
    ensure_all(registry, wanted).await?;
    aggregation::reconcile(registry).await
}

/// Roles and bindings of the bootstrap policy.
fn policy() -> ApiResult<Vec<Wanted>> {
    let items = table::items().map_err(|why| ApiError::internal(format_args!("bootstrap policy: {why}")))?;
    Ok(items.into_iter().map(|item| wanted_policy(item.kind, item.object)).collect())
}

fn wanted_policy(kind: &str, object: Value) -> Wanted {
    let (gvr, reconcile): (_, fn(&Value, &Value) -> Option<Value>) = match kind {
        "ClusterRole" => (objects::CLUSTER_ROLES, reconcile::role),
        "Role" => (objects::ROLES, reconcile::role),
        "ClusterRoleBinding" => (objects::CLUSTER_ROLE_BINDINGS, reconcile::binding),
        _ => (objects::ROLE_BINDINGS, reconcile::binding),
    };
    Wanted { gvr, object, reconcile }
}

/// User and role name of one of Proa's operators.
pub fn operator_name(operator: &str) -> String {
    format!("system:proa:operator:{operator}")
}

/// Role and binding of one of Proa's operators: exactly the given rules, for the user of the same name.
pub fn operator(operator: &str, rules: Value) -> Vec<Wanted> {
    let name = operator_name(operator);
    let metadata = json!({"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}});
    let (api_version, group) = ("rbac.authorization.k8s.io/v1", "rbac.authorization.k8s.io");
    let mut role = json!({"apiVersion": api_version, "kind": "ClusterRole", "metadata": metadata});
    role["rules"] = rules;
    let binding = json!({
        "apiVersion": api_version, "kind": "ClusterRoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
    });
    vec![
        Wanted { gvr: objects::CLUSTER_ROLES, object: role, reconcile: reconcile::exact_role },
        Wanted { gvr: objects::CLUSTER_ROLE_BINDINGS, object: binding, reconcile: reconcile::binding },
    ]
}

/// Creates or reconciles all objects at once.
async fn ensure_all(registry: &Arc<Registry>, wanted: Vec<Wanted>) -> ApiResult<()> {
    let writes = wanted.iter().map(|wanted| ensure(registry, wanted));
    try_join_all(writes).await.map(drop)
}

async fn ensure(registry: &Arc<Registry>, wanted: &Wanted) -> ApiResult<()> {
    let Some(kind) = registry.kind(&wanted.gvr) else {
        tracing::debug!(kind = %wanted.gvr, "bootstrap object left out: its kind is not served");
        return Ok(());
    };
    let mut result = Ok(());
    for _ in 0..ATTEMPTS {
        result = ensure_once(registry, &kind, wanted).await;
        let raced =
            |e: &ApiError| matches!(e.reason(), Reason::AlreadyExists | Reason::Conflict | Reason::NotFound);
        if !result.as_ref().is_err_and(raced) {
            break;
        }
    }
    result.inspect_err(|error| {
        tracing::error!(kind = %wanted.gvr, object = %wanted.object["metadata"]["name"], %error, "bootstrap failed");
    })
}

async fn ensure_once(registry: &Arc<Registry>, kind: &Arc<Kind>, wanted: &Wanted) -> ApiResult<()> {
    let metadata = &wanted.object["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut target = Target {
        kind: kind.clone(),
        namespace: text(&metadata["namespace"]),
        name: text(&metadata["name"]),
        subresource: String::new(),
        user: objects::server_user(),
    };
    let options = WriteOptions { field_manager: FIELD_MANAGER.to_owned(), ..WriteOptions::default() };
    let body = |value: Value| Body { value, issues: Vec::new() };
    let Some(entry) = kind.get(&target.namespace, &target.name) else {
        target.name = String::new();
        return registry.create(&target, body(wanted.object.clone()), &options).await.map(drop);
    };
    let Some(changed) = (wanted.reconcile)(&entry.value(&kind.def), &wanted.object) else { return Ok(()) };
    registry.update(&target, body(changed), &options).await.map(drop)
}
