//! What the runtime has of one pod (N2).
//!
//! Invariants: only reads; a container that ended is read once, since nothing of it changes any more.
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go (GetPodStatus), kuberuntime_container.go.

pub(crate) mod follow;
mod message;

#[cfg(test)]
pub(crate) mod case;

use futures::future::{try_join, try_join_all};
use message::Messages;
use proa_runtime_shim::{
    Container, ContainerState, ContainerStatus, Error, Result, Runtime, Sandbox, SandboxState,
};
use std::{net::IpAddr, path::Path};

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
    /// Whether a container or sandbox is still shown as there, although it was said to have ended.
    pub(crate) fn shows_alive(&self, id: &str) -> bool {
        let runs = |status: &ContainerStatus| {
            status.container.id == id && status.container.state == ContainerState::Running
        };
        let is_ready = |sandbox: &Sandbox| sandbox.id == id && sandbox.state == SandboxState::Ready;
        self.containers.iter().any(runs) || self.sandboxes.iter().any(is_ready)
    }
}

/// Reads what the runtime has of a pod. `known` is what was read before; `root` is where the agent keeps its files.
pub(crate) async fn observe<R: Runtime>(
    runtime: &R,
    uid: &str,
    known: &Observed,
    root: &Path,
) -> Result<Observed> {
    let (sandboxes, containers) = try_join(runtime.sandboxes_of(uid), runtime.containers_of(uid)).await?;
    let messages = Messages::new(root, uid);
    let statuses = containers.iter().map(|container| read(runtime, container, known, &messages));
    let containers = try_join_all(statuses).await?.into_iter().flatten().collect();
    Ok(Observed { sandboxes, containers })
}

/// One container; none when it was removed meanwhile.
async fn read<R: Runtime>(
    runtime: &R,
    container: &Container,
    known: &Observed,
    messages: &Messages<'_>,
) -> Result<Option<ContainerStatus>> {
    let ended = known.containers.iter().find(|status| {
        status.container.id == container.id && status.container.state == ContainerState::Exited
    });
    if let Some(ended) = ended {
        return Ok(Some(ended.clone()));
    }
    let mut status = match runtime.container_status(&container.id).await {
        Ok(status) => status,
        Err(Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if status.container.state == ContainerState::Exited {
        messages.add_to(&mut status).await;
    }
    Ok(Some(status))
}
