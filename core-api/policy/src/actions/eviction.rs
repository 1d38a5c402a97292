//! `pods/eviction`: deletes a pod, if its disruption budget allows.
//!
//! Owns: the steps: look at the pod, take a disruption from its budget, mark the pod, delete it. Upstream:
//! `pkg/registry/core/pod/storage/eviction.go`.

use super::{
    disruption::{self, Budget, Claim},
    set_condition, success,
};
use crate::{admission::node_restriction, objects};
use futures::{FutureExt, future::BoxFuture};
use proa_meta::{ApiError, ApiResult, FieldErrors, FieldPath, GroupKind, GroupResource, Reason};
use proa_registry::{
    Registry,
    kind::Propagation,
    request::{Action, ActionRequest, DeleteOptions, Object, Target, WriteOptions, Written},
};
use serde_json::{Value, json};
use std::sync::Arc;

const KIND: GroupKind = GroupKind::new("policy", "Eviction");
const POD: GroupResource = GroupResource::new("", "Pod");
/// How often an eviction starts anew because the pod changed meanwhile.
const ATTEMPTS: usize = 20;

/// The action.
pub struct Eviction;

async fn answer(registry: &Arc<Registry>, request: ActionRequest) -> ApiResult<Written> {
    let name = request.body["metadata"]["name"].as_str().unwrap_or_default();
    if name != request.target.name {
        return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = delete_options(&request.body["deleteOptions"], request.options.dry_run, name)?;
    let target = Target {
        kind: objects::kind(registry, &objects::PODS)?,
        subresource: String::new(),
        ..request.target.clone()
    };
    let retry = options.resource_version.is_none();
    let mut result = Err(ApiError::modified(&POD, name));
    for _ in 0..ATTEMPTS {
        result = evict(registry, &target, &options).await;
        let conflict = result.as_ref().is_err_and(|e| e.reason() == Reason::Conflict);
        if !conflict || !retry {
            break;
        }
    }
    result.map(|()| success())
}

/// One try.
async fn evict(registry: &Arc<Registry>, target: &Target, options: &DeleteOptions) -> ApiResult<()> {
    let entry = target.kind.get(&target.namespace, &target.name);
    let entry = entry.ok_or_else(|| ApiError::not_found(&objects::PODS.group_resource(), &target.name))?;
    let pod = entry.value(&target.kind.def);
    node_restriction::check_eviction(&target.user, &target.name, &pod)?;
    let mut options = options.clone();
    if disruption::is_beyond_budgets(&pod) {
        // A pending pod may become ready, and guarded, before it is deleted.
        if pod["status"]["phase"] == "Pending" && pod["metadata"]["deletionTimestamp"].is_null() {
            options.resource_version.get_or_insert_with(|| entry.revision.to_string());
        }
        return mark_and_delete(registry, target, options).await;
    }
    let guarding = budgets(registry, &target.namespace, &pod);
    match disruption::claim(&pod, &guarding)? {
        Claim::None => mark_and_delete(registry, target, options).await,
        Claim::Take(budget) => {
            take(registry, target, &budget, options.dry_run).await?;
            mark_and_delete(registry, target, options).await
        }
        Claim::Unhealthy(budget) => {
            let own = options.resource_version.is_none();
            options.resource_version.get_or_insert_with(|| entry.revision.to_string());
            let result = mark_and_delete(registry, target, options).await;
            let changed = own && result.as_ref().is_err_and(|e| e.reason() == Reason::Conflict);
            if changed { Err(disruption::still_processed(&budget)) } else { result }
        }
    }
}

/// Budgets of the namespace that guard the pod.
fn budgets(registry: &Registry, namespace: &str, pod: &Value) -> Vec<Budget> {
    let Some(kind) = registry.kind(&objects::POD_DISRUPTION_BUDGETS) else { return Vec::new() };
    let snapshot = kind.snapshot();
    let views = snapshot.iter_namespace(namespace).filter_map(|entry| entry.decode::<Budget>().ok());
    views.filter(|budget| budget.guards(pod)).collect()
}

async fn take(registry: &Arc<Registry>, pod: &Target, budget: &str, dry_run: bool) -> ApiResult<()> {
    let target = Target {
        kind: objects::kind(registry, &objects::POD_DISRUPTION_BUDGETS)?,
        name: budget.to_owned(),
        user: objects::server_user(),
        ..pod.clone()
    };
    let now = registry.now();
    let options = WriteOptions { dry_run, ..WriteOptions::default() };
    let change = |object: &mut Value| disruption::take(object, &pod.name, now);
    registry.modify(&target, &options, &change).await.map(drop)
}

/// Sets the pod's `DisruptionTarget` condition, then deletes it.
async fn mark_and_delete(
    registry: &Arc<Registry>,
    target: &Target,
    mut options: DeleteOptions,
) -> ApiResult<()> {
    if !options.dry_run {
        let now = registry.now();
        let change = |pod: &mut Value| {
            check_preconditions(pod, &options)?;
            if !pod["status"].is_object() {
                pod["status"] = json!({});
            }
            let condition = json!({
                "type": "DisruptionTarget", "status": "True", "lastProbeTime": null,
                "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
            });
            set_condition(&mut pod["status"], &condition, now);
            Ok(())
        };
        let written = registry.modify(target, &WriteOptions::default(), &change).await?;
        if options.resource_version.is_some()
            && let Object::Stored(entry) = &written.object
        {
            options.resource_version = Some(entry.revision.to_string());
        }
    }
    registry.delete(target, &options).await.map(drop)
}

fn check_preconditions(pod: &Value, options: &DeleteOptions) -> ApiResult<()> {
    let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default().to_owned();
    let conflict = |why: String| Err(ApiError::conflict(&POD, &text("name"), &why));
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != text("uid")) {
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been \
             deleted and then recreated",
            text("uid")
        ));
    }
    let found = text("resourceVersion");
    if let Some(revision) = options.resource_version.as_ref().filter(|revision| **revision != found) {
        return conflict(format!(
            "the ResourceVersion in the precondition ({revision}) does not match the ResourceVersion in record \
             ({found}). The object might have been modified"
        ));
    }
    Ok(())
}

