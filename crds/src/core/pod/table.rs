//! Table rows of pods.
//!
//! Upstream: `printPod` in `pkg/printers/internalversion/printers.go`.

use crate::table::{age, name, since, text_or};
use jiff::Timestamp;
use serde_json::Value;

/// What the statuses of containers add up to.
#[derive(Default)]
struct Tally {
    ready: usize,
    restarts: i64,
    last: Option<Timestamp>,
}

impl Tally {
    fn restarted(&mut self, status: &Value) {
        self.restarts += status["restartCount"].as_i64().unwrap_or(0);
        let finished = &status["lastState"]["terminated"]["finishedAt"];
        let at = finished.as_str().and_then(|text| text.parse().ok());
        self.last = self.last.max(at);
    }
}

fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object[field].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}

fn is_sidecar(container: Option<&Value>) -> bool {
    container.is_some_and(|container| container["restartPolicy"] == "Always")
}

fn has_condition(pod: &Value, kind: &str) -> bool {
    list(&pod["status"], "conditions").iter().any(|c| c["type"] == kind && c["status"] == "True")
}

/// One row.
pub(super) fn row(pod: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&pod["spec"], &pod["status"]);
    let sidecars = list(spec, "initContainers").iter().filter(|c| is_sidecar(Some(c))).count();
    let total = list(spec, "containers").len() + sidecars;
    let (reason, tally) = state(pod);
    vec![
        name(pod),
        format!("{}/{total}", tally.ready).into(),
        reason.into(),
        restarts(&tally, now).into(),
        age(pod, now),
        text_or(&status["podIPs"][0]["ip"], "<none>"),
        text_or(&spec["nodeName"], "<none>"),
        text_or(&status["nominatedNodeName"], "<none>"),
        readiness_gates(pod).into(),
    ]
}

fn restarts(tally: &Tally, now: Timestamp) -> String {
    match tally.last {
        Some(last) if tally.restarts != 0 => {
            format!("{} ({} ago)", tally.restarts, since(&last.to_string().into(), now))
        }
        _ => tally.restarts.to_string(),
    }
}

fn readiness_gates(pod: &Value) -> String {
    let gates = list(&pod["spec"], "readinessGates");
    let passed = |gate: &&Value| {
        let mut conditions = list(&pod["status"], "conditions").iter();
        let found = conditions.find(|condition| condition["type"] == gate["conditionType"]);
        found.is_some_and(|condition| condition["status"] == "True")
    };
    match gates.len() {
        0 => "<none>".to_owned(),
        count => format!("{}/{count}", gates.iter().filter(passed).count()),
    }
}

/// The status column, and what was counted on the way.
fn state(pod: &Value) -> (String, Tally) {
    let status = &pod["status"];
    let phase = text(status, "phase");
    let mut reason = match text(status, "reason") {
        "" => phase,
        reason => reason,
    }
    .to_owned();
    let gated = |c: &Value| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated";
    if list(status, "conditions").iter().any(gated) {
        "SchedulingGated".clone_into(&mut reason);
    }
    let (waiting, mut tally, sidecars) = init_state(pod);
    let initializing = waiting.is_some();
    reason = waiting.unwrap_or(reason);
    if !initializing || has_condition(pod, "Initialized") {
        tally = Tally { ready: tally.ready, ..sidecars };
        reason = running_state(pod, reason, &mut tally);
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        if text(status, "reason") == "NodeLost" {
            "Unknown".clone_into(&mut reason);
        } else if !matches!(phase, "Failed" | "Succeeded") {
            "Terminating".clone_into(&mut reason);
        }
    }
    (reason, tally)
}

/// What initialisation waits for, if it does; all restarts so far; those of sidecars alone.
fn init_state(pod: &Value) -> (Option<String>, Tally, Tally) {
    let (mut all, mut sidecars) = (Tally::default(), Tally::default());
    let containers = list(&pod["spec"], "initContainers");
    for (i, status) in list(&pod["status"], "initContainerStatuses").iter().enumerate() {
        let sidecar = is_sidecar(containers.iter().find(|container| container["name"] == status["name"]));
        all.restarted(status);
        if sidecar {
            sidecars.restarted(status);
        }
        let terminated = &status["state"]["terminated"];
        if !terminated.is_null() && terminated["exitCode"].as_i64().unwrap_or(0) == 0 {
            continue;
        }
        if sidecar && status["started"] == true {
            all.ready += usize::from(status["ready"] == true);
            continue;
        }
        let waiting = text(&status["state"]["waiting"], "reason");
        let reason = if !terminated.is_null() {
            format!("Init:{}", ended(terminated))
        } else if !matches!(waiting, "" | "PodInitializing") {
            format!("Init:{waiting}")
        } else {
            format!("Init:{i}/{}", containers.len())
        };
        return (Some(reason), all, sidecars);
    }
    (None, all, sidecars)
}

