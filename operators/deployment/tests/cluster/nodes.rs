//! Stands in for scheduler and nodes: binds pods, says that they run, ends those that are asked to end.
//!
//! A pod with the label `ends` succeeds or fails as the label says; all others run and are ready.

use proa_kit::{
    Action, Error, Operator, Plan, Reader, Timestamp, Typed, Watch, Write,
    clock::rfc3339,
    views::{PodView, pod_spec::PodSpec},
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) struct Nodes;

impl Operator for Nodes {
    const NAME: &'static str = "nodes";
    type Object = PodView;
    type Observed = ();
    fn watches(&self) -> Vec<Watch> {
        vec![Watch::primary::<PodView>().into()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PodView::KIND, &["delete"]),
            Write::sub(&PodView::KIND, "binding", &["create"]),
            Write::sub(&PodView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, _: &Reader, _: &Arc<PodView>) -> Result<(), Error> {
        Ok(())
    }
    fn plan(&self, pod: &PodView, (): &(), now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if pod.metadata.is_deleting() {
            if pod.metadata.deletion_grace_period_seconds != Some(0) {
                plan.push(Action::delete(pod.reference()).within(0));
            }
        } else if pod.spec.node_name.is_empty() {
            plan.push(Action::bind(pod.reference(), target(&pod.spec)));
        } else if matches!(&*pod.status.phase, "" | "Pending") {
            plan.push(Action::merge_status(pod.reference(), status(pod, now)));
        }
        plan
    }
}

fn target(spec: &PodSpec) -> &str {
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required
        .and_then(|selector| selector.node_selector_terms.first())
        .and_then(|term| term.match_fields.first())
        .map_or("n1", |field| &field.values[0])
}

fn status(pod: &PodView, now: Timestamp) -> Value {
    let now = rfc3339(now);
    let phase = pod.metadata.labels.get("ends").unwrap_or("Running");
    let ready = if phase == "Running" { "True" } else { "False" };
    json!({"phase": phase, "startTime": now,
        "conditions": [{"type": "Ready", "status": ready, "lastTransitionTime": now}]})
}
