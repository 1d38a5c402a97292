//! The status of the node: a pure function of what was observed.
//!
//! Upstream: `pkg/kubelet/nodestatus/setters.go`.

use super::{VERSION, facts::Facts, health::Health, register::architecture};
use crate::{AgentConfig, eviction::Pressure};
use k8s_openapi::{
    api::core::v1::{
        ContainerImage, DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeStatus,
        NodeSwapStatus, NodeSystemInfo,
    },
    apimachinery::pkg::{api::resource::Quantity as ApiQuantity, apis::meta::v1::Time},
};
use proa_kit::Timestamp;
use proa_meta::quantity::{Format, Quantity};
use proa_runtime_shim::Image;
use std::{cmp::Reverse, collections::BTreeMap};

/// Memory that pods do not get: the hard eviction threshold.
const MEMORY_RESERVED: u64 = 100 << 20;
/// Share of the disk that pods do not get: the hard eviction threshold of the node's file system.
const STORAGE_RESERVED: f64 = 0.1;
/// Names that a status lists of one image.
const NAMES: usize = 5;

/// What a status is made of.
pub(super) struct Observed<'a> {
    pub(super) facts: &'a Facts,
    pub(super) config: &'a AgentConfig,
    pub(super) port: u16,
    pub(super) health: &'a Health,
    pub(super) pressure: Pressure,
    pub(super) images: Vec<ContainerImage>,
    /// Conditions in the API.
    pub(super) before: &'a [NodeCondition],
    pub(super) now: Timestamp,
}

type Resources = BTreeMap<String, ApiQuantity>;

/// The status of the node.
pub(super) fn status(observed: &Observed<'_>) -> NodeStatus {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    NodeStatus {
        addresses: Some(vec![
            address("InternalIP", observed.config.address.to_string()),
            address("Hostname", observed.config.node.clone()),
        ]),
        capacity: Some(capacity(observed)),
        allocatable: Some(allocatable(observed)),
        conditions: Some(conditions(observed)),
        daemon_endpoints: Some(NodeDaemonEndpoints {
            kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(observed.port) }),
        }),
        images: Some(observed.images.clone()),
        node_info: Some(info(observed)),
        ..NodeStatus::default()
    }
}

/// Bytes as a quantity in powers of 1024.
pub(super) fn binary(bytes: u64) -> Quantity {
    Quantity::new(i64::try_from(bytes).unwrap_or(i64::MAX), Format::BinarySi)
}

fn bytes(bytes: u64) -> ApiQuantity {
    ApiQuantity(binary(bytes).to_string())
}

fn resources(observed: &Observed<'_>, memory: u64, storage: u64) -> Resources {
    let facts = observed.facts;
    let mut resources: Resources = [
        ("cpu".to_owned(), ApiQuantity(facts.cpus.to_string())),
        ("memory".to_owned(), bytes(memory)),
        ("ephemeral-storage".to_owned(), bytes(storage)),
        ("pods".to_owned(), ApiQuantity(observed.config.max_pods.to_string())),
    ]
    .into();
    let pages =
        facts.hugepages.iter().map(|(size, reserved)| (format!("hugepages-{size}"), bytes(*reserved)));
    resources.extend(pages);
    resources
}

fn capacity(observed: &Observed<'_>) -> Resources {
    resources(observed, observed.facts.memory, observed.facts.storage)
}

fn allocatable(observed: &Observed<'_>) -> Resources {
    let facts = observed.facts;
    let pages: u64 = facts.hugepages.values().sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "upstream rounds the share so, and a size is not negative"
    )]
    let reserved = (facts.storage as f64 * STORAGE_RESERVED) as u64;
    let memory = facts.memory.saturating_sub(MEMORY_RESERVED).saturating_sub(pages);
    let mut resources = resources(observed, memory, 0);
    // Upstream's difference keeps no suffix.
    let storage = facts.storage.saturating_sub(reserved).to_string();
    resources.insert("ephemeral-storage".to_owned(), ApiQuantity(storage));
    resources
}

fn info(observed: &Observed<'_>) -> NodeSystemInfo {
    let facts = observed.facts;
    let runtime = match observed.health {
        Health::Up { version, .. } => version.clone(),
        Health::Unknown | Health::Down => "containerd://Unknown".to_owned(),
    };
    NodeSystemInfo {
        machine_id: facts.machine_id.clone(),
        system_uuid: facts.system_uuid.clone(),
        boot_id: facts.boot_id.clone(),
        kernel_version: facts.kernel.clone(),
        os_image: facts.os_image.clone(),
        container_runtime_version: runtime,
        kubelet_version: VERSION.to_owned(),
        kube_proxy_version: String::new(),
        operating_system: "linux".to_owned(),
        architecture: architecture().to_owned(),
        swap: (facts.swap > 0)
            .then(|| NodeSwapStatus { capacity: Some(i64::try_from(facts.swap).unwrap_or(i64::MAX)) }),
        ..NodeSystemInfo::default()
    }
}

/// The largest images, as a status lists them.
pub(super) fn images(mut images: Vec<Image>, most: usize) -> Vec<ContainerImage> {
    images.sort_by(|a, b| (Reverse(a.size), &a.id).cmp(&(Reverse(b.size), &b.id)));
    let named = images.into_iter().filter_map(|image| {
        let names: Vec<String> = image.digests.into_iter().chain(image.tags).take(NAMES).collect();
        let size = i64::try_from(image.size).unwrap_or(i64::MAX);
        (!names.is_empty()).then_some(ContainerImage { names: Some(names), size_bytes: Some(size) })
    });
    named.take(most).collect()
}

