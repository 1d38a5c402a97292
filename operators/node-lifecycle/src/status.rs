//! What is written about nodes and pods. Pure.
//!
//! Upstream: pkg/controller/util/node/controller_utils.go (MarkPodsNotReady), pkg/controller/tainteviction/taint_eviction.go
//! (addConditionAndDeletePod), pkg/controller/podgc/gc_controller.go (markFailedAndDeletePodWithCondition).

use proa_kit::{
    Action, Timestamp, Typed,
    conditions::{self, Condition},
    views::{NodeView, PodView},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Conditions that are the kubelet's word.
const KUBELETS: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// The part of a node's status that says that its kubelet is silent.
pub(crate) fn lost(node: &NodeView, now: Timestamp) -> Value {
    let unknown = |kind: &&str| match conditions::find(&node.status.conditions, kind) {
        None => {
            let message = "Kubelet never posted node status.";
            let mut condition = Condition::new(kind, "Unknown", "NodeStatusNeverUpdated", message, now);
            condition.last_heartbeat_time = node.metadata.creation_timestamp;
            Some(condition)
        }
        Some(old) if &*old.status == "Unknown" => None,
        Some(_) => {
            let message = "Kubelet stopped posting node status.";
            Some(Condition::new(kind, "Unknown", "NodeStatusUnknown", message, now))
        }
    };
    let conditions: Vec<Condition> = KUBELETS.iter().filter_map(unknown).collect();
    json!({"conditions": conditions})
}

/// Says that a pod is not ready, with its event; `None` if that is known.
pub(crate) fn not_ready(pod: &PodView, now: Timestamp) -> Option<(Action, Action)> {
    let ready = pod.ready_condition().filter(|ready| &*ready.status != "False")?;
    let mut ready = ready.clone();
    ready.status = "False".into();
    ready.last_transition_time = Some(now);
    let event = Action::warning(&Arc::new(pod.reference()), "NodeNotReady", "Node is not ready");
    Some((Action::merge_status(pod.reference(), json!({"conditions": [ready]})), event))
}

/// The condition that says why a pod is deleted; `None` if it says so already.
pub(crate) fn disrupted(pod: &PodView, reason: &str, message: &str, now: Timestamp) -> Option<Condition> {
    let mut conditions = pod.status.conditions.to_vec();
    let mut condition = Condition::new("DisruptionTarget", "True", reason, message, now);
    condition.observed_generation = (pod.metadata.generation > 0).then_some(pod.metadata.generation);
    let changed = conditions::set(&mut conditions, condition);
    conditions::find(&conditions, "DisruptionTarget").filter(|_| changed).cloned()
}

/// Ends a pod that no kubelet will end: it has failed, and it goes at once.
pub(crate) fn end(pod: &PodView, condition: Option<Condition>) -> Vec<Action> {
    let mut actions = Vec::new();
    if !pod.is_terminal() {
        let mut status = json!({"phase": "Failed", "observedGeneration": pod.metadata.generation});
        if let Some(condition) = condition {
            status["conditions"] = json!([condition]);
        }
        actions.push(Action::merge_status(pod.reference(), status));
    }
    actions.push(Action::delete(pod.reference()).within(0));
    actions
}