/// The eviction's `deleteOptions`, with the request's dry run.
fn delete_options(given: &Value, dry_run: bool, name: &str) -> ApiResult<DeleteOptions> {
    if given["ignoreStoreReadErrorWithClusterBreakingPotential"] == true {
        let mut errors = FieldErrors::default();
        let path = FieldPath::root("deleteOptions");
        let what = "can not be set for pod eviction, try after removing the option";
        errors.invalid(&path.child("ignoreStoreReadErrorWithClusterBreakingPotential"), &json!(true), what);
        return Err(ApiError::invalid(&KIND, name, &errors));
    }
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let orphan = match given["orphanDependents"].as_bool() {
        Some(true) => Some(Propagation::Orphan),
        Some(false) => Some(Propagation::Background),
        None => None,
    };
    let propagation = match given["propagationPolicy"].as_str() {
        None => orphan,
        Some("Background") => Some(Propagation::Background),
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Orphan") => Some(Propagation::Orphan),
        Some(other) => {
            return Err(ApiError::bad_request(format!(
                "invalid propagationPolicy in deleteOptions: {other:?}"
            )));
        }
    };
    Ok(DeleteOptions {
        tells_of_waiting: false,
        grace_period_seconds: given["gracePeriodSeconds"].as_i64(),
        propagation,
        uid: text(&given["preconditions"]["uid"]),
        resource_version: text(&given["preconditions"]["resourceVersion"]),
        dry_run: dry_run || crate::admission::items(&given["dryRun"]).any(|item| item == "All"),
    })
}

impl Action for Eviction {
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

    #[test]
    fn delete_options_are_the_evictions() {
        let given = json!({"gracePeriodSeconds": 5, "propagationPolicy": "Foreground", "dryRun": ["All"],
            "preconditions": {"uid": "u", "resourceVersion": "7"}});
        let options = delete_options(&given, false, "web").unwrap();
        assert_eq!(options.grace_period_seconds, Some(5));
        assert_eq!(options.propagation, Some(Propagation::Foreground));
        assert_eq!((options.uid.as_deref(), options.resource_version.as_deref()), (Some("u"), Some("7")));
        assert!(options.dry_run);
        let options = delete_options(&Value::Null, true, "web").unwrap();
        assert!(options.dry_run && options.uid.is_none() && options.propagation.is_none());
        for wrong in [
            json!({"propagationPolicy": "Sideways"}),
            json!({"ignoreStoreReadErrorWithClusterBreakingPotential": true}),
        ] {
            assert!(delete_options(&wrong, false, "web").is_err(), "{wrong}");
        }
    }
}
