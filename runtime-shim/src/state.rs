//! What a runtime says of sandboxes, containers and images.

use jiff::Timestamp;
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf};

/// Name and version of a runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Such as `containerd`.
    pub name: String,
    /// Its own version.
    pub version: String,
}

/// A sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// Id.
    pub id: String,
    /// Pod name.
    pub name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Pod UID.
    pub uid: String,
    /// Which sandbox of the pod this is.
    pub attempt: u32,
    /// State.
    pub state: SandboxState,
    /// When it was made.
    pub created: Timestamp,
    /// Addresses; empty on the node's network.
    pub addresses: Vec<IpAddr>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// State of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SandboxState {
    /// Its namespaces and network are there.
    Ready,
    /// Stopped, or its first process ended.
    NotReady,
}

/// A container, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Id.
    pub id: String,
    /// Sandbox.
    pub sandbox: String,
    /// Name in the pod.
    pub name: String,
    /// How often it was restarted.
    pub attempt: u32,
    /// State.
    pub state: ContainerState,
    /// When it was created.
    pub created: Timestamp,
    /// Image id.
    pub image: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// State of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerState {
    /// Not started yet.
    Created,
    /// Running.
    Running,
    /// Ended.
    Exited,
    /// The runtime does not know; restart it.
    Unknown,
}

/// A container, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// The container.
    pub container: Container,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Exit code, once it ended.
    pub exit_code: i32,
    /// Such as `Completed`, `Error`, `OOMKilled`.
    pub reason: String,
    /// More of it.
    pub message: String,
    /// Name of the image as asked for.
    pub image_name: String,
    /// Digest reference of the image, or its id when it has none.
    pub image_reference: String,
    /// Absolute path of its log.
    pub log_path: PathBuf,
}

/// What a container uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStats {
    /// Id.
    pub id: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// When it was measured.
    pub at: Timestamp,
    /// CPU time since the start, nanoseconds.
    pub cpu_nanoseconds: u64,
    /// Memory that cannot be reclaimed, bytes.
    pub working_set_bytes: u64,
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Page faults that needed a disk.
    pub major_page_faults: u64,
    /// All page faults.
    pub page_faults: u64,
    /// Written to the root file system, bytes.
    pub writable_layer_bytes: u64,
    /// Files and directories in it.
    pub writable_layer_inodes: u64,
}

/// What a sandbox uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxStats {
    /// Id.
    pub id: String,
    /// Pod UID.
    pub uid: String,
    /// When it was measured.
    pub at: Timestamp,
    /// Received on the pod's interface, bytes.
    pub received_bytes: u64,
    /// Sent on it, bytes.
    pub sent_bytes: u64,
    /// Processes.
    pub processes: u64,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Id: digest of its configuration.
    pub id: String,
    /// Names with tags.
    pub tags: Vec<String>,
    /// Names with digests.
    pub digests: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// The image's user, when it is a number.
    pub uid: Option<i64>,
    /// The image's user, when it is a name.
    pub username: String,
    /// Must not be collected.
    pub pinned: bool,
}

/// What a command said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecOutput {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub exit_code: i32,
}

/// How full a file system is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesystemUsage {
    /// Where it is mounted, or a directory on it.
    pub mountpoint: PathBuf,
    /// Used by what was asked about, bytes.
    pub used_bytes: u64,
    /// Files and directories of it.
    pub used_inodes: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A process of a container or sandbox ended. `id` is the container's or sandbox's.
    Exited {
        /// Container or sandbox.
        id: String,
    },
    /// A container ran out of memory.
    OutOfMemory {
        /// Container.
        id: String,
    },
    /// A container started.
    Started {
        /// Container or sandbox.
        id: String,
    },
}
