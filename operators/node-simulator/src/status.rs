//! A simulated pod's status, in the form that a kubelet writes. Pure.

use crate::containers::State;
use crate::index::{Container, SimulatedPod};
use proa_kit::Timestamp;
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
    let now = text(now);
    let condition = |kind: &str, holds: bool| {
        let mut condition = json!({
            "type": kind, "status": if holds { "True" } else { "False" }, "lastProbeTime": null,
            "lastTransitionTime": now, "observedGeneration": pod.metadata.generation,
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
        "containerStatuses": statuses(&pod.spec.containers, state, ready),
    });
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
        status["initContainerStatuses"] = json!(statuses(&pod.spec.init_containers, init, started));
    }
    status
}

fn text(at: Timestamp) -> String {
    proa_meta::time::Time::new(at).to_string()
}

fn statuses(containers: &[Container], state: State, ready: bool) -> Vec<Value> {
    containers.iter().map(|container| container_status(container, state, ready)).collect()
}

fn container_status(container: &Container, state: State, ready: bool) -> Value {
    let id = format!("simulated://{}", container.name);
    let image_id = if matches!(state, State::Starting) { "" } else { &*container.image };
    let shown = match state {
        State::Starting => json!({"waiting": {"reason": "ContainerCreating"}}),
        State::Running { since, .. } => json!({"running": {"startedAt": text(since)}}),
        State::Exited { since, until, code } => json!({"terminated": {
            "exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" },
            "startedAt": text(since), "finishedAt": text(until), "containerID": id,
        }}),
    };
    json!({
        "name": container.name, "image": container.image, "imageID": image_id, "containerID": id,
        "ready": ready, "started": matches!(state, State::Running { .. }), "restartCount": 0,
        "state": shown, "lastState": {},
    })
}
