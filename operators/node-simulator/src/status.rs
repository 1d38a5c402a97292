//! A simulated pod's status, in the form that a kubelet writes. Pure.
//!
//! A simulated node has room for every change of resources and applies it at once; a container whose policy asks for it
//! is restarted then.

use crate::containers::State;
use crate::index::{Container, Reported, SimulatedPod};
use proa_kit::{Pairs, Timestamp, conditions, views::pod_spec::Resources};
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The status of a pod whose containers are in `state`.
pub(crate) fn status(
    pod: &SimulatedPod,
    state: State,
    accepted: Timestamp,
    address: Ipv4Addr,
    now: Timestamp,
) -> Value {
    let (phase, initialized, ready, reason) = match state {
        State::Starting => ("Pending", pod.spec.init_containers.is_empty(), false, "ContainersNotReady"),
        State::Running { ready, .. } => ("Running", true, ready, "ContainersNotReady"),
        State::Exited { code: 0, .. } => ("Succeeded", true, false, "PodCompleted"),
        State::Exited { .. } => ("Failed", true, false, "PodFailed"),
    };
    let condition = |kind: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        let before = conditions::find(&pod.status.conditions, kind).filter(|own| &*own.status == status);
        let since = before.and_then(|own| own.last_transition_time).unwrap_or(now);
        let mut condition = json!({
            "type": kind, "status": status, "lastProbeTime": null,
            "lastTransitionTime": text(since), "observedGeneration": pod.metadata.generation,
        });
        if !holds {
            condition["reason"] = json!(reason);
        }
        condition
    };
    let started = !matches!(state, State::Starting);
    let mut status = json!({
        "phase": phase,
        "observedGeneration": pod.metadata.generation,
        "startTime": text(accepted),
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "conditions": [
            condition("PodReadyToStartContainers", started),
            condition("Initialized", initialized),
            condition("Ready", ready),
            condition("ContainersReady", ready),
        ],
        "containerStatuses": statuses(&pod.spec.containers, &pod.status.container_statuses, state, (ready, now)),
    });
    if let Some(own) = &pod.spec.resources {
        status["resources"] = resources(own);
        status["allocatedResources"] = json!(own.requests);
    }
    if started {
        status["podIP"] = json!(address);
        status["podIPs"] = json!([{"ip": address}]);
    }
    if !pod.spec.init_containers.is_empty() {
        let init = match state {
            State::Starting => state,
            State::Running { since, .. } | State::Exited { since, .. } => {
                State::Exited { since, until: since, code: 0 }
            }
        };
        status["initContainerStatuses"] =
            json!(statuses(&pod.spec.init_containers, &[], init, (started, now)));
    }
    status
}

fn text(at: Timestamp) -> String {
    proa_meta::time::Time::new(at).to_string()
}

fn statuses(
    containers: &[Container],
    reported: &[Reported],
    state: State,
    now: (bool, Timestamp),
) -> Vec<Value> {
    let status = |container: &Container| {
        let known = reported.iter().find(|known| known.name == container.name);
        container_status(container, known, state, now)
    };
    containers.iter().map(status).collect()
}

fn container_status(
    container: &Container,
    known: Option<&Reported>,
    state: State,
    (ready, now): (bool, Timestamp),
) -> Value {
    let id = format!("simulated://{}", container.name);
    let image_id = if matches!(state, State::Starting) { "" } else { &*container.image };
    let (mut restarts, mut last) = (known.map_or(0, |known| known.restart_count), json!({}));
    let before = known.and_then(|known| known.state.running.as_ref()).and_then(|running| running.started_at);
    let shown = match state {
        State::Starting => json!({"waiting": {"reason": "ContainerCreating"}}),
        State::Running { since, .. } if known.is_some_and(|known| restarts_for(container, known)) => {
            restarts += 1;
            last = json!({"terminated": {
                "exitCode": 0, "reason": "Completed", "startedAt": text(before.unwrap_or(since)),
                "finishedAt": text(now), "containerID": id,
            }});
            json!({"running": {"startedAt": text(now)}})
        }
        State::Running { since, .. } => json!({"running": {"startedAt": text(before.unwrap_or(since))}}),
        State::Exited { since, until, code } => json!({"terminated": {
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": text(before.unwrap_or(since)), "finishedAt": text(until), "containerID": id,
        }}),
    };
    let mut status = json!({
        "name": container.name, "image": container.image, "imageID": image_id, "containerID": id,
        "ready": ready, "started": matches!(state, State::Running { .. }), "restartCount": restarts,
        "state": shown, "lastState": last,
    });
    if !matches!(state, State::Starting) {
        status["resources"] = resources(&container.resources);
        if !container.resources.requests.is_empty() {
            status["allocatedResources"] = json!(container.resources.requests);
        }
    }
    status
}

/// What a container or pod was given, as it asked.
fn resources(own: &Resources) -> Value {
    let lists = [("requests", &own.requests), ("limits", &own.limits)];
    let known = lists.into_iter().filter(|(_, list)| !list.is_empty());
    known.map(|(name, list)| (name.to_owned(), json!(list))).collect::<serde_json::Map<_, _>>().into()
}

/// Whether a running container has to restart for the resources that it asks for now.
fn restarts_for(container: &Container, known: &Reported) -> bool {
    let Some(given) = known.resources.as_ref().filter(|_| known.state.running.is_some()) else {
        return false;
    };
    let differs = |name: &str| {
        let amounts = |lists: &Resources| -> [Option<String>; 2] {
            [&lists.requests, &lists.limits].map(|list: &Pairs| list.get(name).map(ToOwned::to_owned))
        };
        amounts(given) != amounts(&container.resources)
    };
    let policies = container.resize_policy.iter();
    policies.into_iter().any(|own| &*own.restart_policy == "RestartContainer" && differs(&own.resource_name))
}
