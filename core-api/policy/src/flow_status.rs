//! Whether a FlowSchema's priority level exists, as its status tells it.
//!
//! Owns: a task that writes the condition `Dangling` of schemas for which it has changed, woken by changes of schemas and
//! levels only. Upstream: apiserver `pkg/util/flowcontrol/apf_controller.go` (`syncOne`).

use crate::{
    objects::{self, FLOW_SCHEMAS, PRIORITY_LEVELS},
    task,
};
use futures::future::join;
use proa_meta::{ApiError, ApiResult, time::Time};
use proa_registry::{
    Kind, Registry,
    request::{Patch, PatchType, Target, WriteOptions},
};
use serde_json::{Value, json};
use std::sync::Arc;

const FIELD_MANAGER: &str = "api-priority-and-fairness-config-consumer-v1";

/// Runs until the registry is gone or the task is dropped.
pub async fn run(registry: Arc<Registry>) {
    let follow = |gvr| {
        let registry = registry.clone();
        async move {
            task::at_changes(
                registry,
                gvr,
                "tell schemas whether their levels exist",
                |registry| async move { reconcile(&registry).await },
            )
            .await;
        }
    };
    join(follow(&FLOW_SCHEMAS), follow(&PRIORITY_LEVELS)).await;
}

/// Writes the condition of all schemas whose condition is another one.
///
/// # Errors
/// A write failed.
pub async fn reconcile(registry: &Arc<Registry>) -> ApiResult<()> {
    let (Some(schemas), Some(levels)) = (registry.kind(&FLOW_SCHEMAS), registry.kind(&PRIORITY_LEVELS))
    else {
        return Ok(());
    };
    for entry in schemas.snapshot().iter() {
        let schema = entry.stored_value(entry.revision);
        let level = schema["spec"]["priorityLevelConfiguration"]["name"].as_str().unwrap_or_default();
        let exists = levels.get("", level).is_some();
        let Some(condition) = condition(&schema, level, exists, &Time::new(registry.now()).to_string())
        else {
            continue;
        };
        match write(registry, &schemas, entry.name(), condition).await {
            Err(error) if error.code() == 404 => {}
            written => written?,
        }
    }
    Ok(())
}

/// The condition, if the schema has another one. Pure.
fn condition(schema: &Value, level: &str, exists: bool, now: &str) -> Option<Value> {
    let (status, reason, rest) = match exists {
        true => ("False", "Found", "and it exists"),
        false => ("True", "NotFound", "but there is no such object"),
    };
    let message =
        format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?} {rest}");
    let present = schema["status"]["conditions"].as_array().into_iter().flatten();
    let present = present.clone().find(|condition| condition["type"] == "Dangling");
    let is_same = |condition: &&Value| condition["status"] == status && condition["message"] == *message;
    if present.filter(is_same).is_some() {
        return None;
    }
    let since = present.filter(|condition| condition["status"] == status);
    let since = since.and_then(|condition| condition["lastTransitionTime"].as_str()).unwrap_or(now);
    Some(json!({
        "type": "Dangling", "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    }))
}

async fn write(registry: &Arc<Registry>, kind: &Arc<Kind>, name: &str, condition: Value) -> ApiResult<()> {
    let patch = json!({
        "apiVersion": kind.def.gvk.api_version(), "kind": kind.def.gvk.kind, "metadata": {"name": name},
        "status": {"conditions": [condition]},
    });
    let target = Target {
        kind: kind.clone(),
        namespace: String::new(),
        name: name.to_owned(),
        subresource: "status".to_owned(),
        user: objects::server_user(),
    };
    let bytes = serde_json::to_vec(&patch).map_err(ApiError::internal)?.into();
    let patch = Patch { kind: PatchType::Apply, bytes, issues: Vec::new() };
    let options =
        WriteOptions { field_manager: FIELD_MANAGER.to_owned(), force: true, ..WriteOptions::default() };
    registry.patch(&target, patch, &options).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_written_when_it_changes() {
        let with = |condition: &Value| json!({"status": {"conditions": [{"type": "Other"}, condition]}});
        let found = condition(&json!({}), "high", true, "now").unwrap();
        assert_eq!((&found["status"], &found["reason"]), (&json!("False"), &json!("Found")));
        assert_eq!(
            found["message"],
            "This FlowSchema references the PriorityLevelConfiguration object named \"high\" and it exists"
        );
        assert_eq!(condition(&with(&found), "high", true, "later"), None);
        let gone = condition(&with(&found), "high", false, "later").unwrap();
        assert_eq!((&gone["status"], &gone["lastTransitionTime"]), (&json!("True"), &json!("later")));
        let other = condition(&with(&found), "low", true, "later").unwrap();
        assert_eq!(other["lastTransitionTime"], "now", "only the message is another one");
    }
}
