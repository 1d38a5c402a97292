//! Resources changed while a pod runs: applied in place, or by a restart where a container's policy asks for it.
//!
//! Order: the pod's cgroup gets room for what runs and for what comes, containers change, then the cgroup gets what the
//! pod has. What was last given is in the worker's memory; after a restart of the agent it is what status says.
//! Whether the node has room is decided before (`allocation`). Deliberately absent: swap.
//! Upstream: pkg/kubelet/kuberuntime (computePodResizeAction, doPodResizeAction), pkg/kubelet/events/resize.go.

use super::{
    Plan, Situation, Step, allocation,
    containers::{self, Role, Spec},
    memory::Memory,
    run,
};
use crate::{build::resources, observe::Observed};
use k8s_openapi::api::core::v1::{ContainerStatus as Reported, Pod, ResourceRequirements};
use proa_runtime_shim::{ContainerState, ContainerStatus, LinuxResources};
use serde::Serialize;
use serde_json::json;

/// Limits of a pod's cgroup; zero is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limits {
    /// Relative weight.
    cpu_shares: i64,
    /// CPU time per period, microseconds.
    cpu_quota: i64,
    /// Memory, bytes.
    memory: i64,
}

/// A running container whose limits change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Target {
    /// Container.
    pub(crate) container: String,
    /// Its id.
    pub(crate) id: String,
    /// The memory that it must fit into, where that is less than before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) shrinks_to: Option<i64>,
}

impl Limits {
    fn of(pod: &Pod) -> Self {
        let LinuxResources { cpu_shares, cpu_quota, memory_limit, .. } = resources::of_pod(pod);
        Self { cpu_shares, cpu_quota, memory: memory_limit }
    }
    /// Room for both.
    fn or_more(self, other: Self) -> Self {
        let bound = |a: i64, b: i64| if a == 0 || b == 0 { 0 } else { a.max(b) };
        Self {
            cpu_shares: self.cpu_shares.max(other.cpu_shares),
            cpu_quota: bound(self.cpu_quota, other.cpu_quota),
            memory: bound(self.memory, other.memory),
        }
    }
    /// As the kernel is told.
    pub(crate) fn linux(self) -> LinuxResources {
        LinuxResources {
            cpu_shares: self.cpu_shares,
            cpu_quota: self.cpu_quota,
            memory_limit: self.memory,
            ..LinuxResources::default()
        }
    }
}

/// What the pod's cgroup shall have now.
pub(crate) fn limits(pod: &Pod, observed: &Observed, memory: &Memory) -> Limits {
    let wanted = Limits::of(pod);
    let is_changing = changing(pod, observed, memory).next().is_some() || is_pod_changing(pod, memory);
    if is_changing { wanted.or_more(Limits::of(&given(pod, observed, memory))) } else { wanted }
}

/// Whether a change of resources is being applied.
pub(crate) fn is_applying(s: &Situation<'_>) -> bool {
    !s.is_deleting()
        && (changing(s.pod, s.observed, s.memory).next().is_some()
            || is_pod_changing(s.pod, s.memory)
            || is_due(s))
}

/// Whether the pod's cgroup does not have what it shall have.
fn is_due(s: &Situation<'_>) -> bool {
    s.memory.cgroup.is_some_and(|present| present != limits(s.pod, s.observed, s.memory))
}

/// The pod with the resources that it was given.
pub(crate) fn given(pod: &Pod, observed: &Observed, memory: &Memory) -> Pod {
    let own = match &memory.given_pod {
        Some(given) => Some(given).filter(|given| **given != ResourceRequirements::default()),
        None => containers::spec(pod).resources.as_ref(),
    };
    allocation::with(pod, own.cloned(), |container| {
        let status = observed.latest(&container.name)?;
        let given = memory.given.get(&status.container.id)?;
        (status.container.state == ContainerState::Running).then(|| Some(given.clone()))
    })
}