/// One condition: type, whether it holds, reason, message.
type Claim = (&'static str, bool, &'static str, String);

fn claims(observed: &Observed<'_>) -> [Claim; 4] {
    let pressure = observed.pressure;
    let pick = |holds: bool, bad: (&'static str, &'static str), good: (&'static str, &'static str)| {
        let (reason, message) = if holds { bad } else { good };
        (holds, reason, message.to_owned())
    };
    let (memory, memory_reason, memory_message) = pick(
        pressure.memory,
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    );
    let (disk, disk_reason, disk_message) = pick(
        pressure.disk,
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    );
    let (pid, pid_reason, pid_message) = pick(
        pressure.pid,
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    );
    let (ready, ready_reason, ready_message) = match fault(observed.health) {
        None => (true, "KubeletReady", "kubelet is posting ready status".to_owned()),
        Some(fault) => (false, "KubeletNotReady", fault),
    };
    // Upstream keeps Ready last.
    [
        ("MemoryPressure", memory, memory_reason, memory_message),
        ("DiskPressure", disk, disk_reason, disk_message),
        ("PIDPressure", pid, pid_reason, pid_message),
        ("Ready", ready, ready_reason, ready_message),
    ]
}

/// Why the node is not ready.
fn fault(health: &Health) -> Option<String> {
    match health {
        Health::Unknown => Some("container runtime status check may not have completed yet".to_owned()),
        Health::Down => Some("container runtime is down".to_owned()),
        Health::Up { network_fault: Some(fault), .. } => {
            Some(format!("container runtime network not ready: {fault}"))
        }
        Health::Up { network_fault: None, .. } => None,
    }
}

fn conditions(observed: &Observed<'_>) -> Vec<NodeCondition> {
    let now = Some(Time(observed.now));
    let since = |kind: &str, status: &str| {
        let before = observed.before.iter().find(|c| c.type_ == kind && c.status == status);
        before.and_then(|condition| condition.last_transition_time.clone()).or_else(|| now.clone())
    };
    let claims = claims(observed).into_iter();
    let made = claims.map(|(kind, holds, reason, message)| {
        let status = if holds { "True" } else { "False" };
        NodeCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_heartbeat_time: now.clone(),
            last_transition_time: since(kind, status),
        }
    });
    made.collect()
}

/// Reasons of the events about conditions that changed.
pub(super) fn news(before: &[NodeCondition], after: &[NodeCondition]) -> Vec<&'static str> {
    let changed = after.iter().filter_map(|condition| {
        let status = before.iter().find(|c| c.type_ == condition.type_).map(|c| c.status.as_str());
        if status == Some(condition.status.as_str()) {
            return None;
        }
        event(condition, status.is_none())
    });
    changed.collect()
}

fn event(condition: &NodeCondition, is_first: bool) -> Option<&'static str> {
    Some(match (condition.type_.as_str(), condition.status == "True") {
        ("MemoryPressure", true) => "NodeHasInsufficientMemory",
        ("MemoryPressure", false) => "NodeHasSufficientMemory",
        ("DiskPressure", true) => "NodeHasDiskPressure",
        ("DiskPressure", false) => "NodeHasNoDiskPressure",
        ("PIDPressure", true) => "NodeHasInsufficientPID",
        ("PIDPressure", false) => "NodeHasSufficientPID",
        ("Ready", true) if !is_first => "NodeReady",
        ("Ready", false) if !is_first => "NodeNotReady",
        _ => return None,
    })
}

/// Whether the published status says what the new one does, times of heartbeats and fields of others apart.
pub(super) fn is_same(new: &NodeStatus, published: &NodeStatus) -> bool {
    let conditions = new.conditions.as_deref().unwrap_or_default();
    let have = published.conditions.as_deref().unwrap_or_default();
    let holds = |condition: &NodeCondition| {
        have.iter().any(|c| {
            let same_heartbeat =
                NodeCondition { last_heartbeat_time: condition.last_heartbeat_time.clone(), ..c.clone() };
            same_heartbeat == *condition
        })
    };
    // Device plugins and administrators add resources of their own.
    let has = |published: &Option<Resources>, new: &Option<Resources>| {
        let mut resources = new.iter().flatten();
        resources.all(|(name, amount)| published.as_ref().and_then(|p| p.get(name)) == Some(amount))
    };
    let images = |status: &NodeStatus| status.images.clone().unwrap_or_default();
    conditions.iter().all(holds)
        && new.addresses == published.addresses
        && has(&published.capacity, &new.capacity)
        && has(&published.allocatable, &new.allocatable)
        && new.daemon_endpoints == published.daemon_endpoints
        && new.node_info == published.node_info
        && images(new) == images(published)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_of_others_change_nothing() {
        let status = |resources: &[(&str, &str)]| {
            let amount =
                |(name, amount): &(&str, &str)| ((*name).to_owned(), ApiQuantity((*amount).to_owned()));
            let resources = Some(resources.iter().map(amount).collect::<Resources>());
            NodeStatus { capacity: resources.clone(), allocatable: resources, ..NodeStatus::default() }
        };
        let own = status(&[("cpu", "2")]);
        assert!(is_same(&own, &status(&[("cpu", "2"), ("example.com/device", "5")])));
        assert!(!is_same(&own, &status(&[("cpu", "4"), ("example.com/device", "5")])));
        assert!(!is_same(&own, &NodeStatus::default()));
    }
}
