//! What runs the containers of a node's pods: one trait, containerd behind it, and a fake for tests.
//!
//! Owns: [`Runtime`], the vocabulary it speaks (a narrow, typed form of the Container Runtime Interface v1), and its
//! implementations. Invariants: every call may be repeated (creating is the caller's to do once: it lists first);
//! [`Runtime::events`] only wakes, the truth is what [`Runtime::sandboxes`] and [`Runtime::containers`] say (N2).
//! Deliberately absent: pods' restart policy, probes, volumes: those are the node agent's.
//! Upstream: `k8s.io/cri-api` v1.

pub mod archive;
pub mod cni;
pub mod config;
pub mod containerd;
pub mod daemon;
pub mod error;
pub mod fake;
pub mod hosts;
pub mod load;
pub mod pause;
pub mod process;
pub mod state;

pub use config::{
    Capabilities, ContainerConfig, Device, DnsConfig, LinuxResources, Mount, NamespaceMode, Namespaces,
    Propagation, SandboxConfig, Security, SecurityProfile,
};
pub use containerd::Containerd;
pub use error::{Error, Result};
pub use state::{
    Container, ContainerState, ContainerStats, ContainerStatus, Event, ExecOutput, FilesystemUsage, Image,
    Sandbox, SandboxState, SandboxStats, Version,
};

use futures::stream::BoxStream;
use std::{future::Future, path::Path, time::Duration};

/// Credentials of a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// Identity token, instead of the two.
    pub identity_token: String,
    /// Bearer token, instead of all.
    pub registry_token: String,
}

/// What a stream to a container is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// With standard input.
    pub stdin: bool,
    /// With standard output.
    pub stdout: bool,
    /// With standard error; never together with `tty`.
    pub stderr: bool,
    /// On a terminal.
    pub tty: bool,
}

/// A container runtime. Cheap to clone.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// Name and version.
    fn version(&self) -> impl Future<Output = Result<Version>> + Send;
    /// Why pods cannot get a network yet, in the runtime's words; none when they can.
    fn network_fault(&self) -> impl Future<Output = Result<Option<String>>> + Send {
        std::future::ready(Ok(None))
    }

    /// Makes a pod's sandbox: its network, its namespaces, its cgroup.
    fn run_sandbox(&self, config: &SandboxConfig) -> impl Future<Output = Result<String>> + Send;
    /// Stops everything in the sandbox and takes its network away. A sandbox that is gone is no error.
    fn stop_sandbox(&self, id: &str) -> impl Future<Output = Result<()>> + Send;
    /// Removes a stopped sandbox with its containers. A sandbox that is gone is no error.
    fn remove_sandbox(&self, id: &str) -> impl Future<Output = Result<()>> + Send;
    /// All sandboxes, with their addresses.
    fn sandboxes(&self) -> impl Future<Output = Result<Vec<Sandbox>>> + Send;
    /// The sandboxes of one pod, with their addresses, newest first.
    fn sandboxes_of(&self, pod_uid: &str) -> impl Future<Output = Result<Vec<Sandbox>>> + Send;

    /// Makes a container; it does not run yet.
    fn create_container(
        &self,
        sandbox: &str,
        config: &ContainerConfig,
        of: &SandboxConfig,
    ) -> impl Future<Output = Result<String>> + Send;
    /// Starts a container that was created.
    fn start_container(&self, id: &str) -> impl Future<Output = Result<()>> + Send;
    /// Asks a container to end and kills it after `grace`. A container that is gone is no error.
    fn stop_container(&self, id: &str, grace: Duration) -> impl Future<Output = Result<()>> + Send;
    /// Removes a container that does not run. A container that is gone is no error.
    fn remove_container(&self, id: &str) -> impl Future<Output = Result<()>> + Send;
    /// All containers, without what only a status says.
    fn containers(&self) -> impl Future<Output = Result<Vec<Container>>> + Send;
    /// The containers of one pod, newest first.
    fn containers_of(&self, pod_uid: &str) -> impl Future<Output = Result<Vec<Container>>> + Send;
    /// How a container is and was.
    fn container_status(&self, id: &str) -> impl Future<Output = Result<ContainerStatus>> + Send;
    /// Changes a running container's limits in place.
    fn update_container(
        &self,
        id: &str,
        resources: &LinuxResources,
    ) -> impl Future<Output = Result<()>> + Send;
    /// Opens a container's log anew, after it was rotated.
    fn reopen_log(&self, id: &str) -> impl Future<Output = Result<()>> + Send;
    /// What containers use now.
    fn container_stats(&self) -> impl Future<Output = Result<Vec<ContainerStats>>> + Send;
    /// What sandboxes use now, their network included.
    fn sandbox_stats(&self) -> impl Future<Output = Result<Vec<SandboxStats>>> + Send;

    /// Runs a command in a container and waits for it. [`Error::Timeout`] when it takes longer; it is killed then.
    fn exec(
        &self,
        container: &str,
        command: &[String],
        timeout: Duration,
    ) -> impl Future<Output = Result<ExecOutput>> + Send;
    /// Where a command's streams can be had: a URL of the runtime's streaming server (SPDY remotecommand v4).
    fn exec_url(
        &self,
        container: &str,
        command: &[String],
        streams: Streams,
    ) -> impl Future<Output = Result<String>> + Send;
    /// Where the streams of a container's first process can be had.
    fn attach_url(&self, container: &str, streams: Streams) -> impl Future<Output = Result<String>> + Send;
    /// Where connections into a pod's network can be had (SPDY portforward v1).
    fn port_forward_url(&self, sandbox: &str) -> impl Future<Output = Result<String>> + Send;

    /// An image, if it is here. `reference` is a name, a tag or an id.
    fn image(&self, reference: &str) -> impl Future<Output = Result<Option<Image>>> + Send;
    /// Pulls an image and returns its id. [`Error::InvalidImageName`], [`Error::Pull`].
    fn pull_image(
        &self,
        reference: &str,
        auth: Option<&RegistryAuth>,
    ) -> impl Future<Output = Result<String>> + Send;
    /// All images.
    fn images(&self) -> impl Future<Output = Result<Vec<Image>>> + Send;
    /// Removes an image. An image that is gone is no error.
    fn remove_image(&self, reference: &str) -> impl Future<Output = Result<()>> + Send;
    /// The file system of images.
    fn image_filesystem(&self) -> impl Future<Output = Result<FilesystemUsage>> + Send;

    /// Mounts the files of an image, given by its id, read-only at a directory, for a volume of a pod.
    fn mount_image(
        &self,
        image: &str,
        pod_uid: &str,
        volume: &str,
        at: &Path,
    ) -> impl Future<Output = Result<()>> + Send;
    /// Lets go of the images that volumes of a pod showed. They must be unmounted; none at all is no error.
    fn release_image_mounts(&self, pod_uid: &str) -> impl Future<Output = Result<()>> + Send;

    /// What happens to containers, as hints: some may be missing. An end is told once it can be read, or a second after
    /// it in any case. The stream ends when the connection is lost; subscribe again, then list.
    fn events(&self) -> BoxStream<'static, Result<Event>>;
}
