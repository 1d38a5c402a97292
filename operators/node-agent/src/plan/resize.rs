//! Resources changed while a container runs: applied in place, or by a restart where the container's policy asks for it.
//!
//! What a container was last given is in the worker's memory; after a restart of the agent it is what status says.
//! Deliberately absent: the pod's own resources, swap. Upstream: pkg/kubelet/kuberuntime (computePodResizeAction),
//! pkg/kubelet/allocation.

use super::{
    Plan, Situation, Step,
    containers::{self, Role, Spec},
    resources, run,
};
use k8s_openapi::api::core::v1::{ContainerStatus as Reported, Pod, ResourceRequirements};
use proa_runtime_shim::{ContainerState, ContainerStatus};

/// What can be changed while a container runs.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// How a change of resources stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress<'a> {
    /// There is none, or it is done.
    Settled,
    /// The node has no room for it.
    Pending {
        /// `Deferred` or `Infeasible`.
        reason: &'a str,
        /// Text for people.
        message: &'a str,
    },
    /// It is being applied.
    Applying,
}

/// How the pod's change of resources stands.
pub(crate) fn progress<'a>(s: &Situation<'a>) -> Progress<'a> {
    if s.is_deleting() || changing(s).next().is_none() {
        return Progress::Settled;
    }
    match &s.memory.no_room {
        Some(why) => Progress::Pending { reason: &why.reason, message: &why.message },
        None => Progress::Applying,
    }
}

/// Whether any running container has other resources than its spec says.
pub(crate) fn is_wanted(s: &Situation<'_>) -> bool {
    changing(s).next().is_some()
}

/// Applies what changed.
pub(super) fn plan(s: &Situation<'_>, plan: &mut Plan) {
    if s.memory.no_room.is_some() {
        return;
    }
    for (container, status, given) in changing(s) {
        if needs_restart(container, given) {
            run::restart(s, plan, status, format!("Container {} resize requires restart", container.name()));
        } else {
            let (container, id) = (container.name().to_owned(), status.container.id.clone());
            plan.steps.push(Step::Resize { container, id });
        }
    }
}

/// Running containers whose resources differ, with what they were given.
fn changing<'a>(
    s: &Situation<'a>,
) -> impl Iterator<Item = (Spec<'a>, &'a ContainerStatus, &'a ResourceRequirements)> {
    let sidecars = containers::init(s.pod).filter(|init| init.role() == Role::Sidecar);
    let s = *s;
    sidecars.chain(containers::apps(s.pod)).filter_map(move |container| {
        let status = s.latest(container.name())?;
        let given = s.memory.given.get(&status.container.id)?;
        let runs = status.container.state == ContainerState::Running;
        let differs = RESIZABLE.iter().any(|name| differs(container.resources(), given, name));
        (runs && differs).then_some((container, status, given))
    })
}

fn differs(wanted: Option<&ResourceRequirements>, given: &ResourceRequirements, name: &str) -> bool {
    let none = ResourceRequirements::default();
    let wanted = wanted.unwrap_or(&none);
    amount(&wanted.requests, name) != amount(&given.requests, name)
        || amount(&wanted.limits, name) != amount(&given.limits, name)
}

type List =
    Option<std::collections::BTreeMap<String, k8s_openapi::apimachinery::pkg::api::resource::Quantity>>;

fn amount(list: &List, name: &str) -> Option<i64> {
    list.as_ref()?.get(name).map(|quantity| resources::amount(name, &quantity.0))
}

fn needs_restart(container: Spec<'_>, given: &ResourceRequirements) -> bool {
    container.resize_policies().iter().any(|policy| {
        policy.restart_policy == "RestartContainer"
            && differs(container.resources(), given, &policy.resource_name)
    })
}

/// What a running container was given, as status says.
pub(crate) fn reported(pod: &Pod, id: &str) -> Option<ResourceRequirements> {
    let status = pod.status.as_ref()?;
    let all = [&status.container_statuses, &status.init_container_statuses].into_iter().flatten().flatten();
    let is_it = |reported: &&Reported| reported.container_id.as_deref().is_some_and(|own| own.ends_with(id));
    all.into_iter().find(is_it)?.resources.clone()
}