/// Applies what changed. Whether containers that are to start must wait for it.
pub(super) fn plan(s: &Situation<'_>, plan: &mut Plan) -> bool {
    let mut targets: Vec<Target> = Vec::new();
    for (container, status, given) in changing(s.pod, s.observed, s.memory) {
        if s.memory.stopping.contains_key(&status.container.id) {
            continue;
        }
        if needs_restart(container, given) {
            run::restart(s, plan, status, format!("Container {} resize requires restart", container.name()));
        } else {
            targets.push(target(container, status, given));
        }
    }
    let is_pod_changing = is_pod_changing(s.pod, s.memory);
    if is_pod_changing {
        // A container without limits of its own has the pod's.
        let others: Vec<Target> = running(s.pod, s.observed)
            .filter(|(_, status)| {
                let id = &status.container.id;
                !s.memory.stopping.contains_key(id)
                    && !targets.iter().any(|target| target.id == *id)
                    && !plan.kills.iter().any(|kill| kill.id == *id)
            })
            .map(|(container, status)| target(container, status, &ResourceRequirements::default()))
            .collect();
        targets.extend(others);
    }
    let Some(present) = s.memory.cgroup else { return false };
    let limits = limits(s.pod, s.observed, s.memory);
    // Preparing a pod writes its cgroup too.
    let is_preparing = s.memory.is_preparing() || plan.steps.contains(&Step::Prepare);
    if !is_preparing && (present != limits || is_pod_changing || !targets.is_empty()) {
        plan.steps.push(Step::Resize { limits, containers: targets });
    }
    present.or_more(limits) != present
}

fn target(container: Spec<'_>, status: &ContainerStatus, given: &ResourceRequirements) -> Target {
    let limit = |own: Option<&ResourceRequirements>| resources::limit(own, "memory").value();
    let (now, before) = (limit(container.resources()), limit(Some(given)));
    Target {
        container: container.name().to_owned(),
        id: status.container.id.clone(),
        shrinks_to: (now > 0 && now < before).then_some(now),
    }
}

/// Sidecars and app containers that run.
fn running<'a>(
    pod: &'a Pod,
    observed: &'a Observed,
) -> impl Iterator<Item = (Spec<'a>, &'a ContainerStatus)> {
    let sidecars = containers::init(pod).filter(|init| init.role() == Role::Sidecar);
    sidecars.chain(containers::apps(pod)).filter_map(|container| {
        let status = observed.latest(container.name())?;
        (status.container.state == ContainerState::Running).then_some((container, status))
    })
}

/// Running containers whose resources differ, with what they were given.
fn changing<'a>(
    pod: &'a Pod,
    observed: &'a Observed,
    memory: &'a Memory,
) -> impl Iterator<Item = (Spec<'a>, &'a ContainerStatus, &'a ResourceRequirements)> {
    running(pod, observed).filter_map(|(container, status)| {
        let given = memory.given.get(&status.container.id)?;
        allocation::resized(container.resources(), Some(given)).then_some((container, status, given))
    })
}

/// Whether the resources of the pod as a whole differ from what it was given.
fn is_pod_changing(pod: &Pod, memory: &Memory) -> bool {
    let own = containers::spec(pod).resources.as_ref();
    memory.given_pod.as_ref().is_some_and(|given| allocation::resized(own, Some(given)))
}

fn needs_restart(container: Spec<'_>, given: &ResourceRequirements) -> bool {
    container.resize_policies().iter().any(|policy| {
        policy.restart_policy == "RestartContainer"
            && allocation::differs_in(container.resources(), Some(given), &policy.resource_name)
    })
}

/// What a running container was given, as status says.
pub(crate) fn reported(pod: &Pod, id: &str) -> Option<ResourceRequirements> {
    let status = pod.status.as_ref()?;
    let all = [&status.container_statuses, &status.init_container_statuses].into_iter().flatten().flatten();
    let is_it = |reported: &&Reported| reported.container_id.as_deref().is_some_and(|own| own.ends_with(id));
    all.into_iter().find(is_it)?.resources.clone()
}

/// The text of an event about a change of resources.
pub(crate) fn message(what: &str, pod: &Pod, error: &str) -> String {
    let of = |container: Spec<'_>| json!({"name": container.name(), "resources": container.resources()});
    let mut summary = serde_json::Map::new();
    let lists = [
        ("initContainers", containers::init(pod).map(of).collect::<Vec<_>>()),
        ("containers", containers::apps(pod).map(of).collect()),
    ];
    for (list, all) in lists.into_iter().filter(|(_, all)| !all.is_empty()) {
        summary.insert(list.to_owned(), all.into());
    }
    summary.insert("generation".to_owned(), pod.metadata.generation.unwrap_or_default().into());
    if !error.is_empty() {
        summary.insert("error".to_owned(), error.into());
    }
    format!("Pod resize {what}: {}", serde_json::Value::Object(summary))
}
