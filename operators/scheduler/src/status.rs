//! What is said about a pod that fits nowhere: the condition `PodScheduled` and an event.
//!
//! Upstream: pkg/scheduler/schedule_one.go (handleSchedulingFailure), framework/types.go (FitError).

use crate::{index::Candidate, plan::Misfit};
use proa_kit::{
    Action, ObjectRef, Timestamp, Typed,
    action::{Event, Severity},
    clock::rfc3339,
    conditions,
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

const CONDITION: &str = "PodScheduled";
const REASON: &str = "Unschedulable";

/// The writes about a pod that fits nowhere; the condition only if it says something new.
pub(crate) fn unschedulable(pod: &Candidate, misfit: &Misfit, now: Timestamp) -> Vec<Action> {
    let message = message(pod, misfit);
    let target = pod.view.reference();
    let about = Arc::new(target.clone());
    let mut actions = Vec::with_capacity(2);
    actions.push(Action::Event(Event {
        regarding: about,
        severity: Severity::Warning,
        reason: "FailedScheduling".into(),
        action: "Scheduling".into(),
        note: message.as_str().into(),
        field_path: "".into(),
    }));
    let said = conditions::find(&pod.view.status.conditions, CONDITION);
    if !said.is_some_and(|own| &*own.status == "False" && &*own.reason == REASON && *own.message == message) {
        let since = said.filter(|own| &*own.status == "False").and_then(|own| own.last_transition_time);
        let condition = json!({
            "type": CONDITION, "status": "False", "reason": REASON, "message": message, "lastProbeTime": Value::Null,
            "lastTransitionTime": rfc3339(since.unwrap_or(now)),
            "observedGeneration": pod.view.metadata.generation,
        });
        actions.push(Action::merge_status(target, json!({"conditions": [condition]})));
    }
    actions
}

/// An event as it should be.
pub(crate) fn event(about: Arc<ObjectRef>, reason: &str, action: &str, note: String) -> Action {
    Action::Event(Event {
        regarding: about,
        severity: Severity::Normal,
        reason: reason.into(),
        action: action.into(),
        note: note.into(),
        field_path: "".into(),
    })
}

/// How many nodes said what.
fn message(pod: &Candidate, misfit: &Misfit) -> String {
    if misfit.nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    if let Some(refusal) = misfit.refusal {
        return format!("0/{} nodes are available: {refusal}.", misfit.nodes);
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (rejection, count) in &misfit.rejections {
        for reason in rejection.reasons(pod) {
            *counts.entry(reason).or_default() += count;
        }
    }
    if misfit.unasked > 0 {
        counts.insert("node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned(), misfit.unasked);
    }
    let mut reasons: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    let mut text = format!("0/{} nodes are available:", misfit.nodes);
    if !reasons.is_empty() {
        text.push(' ');
        text.push_str(&reasons.join(", "));
        text.push('.');
    }
    text
}
