//! The statuses of a pod's containers. Upstream: pkg/kubelet/kubelet_pods.go (convertToAPIContainerStatuses),
//! pkg/kubelet/prober (UpdatePodStatus).

use super::{Basis, find, seconds};
use crate::plan::{
    Plan, Situation,
    containers::{self, Role, Spec},
    memory::Job,
};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    PodStatus, VolumeMountStatus,
};
use proa_runtime_shim::{ContainerState as State, ContainerStatus as Found};

/// Bytes of termination messages in one pod's status.
const MOST_MESSAGES: usize = 12 * 1024;
/// Reason of containers nobody knows anything about any more.
const UNKNOWN: &str = "ContainerStatusUnknown";

/// Which list of the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Init,
    Apps,
    Ephemeral,
}

/// The statuses of one list, in the order of the spec; ephemeral and app containers by name, as upstream sorts them.
pub(super) fn of(
    s: &Situation<'_>,
    plan: &Plan,
    basis: Basis<'_>,
    list: List,
) -> Option<Vec<ContainerStatus>> {
    let specs: Vec<Spec<'_>> = match list {
        List::Init => containers::init(s.pod).collect(),
        List::Apps => containers::apps(s.pod).collect(),
        List::Ephemeral => containers::ephemeral(s.pod).collect(),
    };
    let mut statuses: Vec<_> = specs.into_iter().map(|spec| one(s, plan, basis, spec)).collect();
    if list != List::Init {
        statuses.sort_by(|a, b| a.name.cmp(&b.name));
    }
    (!statuses.is_empty()).then_some(statuses)
}

fn one(s: &Situation<'_>, plan: &Plan, basis: Basis<'_>, spec: Spec<'_>) -> ContainerStatus {
    let old = find(basis.old, spec.name());
    // One whose post-start hook still runs is not shown as running yet.
    let is_hidden = |found: &&Found| {
        found.container.state == State::Running
            && spec.post_start().is_some()
            && s.memory.is_starting(spec.name(), &found.container.id)
            && !s.memory.stopping.contains_key(&found.container.id)
    };
    let found: Vec<&Found> = s.observed.of(spec.name()).filter(|found| !is_hidden(found)).take(2).collect();
    let mut status = match found.first() {
        None => absent(s, spec, old),
        Some(newest) => present(s, basis, spec, newest, old),
    };
    if let Some(previous) = found.get(1) {
        status.last_state = Some(state(s, basis, previous, old));
    }
    infer_initialized(s, spec, found.is_empty(), &mut status);
    wait(s, plan, spec, &mut status);
    set_started_and_ready(s, spec, &mut status);
    status
}

/// What a container waits for that was never started.
fn creating(s: &Situation<'_>) -> ContainerState {
    waiting(if containers::init(s.pod).len() > 0 { "PodInitializing" } else { "ContainerCreating" }, "")
}

fn blank(s: &Situation<'_>, spec: Spec<'_>) -> ContainerStatus {
    ContainerStatus {
        name: spec.name().to_owned(),
        image: spec.image().to_owned(),
        state: Some(creating(s)),
        last_state: Some(ContainerState::default()),
        volume_mounts: volume_mounts(spec),
        ..ContainerStatus::default()
    }
}

/// A container that the runtime does not have.
fn absent(s: &Situation<'_>, spec: Spec<'_>, old: Option<&ContainerStatus>) -> ContainerStatus {
    let mut status = blank(s, spec);
    let Some(old) = old else { return status };
    let old_state = old.state.clone().unwrap_or_default();
    if old_state.terminated.is_some() {
        return old.clone();
    }
    status.restart_count = old.restart_count;
    status.last_state = Some(old.last_state.clone().unwrap_or_default());
    let has_last = old.last_state.as_ref().is_some_and(|last| last.terminated.is_some());
    if old_state.running.is_some() && !has_last {
        // It ran, so its pod must not look as if it had never started.
        let message = "The container could not be located when the pod was deleted.  \
                       The container used to be Running";
        status.last_state = Some(terminated(unlocated(message)));
        status.restart_count += i32::from(!s.is_deleting());
    }
    status
}

