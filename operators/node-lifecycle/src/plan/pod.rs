//! What happens to a pod of a node that evicts, that is not ready, or that is gone.
//!
//! Upstream: pkg/controller/tainteviction/taint_eviction.go, pkg/controller/podgc/gc_controller.go,
//! pkg/controller/util/node/controller_utils.go (MarkPodsNotReady).

use crate::index::{Health, Nodes};
use jiff::SignedDuration;
use proa_kit::{
    Action, Key, Plan, Timestamp, Typed,
    clock::{elapsed, rfc3339},
    conditions,
    views::{PodView, node::Taint, pod_spec::Toleration},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// A node that is missing may be late: its pods stay for so long.
const QUARANTINE: Duration = Duration::from_secs(40);

/// The plan for one pod.
pub fn plan(key: &Key, nodes: &mut Nodes, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some(pod) = nodes.pod_by(key).cloned() else { return plan };
    let Some(health) = nodes.get_mut(&pod.spec.node_name) else { return plan };
    if health.view.is_none() {
        orphaned(&pod, health, now, &mut plan);
        return plan;
    }
    if pod.metadata.is_deleting() && health.is_out_of_service() {
        plan.actions.extend(forced(&pod));
        return plan;
    }
    // A kubelet that says itself that its node is not ready still speaks for its pods.
    if health.is_lost() && pod.is_ready() && !pod.is_terminal() {
        plan.actions.extend(not_ready(&pod, now));
    }
    let taints: Vec<Taint> = health.evicting().cloned().collect();
    evict(key, &pod, &taints, nodes, now, &mut plan);
    plan
}

/// The pod's node is gone.
fn orphaned(pod: &PodView, health: &mut Health, now: Timestamp, plan: &mut Plan) {
    let missing = elapsed(*health.missing.get_or_insert(now), now);
    if missing < QUARANTINE {
        plan.look_again(QUARANTINE - missing);
        return;
    }
    if !pod.is_terminal() {
        let mut status = disruption(pod, "DeletionByPodGC", "PodGC: node no longer exists", now);
        status["phase"] = json!("Failed");
        plan.push(Action::merge_status(pod.reference(), status));
    }
    plan.push(Action::delete(pod.reference()).within(0));
}

/// Ends a pod that no kubelet will end, unless that was done.
fn forced(pod: &PodView) -> Vec<Action> {
    if pod.metadata.deletion_grace_period_seconds == Some(0) {
        return Vec::new();
    }
    let fail = Action::merge_status(pod.reference(), json!({"phase": "Failed"}));
    let delete = Action::delete(pod.reference()).within(0);
    if pod.is_terminal() { vec![delete] } else { vec![fail, delete] }
}

fn not_ready(pod: &PodView, now: Timestamp) -> [Action; 2] {
    let condition = json!({"type": "Ready", "status": "False", "lastTransitionTime": rfc3339(now),
        "observedGeneration": pod.metadata.generation});
    let about = Arc::new(pod.reference());
    [
        Action::merge_status(pod.reference(), json!({"conditions": [condition]})),
        Action::warning(&about, "NodeNotReady", "Node is not ready"),
    ]
}

fn evict(key: &Key, pod: &PodView, taints: &[Taint], nodes: &mut Nodes, now: Timestamp, plan: &mut Plan) {
    let about = Arc::new(pod.reference());
    match tolerated(taints, &pod.spec.tolerations) {
        Tolerated::Forever => {
            if nodes.evictions.remove(key).is_some() {
                let note = format!("Cancelling deletion of Pod {key}");
                plan.push(Action::normal(&about, "TaintManagerEviction", note));
            }
            return;
        }
        _ if pod.metadata.is_deleting() => return,
        Tolerated::For(seconds) => {
            let since = *nodes.evictions.entry(key.clone()).or_insert(now);
            let due = since + SignedDuration::from_secs(seconds);
            if now < due {
                plan.look_again(elapsed(now, due));
                return;
            }
        }
        Tolerated::Not => {}
    }
    let note = format!("Marking for deletion Pod {key}");
    plan.push(Action::normal(&about, "TaintManagerEviction", note));
    let message = "Taint manager: deleting due to NoExecute taint";
    plan.push(Action::merge_status(pod.reference(), disruption(pod, "DeletionByTaintManager", message, now)));
    plan.push(Action::delete(pod.reference()));
}

fn disruption(pod: &PodView, reason: &str, message: &str, now: Timestamp) -> Value {
    let held = conditions::find(&pod.status.conditions, "DisruptionTarget").filter(|own| own.is_true());
    let since = held.and_then(|own| own.last_transition_time).unwrap_or(now);
    json!({"conditions": [{
        "type": "DisruptionTarget", "status": "True", "reason": reason, "message": message,
        "lastTransitionTime": rfc3339(since), "observedGeneration": pod.metadata.generation,
    }]})
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tolerated {
    Not,
    For(i64),
    Forever,
}

/// How long taints are tolerated: by the shortest of the tolerations that cover them.
fn tolerated(taints: &[Taint], tolerations: &[Toleration]) -> Tolerated {
    let mut shortest = Tolerated::Forever;
    for taint in taints {
        let Some(covering) = tolerations.iter().find(|toleration| toleration.tolerates(taint)) else {
            return Tolerated::Not;
        };
        shortest = match (covering.toleration_seconds, shortest) {
            (None, shortest) => shortest,
            (Some(seconds), _) if seconds <= 0 => Tolerated::For(0),
            (Some(seconds), Tolerated::For(other)) => Tolerated::For(seconds.min(other)),
            (Some(seconds), _) => Tolerated::For(seconds),
        };
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_toleration_counts() {
        let taint = |key: &str| Taint { key: key.into(), effect: "NoExecute".into(), ..Taint::default() };
        let toleration = |key: &str, seconds| Toleration {
            key: key.into(),
            operator: "Exists".into(),
            toleration_seconds: seconds,
            ..Toleration::default()
        };
        assert_eq!(tolerated(&[], &[]), Tolerated::Forever);
        assert_eq!(tolerated(&[taint("a")], &[]), Tolerated::Not);
        assert_eq!(tolerated(&[taint("a")], &[toleration("a", None)]), Tolerated::Forever);
        let both = [toleration("a", Some(30)), toleration("b", Some(5))];
        assert_eq!(tolerated(&[taint("a"), taint("b")], &both), Tolerated::For(5));
        assert_eq!(tolerated(&[taint("a")], &both), Tolerated::For(30));
        assert_eq!(tolerated(&[taint("a"), taint("c")], &both), Tolerated::Not);
    }
}
