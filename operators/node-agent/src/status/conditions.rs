//! A pod's conditions. Upstream: pkg/kubelet/status/generate.go.

use super::{find, is_ended, seconds};
use crate::plan::{
    Plan, Situation,
    containers::{self, Role, Spec},
    memory::Ground,
    resize,
};
use k8s_openapi::{
    api::core::v1::{ContainerStatus, PodCondition, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use proa_runtime_shim::SandboxState;

/// Conditions that the node owns, in the order it writes them.
const OWN: [&str; 5] =
    ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"];
/// Conditions about a change of resources, there only while there is one.
const RESIZE: [&str; 2] = ["PodResizePending", "PodResizeInProgress"];
/// The condition that says why a pod is disrupted.
const DISRUPTION: &str = "DisruptionTarget";

/// What a condition says.
struct Said<'a> {
    is_true: bool,
    reason: &'a str,
    message: String,
}

impl<'a> Said<'a> {
    fn yes() -> Self {
        Self { is_true: true, reason: "", message: String::new() }
    }
    fn no(reason: &'a str, message: impl Into<String>) -> Self {
        Self { is_true: false, reason, message: message.into() }
    }
}

/// All conditions: those of others as they are, then the node's own.
pub(super) fn of(s: &Situation<'_>, plan: &Plan, old: &PodStatus, new: &PodStatus) -> Vec<PodCondition> {
    let is_own = |condition: &&PodCondition| {
        OWN.contains(&condition.type_.as_str()) || RESIZE.contains(&condition.type_.as_str())
    };
    let mut all: Vec<PodCondition> =
        old.conditions.iter().flatten().filter(|condition| !is_own(condition)).cloned().collect();
    if plan.end.as_ref().is_some_and(|end| end.disruption) {
        all.retain(|condition| condition.type_ != DISRUPTION);
        let message =
            plan.end.as_ref().and_then(|end| end.failed.as_ref()).map(|(_, message)| message.clone());
        let said =
            Said { is_true: true, reason: "TerminationByKubelet", message: message.unwrap_or_default() };
        all.push(condition(s, old, DISRUPTION, said));
    }
    if plan.end.is_none() {
        resizing(s, old, &mut all);
    }
    let ready_containers = containers_ready(s, new);
    let ready = if ready_containers.is_true { gates(s, &all) } else { containers_ready(s, new) };
    for (kind, said) in
        OWN.into_iter().zip([ready_to_start(s), initialized(s, new), ready, ready_containers, Said::yes()])
    {
        all.push(condition(s, old, kind, said));
    }
    all
}

/// How a change of resources stands.
fn resizing(s: &Situation<'_>, old: &PodStatus, all: &mut Vec<PodCondition>) {
    if let Some(why) = &s.memory.no_room {
        let said = Said { is_true: true, reason: &why.reason, message: why.message.clone() };
        all.push(condition(s, old, RESIZE[0], said));
    }
    if resize::is_applying(s) {
        let said = match &s.memory.resize_error {
            Some(message) => Said { is_true: true, reason: "Error", message: message.clone() },
            None => Said::yes(),
        };
        all.push(condition(s, old, RESIZE[1], said));
    }
}

fn condition(s: &Situation<'_>, old: &PodStatus, kind: &str, said: Said<'_>) -> PodCondition {
    let status = if said.is_true { "True" } else { "False" };
    let before = old.conditions.iter().flatten().find(|c| c.type_ == kind && c.status == status);
    let since: Option<Time> = before.and_then(|before| before.last_transition_time.clone());
    let text = |text: String| (!text.is_empty()).then_some(text);
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: text(said.reason.to_owned()),
        message: text(said.message),
        last_transition_time: Some(since.unwrap_or_else(|| seconds(s.now))),
        last_probe_time: None,
        observed_generation: s.pod.metadata.generation,
    }
}

/// Whether volumes, sandbox and network are there.
fn ready_to_start(s: &Situation<'_>) -> Said<'static> {
    let sandbox = s.observed.sandboxes.first().is_some_and(|sandbox| sandbox.state == SandboxState::Ready);
    let has_ground = matches!(s.memory.ground, Ground::Ready) || !s.observed.containers.is_empty();
    if sandbox && has_ground { Said::yes() } else { Said::no("", "") }
}

fn containers_ready(s: &Situation<'_>, new: &PodStatus) -> Said<'static> {
    match new.phase.as_deref() {
        Some("Failed") => return Said::no("PodFailed", ""),
        Some("Succeeded") => return Said::no("PodCompleted", ""),
        _ => {}
    }
    let sidecars = containers::init(s.pod).filter(|init| init.role() == Role::Sidecar);
    let all = sidecars.chain(containers::apps(s.pod));
    let (unknown, unready) = wanting(new, all, |_, status| status.ready);
    match lists(&[("unknown", unknown), ("unready", unready)]) {
        None => Said::yes(),
        Some(message) => Said::no("ContainersNotReady", message),
    }
}

/// Readiness gates, once the containers are ready.
fn gates(s: &Situation<'_>, others: &[PodCondition]) -> Said<'static> {
    let gates = containers::spec(s.pod).readiness_gates.iter().flatten();
    let unmet: Vec<String> = gates
        .filter_map(|gate| {
            let kind = &gate.condition_type;
            match others.iter().find(|condition| condition.type_ == *kind) {
                None => {
                    Some(format!("corresponding condition of pod readiness gate \"{kind}\" does not exist."))
                }
                Some(condition) if condition.status != "True" => Some(format!(
                    "the status of pod readiness gate \"{kind}\" is not \"True\", but {}",
                    condition.status
                )),
                Some(_) => None,
            }
        })
        .collect();
    if unmet.is_empty() { Said::yes() } else { Said::no("ReadinessGatesNotReady", unmet.join(", ")) }
}

fn initialized(s: &Situation<'_>, new: &PodStatus) -> Said<'static> {
    let (unknown, incomplete) = wanting(new, containers::init(s.pod), |init, status| match init.role() {
        Role::Sidecar => status.started == Some(true),
        _ => status.ready,
    });
    if new.phase.as_deref() == Some("Succeeded") && unknown.is_empty() {
        return Said { is_true: true, reason: "PodCompleted", message: String::new() };
    }
    let has_started = |app: Spec<'_>| {
        find(new, app.name()).is_some_and(|status| {
            let ran = status.state.as_ref().is_some_and(|s| s.running.is_some() || s.terminated.is_some());
            ran || status.last_state.as_ref().is_some_and(|last| last.terminated.is_some())
        })
    };
    let rejected = s.memory.verdict.is_some() && new.phase.as_deref().is_some_and(is_ended);
    if !rejected && containers::apps(s.pod).any(has_started) {
        return Said::yes();
    }
    match lists(&[("unknown", unknown), ("incomplete", incomplete)]) {
        None => Said::yes(),
        Some(message) => Said::no("ContainersNotInitialized", message),
    }
}

/// Names without a status, and names whose status is not as it should be.
fn wanting<'a>(
    new: &PodStatus,
    all: impl Iterator<Item = Spec<'a>>,
    is_met: impl Fn(Spec<'_>, &ContainerStatus) -> bool,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut unknown, mut unmet) = (Vec::new(), Vec::new());
    for container in all {
        match find(new, container.name()) {
            None => unknown.push(container.name()),
            Some(status) if !is_met(container, status) => unmet.push(container.name()),
            Some(_) => {}
        }
    }
    (unknown, unmet)
}

fn lists(of: &[(&str, Vec<&str>)]) -> Option<String> {
    let texts: Vec<String> = of
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("containers with {what} status: [{}]", names.join(" ")))
        .collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}