/// Reason, signal or exit code of an ended container.
fn ended(terminated: &Value) -> String {
    match (text(terminated, "reason"), terminated["signal"].as_i64().unwrap_or(0)) {
        ("", 0) => format!("ExitCode:{}", terminated["exitCode"].as_i64().unwrap_or(0)),
        ("", signal) => format!("Signal:{signal}"),
        (reason, _) => reason.to_owned(),
    }
}

fn running_state(pod: &Value, mut reason: String, tally: &mut Tally) -> String {
    let (mut running, mut failure) = (false, None);
    for status in list(&pod["status"], "containerStatuses").iter().rev() {
        tally.restarted(status);
        let state = &status["state"];
        let (waiting, terminated) = (text(&state["waiting"], "reason"), &state["terminated"]);
        if !waiting.is_empty() {
            waiting.clone_into(&mut reason);
        } else if !terminated.is_null() {
            reason = ended(terminated);
            if terminated["exitCode"].as_i64().unwrap_or(0) != 0 {
                failure = Some(reason.clone());
            }
        } else if status["ready"] == true && !state["running"].is_null() {
            running = true;
            tally.ready += 1;
        }
    }
    match (reason.as_str(), running, failure) {
        ("Completed", true, _) if has_condition(pod, "Ready") => "Running".to_owned(),
        ("Completed", _, Some(failure)) => failure,
        ("Completed", true, None) => "NotReady".to_owned(),
        _ => reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn cells(spec: &Value, status: &Value) -> (String, String, String) {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let pod = json!({"metadata": {"name": "p", "creationTimestamp": "2026-01-01T00:00:00Z"},
            "spec": spec, "status": status});
        let row = row(&pod, now);
        let text = |i: usize| row[i].as_str().unwrap().to_owned();
        (text(1), text(2), text(3))
    }

    #[allow(clippy::needless_pass_by_value, reason = "cases are written in place")]
    fn check(spec: Value, status: Value, ready: &str, reason: &str, restarts: &str) {
        assert_eq!(cells(&spec, &status), (ready.to_owned(), reason.to_owned(), restarts.to_owned()));
    }

    #[test]
    fn states_of_one_container() {
        let spec = json!({"containers": [{"name": "c"}]});
        let with = |status: Value| json!({"phase": "Running", "containerStatuses": [status]});
        check(spec.clone(), json!({"phase": "Pending"}), "0/1", "Pending", "0");
        check(
            spec.clone(),
            with(json!({"name": "c", "ready": true, "restartCount": 0, "state": {"running": {}}})),
            "1/1",
            "Running",
            "0",
        );
        check(
            spec.clone(),
            with(json!({"name": "c", "ready": false, "restartCount": 3,
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-01T00:55:00Z"}},
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}})),
            "0/1",
            "CrashLoopBackOff",
            "3 (5m ago)",
        );
        check(
            spec.clone(),
            with(json!({"name": "c", "state": {"terminated": {"exitCode": 137, "signal": 9}}})),
            "0/1",
            "Signal:9",
            "0",
        );
        check(
            spec,
            with(json!({"name": "c", "state": {"terminated": {"exitCode": 2}}})),
            "0/1",
            "ExitCode:2",
            "0",
        );
    }

    #[test]
    fn states_of_initialisation() {
        let spec = json!({"containers": [{"name": "c"}], "initContainers": [
            {"name": "a"}, {"name": "s", "restartPolicy": "Always"}]});
        let with = |list: Value| json!({"phase": "Pending", "initContainerStatuses": list});
        check(spec.clone(), with(json!([{"name": "a", "state": {"running": {}}}])), "0/2", "Init:0/2", "0");
        check(
            spec.clone(),
            with(json!([{"name": "a", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}])),
            "0/2",
            "Init:Error",
            "0",
        );
        check(
            spec.clone(),
            with(json!([{"name": "a", "state": {"terminated": {"exitCode": 0}}},
                {"name": "s", "started": true, "ready": true, "state": {"running": {}}}])),
            "1/2",
            "Pending",
            "0",
        );
        check(
            spec,
            with(json!([{"name": "a", "state": {"waiting": {"reason": "ImagePullBackOff"}}}])),
            "0/2",
            "Init:ImagePullBackOff",
            "0",
        );
    }

    #[test]
    fn several_containers_and_deletion() {
        let spec = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        let done = json!({"name": "a", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}});
        let up = json!({"name": "b", "ready": true, "state": {"running": {}}});
        let status = json!({"phase": "Running", "containerStatuses": [done, up]});
        check(spec.clone(), status.clone(), "1/2", "NotReady", "0");
        let mut ready = status;
        ready["conditions"] = json!([{"type": "Ready", "status": "True"}]);
        check(spec, ready, "1/2", "Running", "0");
        let pod = json!({"metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"phase": "Running"}});
        assert_eq!(row(&pod, Timestamp::UNIX_EPOCH)[2], "Terminating");
    }
}
