//! What pods asked for and what they use. Pure.
//!
//! Upstream: component-helpers `resource/helpers.go` (`PodRequests`, `PodLimits`).

use super::thresholds::Resource;
use k8s_openapi::{
    api::core::v1::{Container, Pod, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as ApiQuantity,
};
use proa_meta::quantity::Quantity;
use std::collections::BTreeMap;

/// What one container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerUsage {
    /// Memory that cannot be reclaimed, bytes.
    pub(super) memory: u64,
    /// Its root file system: bytes and inodes.
    pub(super) root: Space,
    /// Its logs.
    pub(super) logs: Space,
}

/// Space on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) bytes: u64,
    pub(super) inodes: u64,
}

impl std::ops::Add for Space {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, inodes: self.inodes + other.inodes }
    }
}

impl std::iter::Sum for Space {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| sum + one)
    }
}

/// What a pod uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// By container name.
    pub(super) containers: BTreeMap<String, ContainerUsage>,
    /// Its `emptyDir` volumes on disk, by name.
    pub(super) volumes: BTreeMap<String, Space>,
    /// Processes.
    pub(super) processes: u64,
}

/// Which parts of a pod's usage count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) root: bool,
    pub(super) logs_and_volumes: bool,
}

impl Parts {
    pub(super) const ALL: Self = Self { root: true, logs_and_volumes: true };
}

impl Usage {
    pub(super) fn memory(&self) -> u64 {
        self.containers.values().map(|container| container.memory).sum()
    }
    pub(super) fn space(&self, parts: Parts) -> Space {
        let containers = self.containers.values();
        let root: Space = containers.clone().filter(|_| parts.root).map(|container| container.root).sum();
        let logs: Space = containers.filter(|_| parts.logs_and_volumes).map(|container| container.logs).sum();
        let volumes: Space = self.volumes.values().filter(|_| parts.logs_and_volumes).copied().sum();
        root + logs + volumes
    }
    /// How much of a resource it uses.
    pub(super) fn of(&self, resource: Resource, parts: Parts) -> u64 {
        match resource {
            Resource::Memory => self.memory(),
            Resource::Storage => self.space(parts).bytes,
            Resource::Inodes => self.space(parts).inodes,
            Resource::Pids => self.processes,
        }
    }
}

type Amounts = BTreeMap<String, ApiQuantity>;

fn amount(amounts: Option<&Amounts>, resource: &str) -> Option<Quantity> {
    Quantity::parse(&amounts?.get(resource)?.0).ok()
}

/// What a container asks for.
pub(super) fn request(container: &Container, resource: &str) -> Option<Quantity> {
    amount(container.resources.as_ref()?.requests.as_ref(), resource)
}

/// What a container may use.
pub(super) fn limit(container: &Container, resource: &str) -> Option<Quantity> {
    amount(container.resources.as_ref()?.limits.as_ref(), resource)
}

/// What the pod asks for; overhead included.
pub(super) fn pod_request(pod: &Pod, resource: &str) -> Quantity {
    let overhead = pod.spec.as_ref().and_then(|spec| amount(spec.overhead.as_ref(), resource));
    let asked = of_pod(pod, |container| request(container, resource), |pod| pod.requests.as_ref(), resource);
    asked.unwrap_or_default() + overhead.unwrap_or_default()
}

/// What the pod may use; nothing when no container has a limit.
pub(super) fn pod_limit(pod: &Pod, resource: &str) -> Option<Quantity> {
    of_pod(pod, |container| limit(container, resource), |pod| pod.limits.as_ref(), resource)
}

/// The pod's own amount, or else its containers' sum, or what its init containers need at one time if that is more.
fn of_pod(
    pod: &Pod,
    of: impl Fn(&Container) -> Option<Quantity>,
    own: impl Fn(&ResourceRequirements) -> Option<&Amounts>,
    resource: &str,
) -> Option<Quantity> {
    let spec = pod.spec.as_ref()?;
    let own = spec.resources.as_ref().and_then(|resources| amount(own(resources), resource));
    if own.is_some() {
        return own;
    }
    let mut sidecars: Option<Quantity> = None;
    let mut starting: Option<Quantity> = None;
    for container in spec.init_containers.iter().flatten() {
        let one = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = plus(sidecars, one);
            starting = larger(starting, sidecars);
        } else {
            starting = larger(starting, plus(sidecars, one));
        }
    }
    larger(spec.containers.iter().map(of).fold(sidecars, plus), starting)
}

fn plus(a: Option<Quantity>, b: Option<Quantity>) -> Option<Quantity> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        (one, other) => one.or(other),
    }
}

fn larger(a: Option<Quantity>, b: Option<Quantity>) -> Option<Quantity> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b > a { b } else { a }),
        (one, other) => one.or(other),
    }
}
