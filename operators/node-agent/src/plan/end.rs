//! Pods that end: why, and how everything of them is stopped and taken away.
//!
//! Order: containers (sidecars last), sandboxes, volumes and cgroup; then, for a pod that was deleted, the API object,
//! but only after the API has seen its last phase. Dead containers stay for their logs until the object is gone.
//! Upstream: pkg/kubelet/pod_workers.go (terminating, terminated), pkg/kubelet/status (canBeDeleted).

use super::{
    Kill, Plan, Situation, Step, after, containers,
    containers::Role,
    is_alive,
    memory::{Ground, Verdict},
    restart,
};
use jiff::Timestamp;
use proa_runtime_shim::{ContainerState, SandboxState};
use serde::Serialize;

/// Grace of pods whose spec does not say.
const DEFAULT_GRACE: i64 = 30;

/// That and how a pod ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct End {
    /// Seconds that its containers get.
    pub(crate) grace: i64,
    /// Phase `Failed` for this reason, whatever its containers say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed: Option<(String, String)>,
    /// The node disrupts it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) disruption: bool,
}

/// Whether the pod ends.
pub(crate) fn of(s: &Situation<'_>) -> Option<End> {
    let grace = spec_grace(s);
    let end = End { grace, failed: None, disruption: false };
    let verdict = s.memory.verdict.as_ref();
    if s.is_deleting() {
        let asked = s.pod.metadata.deletion_grace_period_seconds.unwrap_or(grace).max(1);
        let failed = verdict.map(|verdict| (verdict.reason.clone(), verdict.message.clone()));
        let asked = verdict.and_then(|verdict| verdict.grace).map_or(asked, |grace| grace.min(asked));
        return Some(End { grace: asked, failed, ..end });
    }
    if s.is_reported_ended() {
        return Some(end);
    }
    if let Some(Verdict { reason, message, grace: own, disruption }) = verdict {
        let failed = Some((reason.clone(), message.clone()));
        return Some(End { grace: own.unwrap_or(grace), failed, disruption: *disruption });
    }
    if deadline(s).is_some_and(|deadline| deadline <= s.now) {
        let message = "Pod was active on the node longer than the specified deadline";
        return Some(End { failed: Some(("DeadlineExceeded".to_owned(), message.to_owned())), ..end });
    }
    (is_done(s) || cannot_go_on(s)).then_some(end)
}

/// When the pod has been active for too long.
pub(super) fn deadline(s: &Situation<'_>) -> Option<Timestamp> {
    let seconds = containers::spec(s.pod).active_deadline_seconds?;
    let start = s.pod.status.as_ref()?.start_time.as_ref()?;
    Some(after(start.0, seconds))
}

fn spec_grace(s: &Situation<'_>) -> i64 {
    containers::spec(s.pod).termination_grace_period_seconds.unwrap_or(DEFAULT_GRACE)
}

/// Its app containers are done, or an init container failed for good.
fn is_done(s: &Situation<'_>) -> bool {
    let failed_init = containers::init(s.pod).filter(|init| init.role() == Role::Init).any(|init| {
        s.latest(init.name()).is_some_and(|status| {
            status.container.state == ContainerState::Exited
                && status.exit_code != 0
                && !restart::after_exit(s.pod, init, status.exit_code).is_wanted()
        })
    });
    let done = |app: containers::Spec<'_>| {
        s.latest(app.name()).is_some_and(|status| {
            status.container.state == ContainerState::Exited
                && !restart::after_exit(s.pod, app, status.exit_code).is_wanted()
        })
    };
    // A failed init container ends a pod only before its apps ran; afterwards its record may be an old one.
    (failed_init && !s.has_initialized()) || containers::apps(s.pod).all(done)
}

/// Its sandbox is lost, some of its containers ran, and its policy is to run none twice.
fn cannot_go_on(s: &Situation<'_>) -> bool {
    let lost = s.observed.sandboxes.first().is_some_and(|sandbox| sandbox.state == SandboxState::NotReady);
    lost && !s.memory.is_making()
        && s.observed.containers.iter().any(|status| status.container.state == ContainerState::Exited)
        && containers::init(s.pod).chain(containers::apps(s.pod)).all(|c| !restart::may_restart(s.pod, c))
}

/// Ends it.
pub(super) fn plan(s: &Situation<'_>, end: End, plan: &mut Plan) {
    let deadline = deadline_of(s, &end);
    plan.kills = kills(s, deadline);
    plan.end = Some(end);
    let is_quiet = s.alive().next().is_none() && !s.memory.is_making() && !s.memory.is_preparing();
    if !is_quiet {
        return;
    }
    let ready = s.observed.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready);
    plan.steps.extend(ready.map(|sandbox| Step::StopSandbox { id: sandbox.id.clone() }));
    // A sandbox is gone only once its network is: the runtime says so by ending the call.
    plan.is_stopped = plan.steps.is_empty() && !s.memory.is_stopping();
    if plan.is_stopped {
        clear(s, plan);
    }
}

/// When containers are killed.
fn deadline_of(s: &Situation<'_>, end: &End) -> Timestamp {
    match s.memory.ending {
        Some(ending) if ending.grace <= end.grace => after(ending.since, ending.grace),
        _ => after(s.now, end.grace),
    }
}

fn kills(s: &Situation<'_>, deadline: Timestamp) -> Vec<Kill> {
    s.alive()
        .filter(|status| {
            s.memory.stopping.get(&status.container.id).is_none_or(|stopping| stopping.deadline > deadline)
        })
        .map(|status| Kill {
            container: status.container.name.clone(),
            id: status.container.id.clone(),
            deadline,
            message: format!("Stopping container {}", status.container.name),
        })
        .collect()
}

/// Everything stopped: what the node holds for it goes.
fn clear(s: &Situation<'_>, plan: &mut Plan) {
    match &s.memory.ground {
        Ground::Released if s.is_gone => plan.is_over = true,
        Ground::Released if s.is_deleting() && s.is_reported_ended() => plan.steps.push(Step::Delete),
        Ground::Released => {}
        Ground::ReleaseFailed(failure) if s.now < failure.retry => plan.wake_at(failure.retry),
        Ground::Unknown | Ground::Ready | Ground::Failed(_) | Ground::ReleaseFailed(_) => {
            plan.steps.push(Step::Release);
        }
    }
}

/// Whether it is a sidecar's turn to stop: everything that may depend on it has.
pub(super) fn is_turn(s: &Situation<'_>, name: &str) -> bool {
    let later = containers::init(s.pod).rev().take_while(|init| init.name() != name);
    later.chain(containers::apps(s.pod)).all(|c| !s.latest(c.name()).is_some_and(is_alive))
}
