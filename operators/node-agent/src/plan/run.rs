//! A pod that runs: ground, sandbox, then containers.

use super::{
    Kill, Plan, Situation, Step, after, containers,
    containers::Spec,
    end, init,
    memory::{Ground, Job},
    resize,
    restart::{self, Restart},
    start,
};
use crate::{
    build::{self, labels},
    observe::Probed,
};
use jiff::Timestamp;
use proa_runtime_shim::{ContainerState, ContainerStatus, Sandbox, SandboxState};
use std::collections::BTreeMap;

/// Plans a pod that shall run.
pub(super) fn plan(s: &Situation<'_>, plan: &mut Plan) {
    if let Some(deadline) = end::deadline(s) {
        plan.wake_at(deadline);
    }
    let is_ground_ready = ground(s, plan);
    match sandbox(s) {
        Sandboxed::Ready => {
            containers(s, plan, is_ground_ready);
            dead(s, plan);
        }
        Sandboxed::Wanted { attempt, replaces } => replace(s, plan, attempt, replaces, is_ground_ready),
    }
}

/// Sees to volumes and cgroup; whether they are there.
fn ground(s: &Situation<'_>, plan: &mut Plan) -> bool {
    match &s.memory.ground {
        Ground::Ready => return true,
        Ground::Failed(failure) if s.now < failure.retry => plan.wake_at(failure.retry),
        // Both write the pod's cgroup.
        _ if s.memory.is_busy(&Job::Resize) => {}
        Ground::Unknown | Ground::Failed(_) | Ground::Released | Ground::ReleaseFailed(_) => {
            plan.steps.push(Step::Prepare);
        }
    }
    false
}

/// How the pod's sandbox is.
enum Sandboxed {
    Ready,
    Wanted { attempt: u32, replaces: bool },
}

fn sandbox(s: &Situation<'_>) -> Sandboxed {
    let sandboxes = &s.observed.sandboxes;
    let Some(newest) = sandboxes.first() else { return Sandboxed::Wanted { attempt: 0, replaces: false } };
    let is_ready = |sandbox: &Sandbox| sandbox.state == SandboxState::Ready;
    let is_single = sandboxes.iter().filter(|sandbox| is_ready(sandbox)).count() == 1;
    let on_node = containers::spec(s.pod).host_network.unwrap_or(false);
    if is_single && is_ready(newest) && (on_node || !newest.addresses.is_empty()) {
        Sandboxed::Ready
    } else {
        Sandboxed::Wanted { attempt: newest.attempt + 1, replaces: true }
    }
}

/// Stops what there is, then makes a sandbox.
fn replace(s: &Situation<'_>, plan: &mut Plan, attempt: u32, replaces: bool, is_ground_ready: bool) {
    plan.replaces_sandbox = replaces;
    let deadline = after(s.now, containers::spec(s.pod).termination_grace_period_seconds.unwrap_or(30));
    plan.kills.extend(s.alive().filter_map(|status| {
        kill(s, status, deadline, format!("Stopping container {}", status.container.name))
    }));
    let ready = s.observed.sandboxes.iter().filter(|sandbox| sandbox.state == SandboxState::Ready);
    let ready: Vec<_> = ready.map(|sandbox| Step::StopSandbox { id: sandbox.id.clone() }).collect();
    if s.alive().next().is_some() || s.memory.is_making() {
        return;
    }
    if !ready.is_empty() {
        plan.steps.extend(ready);
        return;
    }
    if !is_ground_ready {
        return;
    }
    match &s.memory.sandbox {
        Some(failure) if s.now < failure.retry => plan.wake_at(failure.retry),
        _ => plan.steps.push(Step::Sandbox { attempt }),
    }
    start::images(s, plan, first(s));
}

/// What a new sandbox starts with.
fn first<'a>(s: &Situation<'a>) -> Vec<Spec<'a>> {
    match containers::init(s.pod).next() {
        Some(init) => vec![init],
        None => containers::apps(s.pod).filter(|app| s.is_wanted(*app)).collect(),
    }
}

/// Starts and stops containers.
fn containers(s: &Situation<'_>, plan: &mut Plan, is_ground_ready: bool) {
    hooks(s, plan);
    if all_again(s, plan) {
        return;
    }
    let mut starts: Vec<Spec<'_>> = containers::ephemeral(s.pod).filter(|c| s.is_wanted(*c)).collect();
    let (is_initialized, wanted) = init::plan(s, plan);
    starts.extend(wanted);
    if is_initialized {
        for app in containers::apps(s.pod) {
            match s.latest(app.name()) {
                Some(status) if super::is_alive(status) => check(s, plan, app, status),
                _ if s.is_wanted(app) => starts.push(app),
                _ => {}
            }
        }
    }
    let must_wait = resize::plan(s, plan);
    starts.retain(|container| !plan.kills.iter().any(|kill| kill.container == container.name()));
    start::plan(s, plan, &starts, is_ground_ready && !must_wait);
}