/// A container that the runtime has.
fn present(
    s: &Situation<'_>,
    basis: Basis<'_>,
    spec: Spec<'_>,
    found: &Found,
    old: Option<&ContainerStatus>,
) -> ContainerStatus {
    // A running container may have been given other resources than its spec says by now.
    let given = s.memory.given.get(&found.container.id).or(spec.resources()).cloned();
    let mut status = ContainerStatus {
        name: spec.name().to_owned(),
        image: found.image_name.clone(),
        image_id: found.image_reference.clone(),
        container_id: Some(id(basis, found)),
        restart_count: i32::try_from(found.container.attempt).unwrap_or(i32::MAX),
        state: Some(state(s, basis, found, old)),
        last_state: Some(ContainerState::default()),
        volume_mounts: volume_mounts(spec),
        resources: given,
        allocated_resources: spec.resources().and_then(|own| own.requests.clone()),
        ..ContainerStatus::default()
    };
    let Some(old) = old else { return status };
    // Records may have been removed; the count and the last end go on from what was written.
    status.restart_count = status.restart_count.max(old.restart_count);
    let old_end = old.state.as_ref().and_then(|state| state.terminated.clone());
    let is_other = old.container_id != status.container_id;
    status.last_state = match old_end {
        Some(ended) if is_other && old.container_id.is_some() => Some(terminated(ended)),
        _ => Some(old.last_state.clone().unwrap_or_default()),
    };
    status
}

fn state(
    s: &Situation<'_>,
    basis: Basis<'_>,
    found: &Found,
    old: Option<&ContainerStatus>,
) -> ContainerState {
    match found.container.state {
        State::Running => ContainerState {
            running: Some(ContainerStateRunning { started_at: found.started.map(seconds) }),
            ..ContainerState::default()
        },
        State::Exited => terminated(ContainerStateTerminated {
            exit_code: found.exit_code,
            reason: text(&found.reason),
            message: text(bounded(s, &found.message)).or_else(|| said(&id(basis, found), old)),
            started_at: found.started.map(seconds),
            finished_at: found.finished.map(seconds),
            container_id: Some(id(basis, found)),
            signal: None,
        }),
        // Upstream gives no reason, and rarely writes a status at this moment; here one tells of each step.
        State::Created if found.container.attempt == 0 => creating(s),
        State::Created | State::Unknown => waiting("", ""),
    }
}

/// What a container left to say, as it was written before: the file it is in goes with the pod's volumes.
fn said(id: &str, old: Option<&ContainerStatus>) -> Option<String> {
    let states = old.into_iter().flat_map(|old| [&old.state, &old.last_state]);
    let ended = states.flatten().filter_map(|state| state.terminated.as_ref());
    ended.filter(|ended| ended.container_id.as_deref() == Some(id)).find_map(|ended| ended.message.clone())
}

/// Each container's share of the room for messages.
fn bounded<'a>(s: &Situation<'_>, message: &'a str) -> &'a str {
    let count = containers::init(s.pod).len() + containers::apps(s.pod).len();
    let most = MOST_MESSAGES / count.max(1);
    message.get(..message.floor_char_boundary(most.min(message.len()))).unwrap_or(message)
}

/// An init container whose record is gone must have succeeded if an app container was created after it.
fn infer_initialized(s: &Situation<'_>, spec: Spec<'_>, is_absent: bool, status: &mut ContainerStatus) {
    let waits = status.state.as_ref().is_some_and(|state| state.waiting.is_some());
    if spec.role() == Role::Init && is_absent && waits && s.has_initialized() {
        let message = "Unable to get init container status from container runtime and pod has been initialized, \
                       treat it as exited normally";
        status.state = Some(terminated(ContainerStateTerminated {
            reason: text("Completed"),
            message: text(message),
            ..ContainerStateTerminated::default()
        }));
    }
}

