//! Writing the condition `Available`.

use super::{Aggregator, availability::Verdict};
use proa_meta::{ApiResult, User, identity::MASTERS, time::Time};
use proa_registry::{
    Entry,
    request::{Body, Target, WriteOptions},
};
use serde_json::{Value, json};
use std::sync::Arc;

const FIELD_MANAGER: &str = "kube-apiserver";

impl Aggregator {
    /// Writes the condition into the APIService as it is in `entry`, unless it already says so.
    ///
    /// # Errors
    /// The object has changed in the meantime, or the write failed.
    pub(super) async fn record(&self, entry: &Entry, verdict: &Verdict) -> ApiResult<()> {
        let Some(kind) = self.kind() else { return Ok(()) };
        let registry = &self.relay.registry;
        let present = entry.value(&kind.def);
        let Some(changed) = with(&present, verdict, &Time::new(registry.now()).to_string()) else {
            return Ok(());
        };
        let Verdict { status, reason, message: why } = verdict;
        tracing::info!(name = entry.name(), status, reason, why, "availability of an API changed");
        let target = Target {
            kind,
            namespace: String::new(),
            name: entry.name().to_owned(),
            subresource: "status".to_owned(),
            user: Arc::new(User::new("system:apiserver", &[MASTERS])),
        };
        let options = WriteOptions { field_manager: FIELD_MANAGER.to_owned(), ..WriteOptions::default() };
        registry.update(&target, Body { value: changed, issues: Vec::new() }, &options).await.map(drop)
    }
}

/// The object with its condition; none when that changes nothing.
fn with(object: &Value, verdict: &Verdict, now: &str) -> Option<Value> {
    let Verdict { status, reason, message } = verdict;
    let mut changed = object.clone();
    if !changed["status"]["conditions"].is_array() {
        changed["status"] = json!({"conditions": []});
    }
    let conditions = changed["status"]["conditions"].as_array_mut()?;
    match conditions.iter_mut().find(|condition| condition["type"] == "Available") {
        Some(present) => {
            if present["status"] != *status {
                present["status"] = json!(status);
                present["lastTransitionTime"] = json!(now);
            }
            present["reason"] = json!(reason);
            present["message"] = json!(message);
        }
        None => conditions.push(json!({
            "type": "Available", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": now,
        })),
    }
    (changed != *object).then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_changes_are_written_and_times_are_those_of_transitions() {
        let no = |message: &str| Verdict {
            status: "False",
            reason: "MissingEndpoints",
            message: message.to_owned(),
        };
        let other = json!({"type": "Other", "status": "True"});
        let first = with(&json!({"status": {"conditions": [other]}}), &no("a"), "t1").unwrap();
        assert_eq!(first["status"]["conditions"][0], other);
        assert_eq!(first["status"]["conditions"][1]["lastTransitionTime"], "t1");
        assert_eq!(with(&first, &no("a"), "t2"), None);
        let second = with(&first, &no("b"), "t2").unwrap();
        assert_eq!(second["status"]["conditions"][1]["message"], "b");
        assert_eq!(second["status"]["conditions"][1]["lastTransitionTime"], "t1");
        let third = with(&second, &Verdict::local(), "t3").unwrap();
        assert_eq!(third["status"]["conditions"][1]["lastTransitionTime"], "t3");
        assert!(with(&json!({}), &Verdict::local(), "t").is_some());
    }
}