/// Runs post-start hooks, and stops the containers whose hook failed.
fn hooks(s: &Situation<'_>, plan: &mut Plan) {
    for status in s.alive() {
        let (id, name) = (&status.container.id, &status.container.name);
        match s.memory.post_starts.get(id) {
            Some(super::memory::Hook::Wanted) => {
                plan.steps.push(Step::PostStart { container: name.clone(), id: id.clone() });
            }
            Some(super::memory::Hook::Failed(_)) => {
                plan.kills.extend(kill(s, status, grace(s, None), "FailedPostStartHook".to_owned()));
            }
            None => {}
        }
    }
}

/// Stops a running container that must not go on.
pub(super) fn check(s: &Situation<'_>, plan: &mut Plan, container: Spec<'_>, status: &ContainerStatus) {
    let name = container.name();
    let noun = if matches!(container, Spec::Init(_)) { "Init container" } else { "Container" };
    let Probed { startup_failed, liveness_failed, .. } = s.probed(&status.container.id);
    let (why, own_grace, again) = if status.container.state == ContainerState::Unknown {
        let text = format!("{noun} is in \"unknown\" state, try killing it before restart");
        plan.kills.extend(kill(s, status, grace(s, None), text));
        return;
    } else if has_changed(container, status) {
        (format!("Container {name} definition changed"), None, true)
    } else if liveness_failed {
        let probe = container.liveness_probe();
        (format!("{noun} {name} failed liveness probe"), probe, restart::may_restart(s.pod, container))
    } else if startup_failed {
        let probe = container.startup_probe();
        (format!("{noun} {name} failed startup probe"), probe, restart::may_restart(s.pod, container))
    } else {
        return;
    };
    let own_grace = own_grace.and_then(|probe| probe.termination_grace_period_seconds);
    let is_app = !matches!(container, Spec::Init(_));
    let message = if again && is_app { format!("{why}, will be restarted") } else { why };
    plan.kills.extend(kill(s, status, grace(s, own_grace), message));
}

/// Stops a running container because it is to be started anew.
pub(super) fn restart(s: &Situation<'_>, plan: &mut Plan, status: &ContainerStatus, message: String) {
    plan.kills.extend(kill(s, status, grace(s, None), message));
}

/// Whether the container was made from another definition.
fn has_changed(container: Spec<'_>, status: &ContainerStatus) -> bool {
    let (Spec::Init(own) | Spec::App(own)) = container else { return false };
    let made_from = status.container.annotations.get(labels::CONTAINER_HASH);
    made_from.is_some_and(|hash| *hash != build::containers::hash(own))
}

/// When a container that is stopped now is killed.
fn grace(s: &Situation<'_>, own: Option<i64>) -> Timestamp {
    after(s.now, own.or(containers::spec(s.pod).termination_grace_period_seconds).unwrap_or(30))
}

/// Tells a container to stop, unless it was told.
fn kill(s: &Situation<'_>, status: &ContainerStatus, deadline: Timestamp, message: String) -> Option<Kill> {
    if s.memory.stopping.contains_key(&status.container.id) {
        return None;
    }
    let container = status.container.name.clone();
    Some(Kill { container, id: status.container.id.clone(), deadline, message })
}

/// A container asked for the whole pod to start again: all are stopped, then all are removed. Whether it is so.
fn all_again(s: &Situation<'_>, plan: &mut Plan) -> bool {
    let asked = containers::init(s.pod).chain(containers::apps(s.pod)).any(|c| {
        s.latest(c.name()).is_some_and(|status| {
            status.container.state == ContainerState::Exited
                && restart::after_exit(s.pod, c, status.exit_code) == Restart::Pod
        })
    });
    if !asked {
        return false;
    }
    let text = "Stopping container because RestartAllContainers is triggered";
    plan.kills.extend(s.alive().filter_map(|status| kill(s, status, grace(s, None), text.to_owned())));
    if s.alive().next().is_none() && !s.memory.is_making() {
        let all = s.observed.containers.iter();
        plan.steps.extend(all.map(|status| Step::RemoveContainer { id: status.container.id.clone() }));
    }
    true
}

/// Removes dead containers but the newest two of each name, and dead sandboxes that hold none.
fn dead(s: &Situation<'_>, plan: &mut Plan) {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut kept = Vec::new();
    for status in &s.observed.containers {
        let count = seen.entry(&status.container.name).or_default();
        *count += 1;
        let is_busy = s.memory.is_busy(&Job::Start(status.container.name.clone()));
        if *count > 2 && !super::is_alive(status) && !is_busy {
            plan.steps.push(Step::RemoveContainer { id: status.container.id.clone() });
        } else {
            kept.push(status.container.sandbox.as_str());
        }
    }
    for sandbox in s.observed.sandboxes.iter().skip(1) {
        if sandbox.state == SandboxState::NotReady && !kept.contains(&sandbox.id.as_str()) {
            plan.steps.push(Step::RemoveSandbox { id: sandbox.id.clone() });
        }
    }
}
