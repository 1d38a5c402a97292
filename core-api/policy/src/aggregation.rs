//! Aggregated ClusterRoles: their rules are the rules of the ClusterRoles that their selectors match.
//!
//! Owns: a task that keeps `rules` of roles with an `aggregationRule` filled, woken by changes of ClusterRoles only.
//! Level-triggered: each round looks at everything. Upstream:
//! `pkg/controller/clusterroleaggregation/clusterroleaggregation_controller.go`.

use crate::{objects, rbac::rule::PolicyRule, task};
use futures::future::try_join_all;
use proa_meta::{
    ApiError, ApiResult, User,
    identity::MASTERS,
    selector::{LabelSelector, Selector},
};
use proa_registry::{
    Entry, Kind, Registry,
    request::{Patch, PatchType, Target, WriteOptions},
    state::Snapshot,
};
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

const FIELD_MANAGER: &str = "clusterrole-aggregation-controller";

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RoleView {
    aggregation_rule: Option<AggregationRule>,
    rules: Option<Vec<PolicyRule>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AggregationRule {
    cluster_role_selectors: Option<Vec<LabelSelector>>,
}

/// Runs until the registry is gone or the task is dropped.
pub async fn run(registry: Arc<Registry>) {
    task::at_changes(registry, &objects::CLUSTER_ROLES, "aggregate ClusterRoles", |registry| async move {
        reconcile(&registry).await
    })
    .await;
}

/// Fills all aggregated roles, in rounds, because aggregated roles may themselves be aggregated.
///
/// # Errors
/// A write failed.
pub async fn reconcile(registry: &Arc<Registry>) -> ApiResult<()> {
    let Some(kind) = registry.kind(&objects::CLUSTER_ROLES) else { return Ok(()) };
    // Chains are as deep as there are roles, at most: admin <- edit <- view in the bootstrap policy.
    for _ in 0..=kind.snapshot().len() {
        let wanted = outdated(&kind.snapshot());
        if wanted.is_empty() {
            return Ok(());
        }
        let writes = wanted.into_iter().map(|(name, rules)| write(registry, &kind, name, rules));
        try_join_all(writes).await?;
    }
    Ok(())
}

/// Aggregated roles whose rules are not what their selectors give, with the right rules.
fn outdated(roles: &Snapshot) -> Vec<(String, Vec<PolicyRule>)> {
    let mut outdated = Vec::new();
    for entry in roles.iter() {
        let Ok(role) = entry.decode::<RoleView>() else { continue };
        let Some(rule) = role.aggregation_rule else { continue };
        let selectors: Result<Vec<_>, _> =
            rule.cluster_role_selectors.iter().flatten().map(LabelSelector::compile).collect();
        let Ok(selectors) = selectors else {
            tracing::warn!(role = entry.name(), "aggregation rule has an invalid selector");
            continue;
        };
        let rules = aggregated(entry.name(), &selectors, roles);
        if rules != role.rules.unwrap_or_default() {
            outdated.push((entry.name().to_owned(), rules));
        }
    }
    outdated
}

/// Rules of all other roles that the selectors match, selector by selector in name order, each rule once.
fn aggregated(own: &str, selectors: &[Selector], roles: &Snapshot) -> Vec<PolicyRule> {
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors {
        let matching = |entry: &&Arc<Entry>| entry.name() != own && selector.matches(|key| entry.label(key));
        for entry in roles.iter().filter(matching) {
            let role: RoleView = entry.decode().unwrap_or_default();
            for rule in role.rules.into_iter().flatten() {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    rules
}

async fn write(
    registry: &Arc<Registry>,
    kind: &Arc<Kind>,
    name: String,
    rules: Vec<PolicyRule>,
) -> ApiResult<()> {
    let patch = json!({
        "apiVersion": kind.def.gvk.api_version(), "kind": kind.def.gvk.kind,
        "metadata": {"name": name}, "rules": rules,
    });
    let user = User::new(format!("system:serviceaccount:kube-system:{FIELD_MANAGER}"), &[MASTERS]);
    let target = Target {
        kind: kind.clone(),
        namespace: String::new(),
        name,
        subresource: String::new(),
        user: Arc::new(user),
    };
    let patch = Patch {
        kind: PatchType::Apply,
        bytes: serde_json::to_vec(&patch).map_err(ApiError::internal)?.into(),
        issues: Vec::new(),
    };
    let options =
        WriteOptions { field_manager: FIELD_MANAGER.to_owned(), force: true, ..WriteOptions::default() };
    registry.patch(&target, patch, &options).await.map(drop)
}