/// A container that is to be started but cannot be yet shows why.
fn wait(s: &Situation<'_>, plan: &Plan, spec: Spec<'_>, status: &mut ContainerStatus) {
    let Some(why) = plan.waiting.get(spec.name()) else { return };
    if !s.is_wanted(spec) || s.memory.is_busy(&Job::Start(spec.name().to_owned())) {
        return;
    }
    if let Some(ended) = status.state.take().and_then(|state| state.terminated) {
        status.last_state = Some(terminated(ended));
    }
    status.state = Some(waiting(&why.reason, &why.message));
}

fn set_started_and_ready(s: &Situation<'_>, spec: Spec<'_>, status: &mut ContainerStatus) {
    let state = status.state.clone().unwrap_or_default();
    let id = status.container_id.as_deref().and_then(|id| id.split_once("://")).map_or("", |(_, id)| id);
    let probed = s.probes.get(id).copied().unwrap_or_default();
    let is_running = state.running.is_some();
    let started = is_running && (spec.startup_probe().is_none() || probed.started);
    status.started = Some(started);
    status.ready = match spec.role() {
        Role::Init => state.terminated.is_some_and(|ended| ended.exit_code == 0),
        Role::Ephemeral => false,
        Role::App | Role::Sidecar => started && (spec.readiness_probe().is_none() || probed.ready),
    };
    if spec.role() == Role::Init {
        status.started = Some(is_running);
    }
    if spec.role() == Role::Ephemeral {
        status.started = None;
    }
}

/// Everything stopped: containers that ran and left no trace count as failed, none is ready any more.
pub(super) fn settle(s: &Situation<'_>, status: &mut PodStatus) {
    let ran = |status: &ContainerStatus| {
        let state = status.state.as_ref();
        state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
            || status.last_state.as_ref().is_some_and(|last| last.terminated.is_some())
    };
    let mut apps = status.container_statuses.iter().flatten();
    let has_initialized = containers::init(s.pod).len() == 0 && s.memory.verdict.is_none() || apps.any(ran);
    let inits = status.init_container_statuses.as_deref().unwrap_or_default();
    let last_ran = inits.iter().rposition(ran);
    let inits = status.init_container_statuses.iter_mut().flatten().take(last_ran.map_or(0, |at| at + 1));
    let apps = status.container_statuses.iter_mut().flatten().filter(|_| has_initialized);
    for status in inits.chain(apps) {
        if status.state.as_ref().is_none_or(|state| state.terminated.is_none()) {
            let message = "The container could not be located when the pod was terminated";
            status.state = Some(terminated(unlocated(message)));
        }
    }
    for status in status.container_statuses.iter_mut().flatten() {
        (status.ready, status.started) = (false, Some(false));
    }
}

fn unlocated(message: &str) -> ContainerStateTerminated {
    ContainerStateTerminated {
        exit_code: 137,
        reason: text(UNKNOWN),
        message: text(message),
        ..ContainerStateTerminated::default()
    }
}

fn terminated(ended: ContainerStateTerminated) -> ContainerState {
    ContainerState { terminated: Some(ended), ..ContainerState::default() }
}

fn waiting(reason: &str, message: &str) -> ContainerState {
    let waiting = ContainerStateWaiting { reason: text(reason), message: text(message) };
    ContainerState { waiting: Some(waiting), ..ContainerState::default() }
}

fn text(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn id(basis: Basis<'_>, found: &Found) -> String {
    format!("{}://{}", basis.runtime, found.container.id)
}

fn volume_mounts(spec: Spec<'_>) -> Option<Vec<VolumeMountStatus>> {
    let mounts: Vec<_> = spec
        .volume_mounts()
        .iter()
        .map(|mount| VolumeMountStatus {
            name: mount.name.clone(),
            mount_path: mount.mount_path.clone(),
            read_only: mount.read_only.filter(|read_only| *read_only),
            recursive_read_only: (mount.read_only == Some(true)).then(|| "Disabled".to_owned()),
            volume_status: None,
        })
        .collect();
    (!mounts.is_empty()).then_some(mounts)
}
