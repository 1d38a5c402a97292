//! The status that the API shall have of a pod, from everything known about it.
//!
//! Invariants: pure; what others own (conditions of readiness gates, nominated node, resource claims) is kept; a phase
//! that ended never changes again, and none ends while a container still runs.
//! Upstream: pkg/kubelet/kubelet_pods.go (generateAPIPodStatus), pkg/kubelet/status.

mod conditions;
mod containers;
pub(crate) mod patch;
mod phase;

use crate::{
    build::resources,
    plan::{self, Plan, Situation, is_alive, resize},
};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, HostIP, PodIP, PodStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use std::net::IpAddr;

/// What a status is made of besides the situation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Basis<'a> {
    /// The status last written, or as the API has it.
    pub(crate) old: &'a PodStatus,
    /// The node's address.
    pub(crate) host: IpAddr,
    /// The runtime's name, in container ids.
    pub(crate) runtime: &'a str,
}

/// The status of a pod.
pub(crate) fn status(s: &Situation<'_>, plan: &Plan, basis: Basis<'_>) -> PodStatus {
    let old = basis.old;
    let mut status = PodStatus {
        observed_generation: s.pod.metadata.generation,
        qos_class: old.qos_class.clone(),
        start_time: Some(old.start_time.clone().unwrap_or_else(|| seconds(s.now))),
        nominated_node_name: old.nominated_node_name.clone(),
        resource_claim_statuses: old.resource_claim_statuses.clone(),
        extended_resource_claim_status: old.extended_resource_claim_status.clone(),
        container_statuses: containers::of(s, plan, basis, containers::List::Apps),
        init_container_statuses: containers::of(s, plan, basis, containers::List::Init),
        ephemeral_container_statuses: containers::of(s, plan, basis, containers::List::Ephemeral),
        ..PodStatus::default()
    };
    status.allocated_resources = resources::whole(s.pod).and_then(|whole| whole.requests);
    status.resources = resources::whole(&resize::given(s.pod, s.observed, s.memory));
    addresses(s, basis, plan.end.is_some(), &mut status);
    if plan.is_stopped {
        containers::settle(s, &mut status);
    }
    if s.memory.verdict.is_some() && s.observed.containers.is_empty() {
        // It was never taken, so there is nothing to say of its containers.
        (status.container_statuses, status.init_container_statuses) = (None, None);
    }
    set_phase(s, plan, old, &mut status);
    status.conditions = Some(conditions::of(s, plan, old, &status));
    status
}

fn set_phase(s: &Situation<'_>, plan: &Plan, old: &PodStatus, status: &mut PodStatus) {
    let found = phase::of(s, status, plan.is_stopped);
    let old_phase = old.phase.clone().unwrap_or_else(|| "Pending".to_owned());
    let (reason, message) = (old.reason.clone(), old.message.clone());
    if is_ended(&old_phase) {
        (status.phase, status.reason, status.message) = (Some(old_phase), reason, message);
        return;
    }
    let failed = plan.end.as_ref().and_then(|end| end.failed.clone());
    let new = match (&failed, plan.end.is_some() && plan.is_stopped) {
        (Some(_), _) => "Failed",
        // Whatever never ran did not succeed.
        (None, true) if !is_ended(found) => "Failed",
        (None, _) => found,
    };
    let still_runs = s.alive_any() || s.memory.is_making();
    if is_ended(new) && still_runs {
        (status.phase, status.reason, status.message) = (Some(old_phase), reason, message);
        return;
    }
    if new == old_phase {
        (status.reason, status.message) = (reason, message);
    }
    if let Some((reason, message)) = failed {
        (status.reason, status.message) = (Some(reason), Some(message));
    }
    status.phase = Some(new.to_owned());
}

fn is_ended(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

impl Situation<'_> {
    fn alive_any(&self) -> bool {
        self.observed.containers.iter().any(is_alive)
    }
}

fn addresses(s: &Situation<'_>, basis: Basis<'_>, is_ending: bool, status: &mut PodStatus) {
    let host = basis.host.to_string();
    status.host_ips = Some(vec![HostIP { ip: host.clone() }]);
    status.host_ip = Some(host.clone());
    let on_node = plan::containers::spec(s.pod).host_network.unwrap_or(false);
    let own: Vec<String> = if on_node {
        // A pod on the node's network has its address, once it was taken here.
        if s.memory.verdict.is_some() { Vec::new() } else { vec![host] }
    } else {
        pod_addresses(s.observed.addresses(), basis.host)
    };
    let own = if own.is_empty() && is_ending { kept(basis.old) } else { own };
    status.pod_ip = own.first().cloned();
    status.pod_ips = (!own.is_empty()).then(|| own.into_iter().map(|ip| PodIP { ip }).collect());
}

/// One address of each family, the node's family first.
fn pod_addresses(all: &[IpAddr], host: IpAddr) -> Vec<String> {
    let of = |v4: bool| all.iter().find(|ip| ip.is_ipv4() == v4).map(IpAddr::to_string);
    of(host.is_ipv4()).into_iter().chain(of(!host.is_ipv4())).collect()
}

/// The addresses of a pod that ends, for whoever reads its last status.
fn kept(old: &PodStatus) -> Vec<String> {
    old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect()
}

/// A moment in whole seconds, as the API keeps it.
fn seconds(moment: Timestamp) -> Time {
    Time(Timestamp::from_second(moment.as_second()).unwrap_or(moment))
}

/// The status of a container in any list.
fn find<'a>(status: &'a PodStatus, name: &str) -> Option<&'a ContainerStatus> {
    let all =
        [&status.init_container_statuses, &status.container_statuses, &status.ephemeral_container_statuses];
    all.into_iter().flatten().flatten().find(|status| status.name == name)
}

#[cfg(test)]
mod tests;
