//! What is said about a pod that fits nowhere: the condition `PodScheduled`, its nominated node and an event; and what is
//! said about and done to the pods that make room for it.
//!
//! Upstream: pkg/scheduler/schedule_one.go (handleSchedulingFailure), framework/types.go (FitError),
//! framework/preemption/executor.go.

use crate::{
    index::{
        Candidate,
        candidate::{DISRUPTION_TARGET, PREEMPTED},
    },
    plan::{
        Misfit,
        filter::Rejection,
        preempt::{Choice, Outcome},
    },
};
use proa_kit::{
    Action, ObjectRef, Timestamp, Typed,
    action::{Event, Severity},
    clock::rfc3339,
    conditions,
};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

const CONDITION: &str = "PodScheduled";
const REASON: &str = "Unschedulable";

/// The writes about a pod that fits nowhere; the status only if it says something new.
pub(crate) fn unschedulable(
    pod: &Candidate,
    misfit: &Misfit,
    outcome: &Outcome,
    now: Timestamp,
) -> Vec<Action> {
    let message = message(pod, misfit, outcome);
    let target = pod.view.reference();
    let mut actions = vec![Action::Event(Event {
        regarding: Arc::new(target.clone()),
        related: None,
        severity: Severity::Warning,
        reason: "FailedScheduling".into(),
        action: "Scheduling".into(),
        note: message.as_str().into(),
        field_path: "".into(),
    })];
    let mut status = Map::new();
    let said = conditions::find(&pod.view.status.conditions, CONDITION);
    if !said.is_some_and(|own| &*own.status == "False" && &*own.reason == REASON && *own.message == message) {
        status.insert(
            "conditions".to_owned(),
            json!([condition(pod, CONDITION, "False", REASON, &message, now)]),
        );
    }
    let nominated = &pod.view.status.nominated_node_name;
    match outcome {
        Outcome::Found(choice) if *nominated != choice.node => {
            status.insert("nominatedNodeName".to_owned(), json!(choice.node));
        }
        Outcome::Unhelpful(_) if !nominated.is_empty() => {
            status.insert("nominatedNodeName".to_owned(), Value::Null);
        }
        // Room is being made where it is nominated.
        Outcome::Found(_) | Outcome::Unhelpful(_) | Outcome::Ineligible(_) => {}
    }
    if !status.is_empty() {
        actions.push(Action::merge_status(target, Value::Object(status)));
    }
    actions
}

/// The writes that make room on a node: less important pods that were nominated for it are so no longer, and the victims
/// go, but for those that are going already.
pub(crate) fn preempted(
    pod: &Candidate,
    choice: &Choice,
    lower: &[Arc<Candidate>],
    now: Timestamp,
) -> Vec<Action> {
    let cleared = lower
        .iter()
        .map(|own| Action::merge_status(own.view.reference(), json!({"nominatedNodeName": null})));
    let preemptor = Arc::new(pod.view.reference());
    let note = format!("Preempted by pod {} on node {}", pod.view.metadata.uid, choice.node);
    let said = format!("{}: preempting to accommodate a higher priority pod", pod.view.spec.scheduler_name);
    let going = choice.victims.iter().filter(|victim| !victim.is_going()).flat_map(|victim| {
        let target = victim.view.reference();
        let condition = condition(victim, DISRUPTION_TARGET, "True", PREEMPTED, &said, now);
        let mut event = event(Arc::new(target.clone()), "Preempted", "Preempting", note.clone());
        if let Action::Event(event) = &mut event {
            event.related = Some(preemptor.clone());
        }
        [
            Action::merge_status(target.clone(), json!({"conditions": [condition]})),
            Action::delete(target),
            event,
        ]
    });
    cleared.chain(going).collect()
}

/// A condition of a pod; the time of its last transition moves with its status.
fn condition(
    pod: &Candidate,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Value {
    let before = conditions::find(&pod.view.status.conditions, kind).filter(|own| &*own.status == status);
    let since = before.and_then(|own| own.last_transition_time).unwrap_or(now);
    json!({
        "type": kind, "status": status, "reason": reason, "message": message, "lastProbeTime": Value::Null,
        "lastTransitionTime": rfc3339(since), "observedGeneration": pod.view.metadata.generation,
    })
}

/// An event as it should be.
pub(crate) fn event(about: Arc<ObjectRef>, reason: &str, action: &str, note: String) -> Action {
    Action::Event(Event {
        regarding: about,
        related: None,
        severity: Severity::Normal,
        reason: reason.into(),
        action: action.into(),
        note: note.into(),
        field_path: "".into(),
    })
}

/// What is said about pods whose volumes were not bound.
pub(crate) fn not_bound(failures: Vec<(Arc<Candidate>, String)>) -> Vec<Action> {
    let said = |(pod, why): (Arc<Candidate>, String)| {
        Action::Event(Event {
            regarding: Arc::new(pod.view.reference()),
            related: None,
            severity: Severity::Warning,
            reason: "FailedScheduling".into(),
            action: "Scheduling".into(),
            note: format!("running PreBind plugin \"VolumeBinding\": binding volumes: {why}").into(),
            field_path: "".into(),
        })
    };
    failures.into_iter().map(said).collect()
}

/// How many nodes said what, and what came of preemption.
fn message(pod: &Candidate, misfit: &Misfit, outcome: &Outcome) -> String {
    if misfit.nodes == 0 {
        return "no nodes available to schedule pods".to_owned();
    }
    let said = match &misfit.refusal {
        Some(refusal) => format!("0/{} nodes are available: {refusal}.", misfit.nodes),
        None => {
            let unasked = ("node(s) didn't satisfy plugin(s) [NodeAffinity]", misfit.unasked);
            unavailable(pod, misfit.nodes, &misfit.rejections, &[unasked])
        }
    };
    let preemption = match outcome {
        Outcome::Ineligible(why) => (*why).to_owned(),
        Outcome::Unhelpful(unhelpful) => {
            let more = [
                ("No preemption victims found for incoming pod", unhelpful.without_victims),
                ("Preemption is not helpful for scheduling", unhelpful.not_tried),
            ];
            unavailable(pod, misfit.nodes, &unhelpful.rejections, &more)
        }
        Outcome::Found(Choice { node, victims, .. }) => {
            format!(
                "found a potential placement for pod on node {node}, preempting {} victims",
                victims.len()
            )
        }
    };
    format!("{said} preemption: {preemption}")
}

fn unavailable(
    pod: &Candidate,
    nodes: usize,
    rejections: &[(Rejection, usize)],
    more: &[(&str, usize)],
) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (rejection, count) in rejections {
        for reason in rejection.reasons(pod) {
            *counts.entry(reason).or_default() += count;
        }
    }
    for (reason, count) in more.iter().filter(|(_, count)| *count > 0) {
        *counts.entry((*reason).to_owned()).or_default() += count;
    }
    let mut reasons: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    let mut text = format!("0/{nodes} nodes are available:");
    if !reasons.is_empty() {
        text.push(' ');
        text.push_str(&reasons.join(", "));
        text.push('.');
    }
    text
}
