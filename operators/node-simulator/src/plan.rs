//! What a simulated node does about a pod. Pure.

use crate::containers::{Behaviour, Simulated, State};
use crate::{index::SimulatedPod, status};
use jiff::SignedDuration;
use proa_kit::{Action, ObjectRef, Plan, Timestamp, views::Typed as _};
use std::net::Ipv4Addr;

/// Annotation: the exit code of the pod's containers, which end after the simulation's run time.
pub(crate) const EXIT_CODE: &str = "simulate.proa.dev/exit-code";
/// Annotation: `false` keeps the pod from becoming ready.
pub(crate) const READY: &str = "simulate.proa.dev/ready";

/// The next step of a pod.
pub(crate) fn plan(pod: &SimulatedPod, address: Ipv4Addr, runtime: Simulated, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let target = ObjectRef::new(SimulatedPod::KIND, &pod.metadata.namespace, &pod.metadata.name)
        .with_uid(&pod.metadata.uid);
    if let Some(end) = pod.metadata.deletion_timestamp {
        let grace = SignedDuration::from_secs(pod.metadata.deletion_grace_period_seconds.unwrap_or(0));
        let asked = end.checked_sub(grace).unwrap_or(end);
        match runtime.stopping(asked, now) {
            Some(left) => plan.look_again(left),
            None => plan.push(Action::delete(target).within(0)),
        }
        return plan;
    }
    if matches!(&*pod.status.phase, "Succeeded" | "Failed") {
        return plan;
    }
    let accepted = pod.status.start_time.unwrap_or(now);
    let observed = runtime.observe(accepted, behaviour(pod), now);
    if let Some(left) = observed.lasts {
        plan.look_again(left);
    }
    if !is_reported(pod, observed.state) {
        let status = status::status(pod, observed.state, accepted, address, now);
        plan.push(Action::merge_status(target, status));
    }
    plan
}

fn behaviour(pod: &SimulatedPod) -> Behaviour {
    let code = pod.annotation(EXIT_CODE).and_then(|code| code.parse().ok());
    let exits = match &*pod.spec.restart_policy {
        "Always" | "" => None,
        // A failing container that restarts would fail for ever: it just keeps running.
        "OnFailure" => Some(0).filter(|_| code.unwrap_or(0) == 0),
        _ => Some(code.unwrap_or(0)),
    };
    Behaviour { exits, never_ready: pod.annotation(READY) == Some("false") }
}

/// Whether the pod's status already says so, of the pod as it is asked for now.
fn is_reported(pod: &SimulatedPod, state: State) -> bool {
    if pod.status.observed_generation != pod.metadata.generation {
        return false;
    }
    let ready = pod.status.conditions.iter().any(|c| &*c.kind == "Ready" && &*c.status == "True");
    match state {
        State::Starting => pod.status.start_time.is_some(),
        State::Running { ready: is_ready, .. } => &*pod.status.phase == "Running" && ready == is_ready,
        State::Exited { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::Delays;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn pod(extra: Value) -> SimulatedPod {
        let mut pod = json!({"metadata": {"name": "a", "namespace": "d", "uid": "u", "resourceVersion": "1"},
            "spec": {"nodeName": "sim-0", "restartPolicy": "Always", "containers": [{"name": "c", "image": "i"}]}});
        json_patch(&mut pod, extra);
        serde_json::from_value(pod).expect("a pod")
    }

    fn json_patch(base: &mut Value, extra: Value) {
        match (base, extra) {
            (Value::Object(base), Value::Object(extra)) => {
                for (key, value) in extra {
                    json_patch(base.entry(key).or_insert(Value::Null), value);
                }
            }
            (base, extra) => *base = extra,
        }
    }

    fn decide(pod: &SimulatedPod) -> Value {
        let delays = Delays { stop: Duration::from_secs(1), ..Delays::default() };
        let now = "2026-01-01T00:00:10Z".parse().expect("a time");
        serde_json::to_value(plan(pod, Ipv4Addr::LOCALHOST, Simulated { delays }, now)).expect("a plan")
    }

    #[test]
    fn a_bound_pod_runs_and_is_ready() {
        let plan = decide(&pod(json!({}))).to_string();
        assert!(plan.contains("\"Running\"") && plan.contains("ContainersReady"), "{plan}");
    }

    #[test]
    fn a_reported_pod_is_left_alone() {
        let status = json!({"status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z",
            "conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!(decide(&pod(status)), json!({}));
    }

    #[test]
    fn changed_resources_are_given_at_once_and_a_container_restarts_where_it_wants_to() {
        let resized = |policy: &str| {
            pod(json!({
                "metadata": {"generation": 2},
                "spec": {"containers": [{"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}},
                    "resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}]}]},
                "status": {"phase": "Running", "startTime": "2026-01-01T00:00:00Z", "observedGeneration": 1,
                    "conditions": [
                        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:01Z"}],
                    "containerStatuses": [{"name": "c", "resources": {"requests": {"cpu": "1"}},
                        "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}}}]},
            }))
        };
        let told = decide(&resized("NotRequired")).to_string();
        assert!(told.contains(r#""allocatedResources":{"cpu":"2"}"#), "{told}");
        assert!(told.contains(r#""running":{"startedAt":"2026-01-01T00:00:01Z"}"#), "{told}");
        assert!(told.contains(r#""observedGeneration":2"#) && told.contains(r#""restartCount":0"#), "{told}");
        let told = decide(&resized("RestartContainer")).to_string();
        assert!(told.contains(r#""restartCount":1"#), "{told}");
        assert!(told.contains(r#""running":{"startedAt":"2026-01-01T00:00:10Z"}"#), "{told}");
    }

    #[test]
    fn a_deleted_pod_goes_after_its_delay() {
        let deleted =
            |at: &str| pod(json!({"metadata": {"deletionTimestamp": at, "deletionGracePeriodSeconds": 30}}));
        assert!(decide(&deleted("2026-01-01T00:00:40Z"))["requeueAfter"].is_string());
        assert!(decide(&deleted("2026-01-01T00:00:39Z"))["actions"][0].to_string().contains("elete"));
    }

    #[test]
    fn a_job_pod_ends_as_its_annotation_says() {
        let job = json!({"metadata": {"annotations": {EXIT_CODE: "3"}}, "spec": {"restartPolicy": "Never"},
            "status": {"startTime": "2026-01-01T00:00:00Z"}});
        let plan = decide(&pod(job)).to_string();
        assert!(plan.contains("\"Failed\"") && plan.contains("\"exitCode\":3"), "{plan}");
    }
}
