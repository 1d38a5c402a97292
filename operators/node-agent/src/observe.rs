//! What the runtime has of one pod (N2).
//!
//! Invariants: only reads; a container that ended is read once, since nothing of it changes any more.
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go (GetPodStatus), kuberuntime_container.go.

use proa_runtime_shim::{ContainerStatus, Sandbox, SandboxState};
use std::net::IpAddr;

/// What the runtime has of a pod.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// Sandboxes, newest first.
    pub(crate) sandboxes: Vec<Sandbox>,
    /// Containers, newest first; of those that ended, `message` holds what they left to say.
    pub(crate) containers: Vec<ContainerStatus>,
}

/// What the probes of a container found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default, rename_all = "camelCase"))]
pub(crate) struct Probed {
    /// The startup probe succeeded; true without one.
    pub(crate) started: bool,
    /// The readiness probe succeeded; true without one.
    pub(crate) ready: bool,
    /// The startup probe failed for good.
    pub(crate) startup_failed: bool,
    /// The liveness probe failed for good.
    pub(crate) liveness_failed: bool,
}

impl Observed {
    /// Containers of a name, newest first.
    pub(crate) fn of<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a ContainerStatus> {
        self.containers.iter().filter(move |status| status.container.name == name)
    }
    /// The newest container of a name.
    pub(crate) fn latest(&self, name: &str) -> Option<&ContainerStatus> {
        self.of(name).next()
    }
    /// The pod's addresses: those of its newest sandbox, while that is there.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        let newest = self.sandboxes.first().filter(|sandbox| sandbox.state == SandboxState::Ready);
        newest.map_or(&[], |sandbox| &sandbox.addresses)
    }
}

#[cfg(test)]
pub(crate) mod case;
