//! containerd behind the trait: pods and containers by the Container Runtime Interface, events by its own API.
//!
//! Owns: one gRPC channel over a unix socket, shared by all calls; it connects anew by itself after containerd was
//! restarted. Invariants: a call that changes something may be repeated; what is gone already counts as stopped and
//! removed; every call but an image pull has a deadline (a pull that moves on has none, and ends when its future is
//! dropped). Deliberately absent: calls that containerd 1.6 does not know (`GetContainerEvents`, `RuntimeConfig`,
//! `CheckpointContainer`), host ports and the cleaning of pods' cgroups, which are their owners'.
//! Upstream: `k8s.io/cri-api/pkg/apis/runtime/v1`, `pkg/kubelet/cri/remote`.

mod client;
mod container;
mod convert;
mod errors;
mod events;
mod exec;
mod image_mounts;
mod images;
mod sandbox;
mod stats;

pub(crate) use client::channel;
pub(crate) use events::NAMESPACE;

use crate::{
    Container, ContainerConfig, ContainerState, ContainerStats, ContainerStatus, Event, ExecOutput,
    FilesystemUsage, Image, LinuxResources, RegistryAuth, Result, Runtime, Sandbox, SandboxConfig,
    SandboxState, SandboxStats, Streams, Version,
};
use futures::stream::BoxStream;
use k8s_cri::v1::{image_service_client::ImageServiceClient, runtime_service_client::RuntimeServiceClient};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tonic::transport::Channel;

/// A connection to a containerd.
#[derive(Clone, Debug)]
pub struct Containerd {
    runtime: RuntimeServiceClient<Channel>,
    images: ImageServiceClient<Channel>,
    channel: Channel,
}

impl Containerd {
    /// Connects to the containerd that listens on `socket` and checks that it answers.
    pub async fn connect(socket: &Path) -> Result<Self> {
        let containerd = Self::new(channel(socket));
        containerd.version().await?;
        Ok(containerd)
    }
}

/// What a containerd knows of pods, and whether it runs.
pub(crate) struct Known {
    /// By ids of sandboxes and containers.
    pub(crate) ids: HashMap<String, bool>,
    /// By where the network namespaces of sandboxes are mounted.
    pub(crate) namespaces: HashMap<PathBuf, bool>,
}

/// How many sandboxes and containers are made or removed by this process just now.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// How many sandboxes and containers this process makes or removes at the moment.
pub(crate) fn under_way() -> usize {
    UNDER_WAY.load(Ordering::SeqCst)
}

/// Counts something that is being made or removed, until it is dropped.
struct UnderWay;

impl UnderWay {
    fn begin() -> Self {
        UNDER_WAY.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Everything that containerd knows of pods.
///
/// # Errors
/// Something of it is not said.
pub(crate) async fn known(containerd: &Containerd) -> Result<Known> {
    let mut known = Known { ids: HashMap::new(), namespaces: HashMap::new() };
    for sandbox in containerd.sandboxes().await? {
        let runs = sandbox.state == SandboxState::Ready;
        if let Some(namespace) = sandbox::network_namespace(containerd, &sandbox.id).await? {
            known.namespaces.insert(namespace, runs);
        }
        known.ids.insert(sandbox.id, runs);
    }
    for container in containerd.containers().await? {
        known.ids.insert(container.id, container.state == ContainerState::Running);
    }
    Ok(known)
}

impl Runtime for Containerd {
    async fn version(&self) -> Result<Version> {
        client::version(self).await
    }

    async fn network_fault(&self) -> Result<Option<String>> {
        client::network_fault(self).await
    }

    async fn run_sandbox(&self, config: &SandboxConfig) -> Result<String> {
        let _under_way = UnderWay::begin();
        sandbox::run(self, config).await
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        sandbox::stop(self, id).await
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        let _under_way = UnderWay::begin();
        sandbox::remove(self, id).await
    }

    async fn sandboxes(&self) -> Result<Vec<Sandbox>> {
        sandbox::list(self, None).await
    }

    async fn sandboxes_of(&self, pod_uid: &str) -> Result<Vec<Sandbox>> {
        sandbox::list(self, Some(pod_uid)).await
    }

    async fn create_container(
        &self,
        sandbox: &str,
        config: &ContainerConfig,
        of: &SandboxConfig,
    ) -> Result<String> {
        let _under_way = UnderWay::begin();
        container::create(self, sandbox, config, of).await
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        container::start(self, id).await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        container::stop(self, id, grace).await
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        let _under_way = UnderWay::begin();
        container::remove(self, id).await
    }

    async fn containers(&self) -> Result<Vec<Container>> {
        container::list(self, None).await
    }

    async fn containers_of(&self, pod_uid: &str) -> Result<Vec<Container>> {
        container::list(self, Some(pod_uid)).await
    }

    async fn container_status(&self, id: &str) -> Result<ContainerStatus> {
        container::status(self, id).await
    }

    async fn update_container(&self, id: &str, resources: &LinuxResources) -> Result<()> {
        container::update(self, id, resources).await
    }

    async fn reopen_log(&self, id: &str) -> Result<()> {
        container::reopen_log(self, id).await
    }

    async fn container_stats(&self) -> Result<Vec<ContainerStats>> {
        stats::containers(self).await
    }

    async fn sandbox_stats(&self) -> Result<Vec<SandboxStats>> {
        stats::sandboxes(self).await
    }

    async fn exec(&self, container: &str, command: &[String], timeout: Duration) -> Result<ExecOutput> {
        exec::run(self, container, command, timeout).await
    }

    async fn exec_url(&self, container: &str, command: &[String], streams: Streams) -> Result<String> {
        exec::exec_url(self, container, command, streams).await
    }

    async fn attach_url(&self, container: &str, streams: Streams) -> Result<String> {
        exec::attach_url(self, container, streams).await
    }

    async fn port_forward_url(&self, sandbox: &str) -> Result<String> {
        exec::port_forward_url(self, sandbox).await
    }

    async fn image(&self, reference: &str) -> Result<Option<Image>> {
        images::get(self, reference).await
    }

    async fn pull_image(&self, reference: &str, auth: Option<&RegistryAuth>) -> Result<String> {
        images::pull(self, reference, auth).await
    }

    async fn images(&self) -> Result<Vec<Image>> {
        images::list(self).await
    }

    async fn remove_image(&self, reference: &str) -> Result<()> {
        images::remove(self, reference).await
    }

    async fn image_filesystem(&self) -> Result<FilesystemUsage> {
        images::filesystem(self).await
    }

    async fn mount_image(&self, image: &str, pod_uid: &str, volume: &str, at: &Path) -> Result<()> {
        image_mounts::attach(self, image, pod_uid, volume, at).await
    }

    async fn release_image_mounts(&self, pod_uid: &str) -> Result<()> {
        image_mounts::release(self, pod_uid).await
    }

    fn events(&self) -> BoxStream<'static, Result<Event>> {
        events::subscribe(self)
    }
}
