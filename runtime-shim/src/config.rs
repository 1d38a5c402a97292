//! What sandboxes and containers are made of.

use std::{collections::BTreeMap, path::PathBuf};

/// A pod's sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SandboxConfig {
    /// Pod name.
    pub name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Pod UID.
    pub uid: String,
    /// Which sandbox of the pod this is, from 0.
    pub attempt: u32,
    /// Host name; must be empty on the node's network.
    pub hostname: String,
    /// Absolute directory of the containers' logs.
    pub log_directory: PathBuf,
    /// `resolv.conf`; the runtime's own without it.
    pub dns: Option<DnsConfig>,
    /// Host ports are not among it: the service proxy does those.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The pod's cgroup, such as `/proa/burstable/pod-UID`; made by the runtime, removed by the agent.
    pub cgroup_parent: String,
    /// Kernel parameters of the pod's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Security of the sandbox itself. `namespaces` says what the pod shares with the node.
    pub security: Security,
    /// Handler of a RuntimeClass; empty for the default.
    pub runtime_handler: String,
}

/// Contents of `resolv.conf`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DnsConfig {
    /// Name servers.
    pub servers: Vec<String>,
    /// Search list.
    pub searches: Vec<String>,
    /// Options.
    pub options: Vec<String>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerConfig {
    /// Name in the pod.
    pub name: String,
    /// How often it was restarted.
    pub attempt: u32,
    /// Image id to run.
    pub image: String,
    /// Instead of the image's entrypoint; empty keeps it.
    pub command: Vec<String>,
    /// Instead of the image's arguments; empty keeps them unless there is a command.
    pub args: Vec<String>,
    /// Working directory; empty keeps the image's.
    pub working_dir: String,
    /// Environment, in order.
    pub env: Vec<(String, String)>,
    /// Mounts, in order.
    pub mounts: Vec<Mount>,
    /// Devices.
    pub devices: Vec<Device>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Log file, relative to the sandbox's log directory.
    pub log_path: String,
    /// Keeps standard input open.
    pub stdin: bool,
    /// Closes standard input after the first attached client.
    pub stdin_once: bool,
    /// On a terminal.
    pub tty: bool,
    /// Limits.
    pub resources: LinuxResources,
    /// Security.
    pub security: Security,
}

/// A path of the node in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    /// Where it appears.
    pub container_path: String,
    /// What appears; a symbolic link is resolved.
    pub host_path: PathBuf,
    /// Cannot be written to.
    pub read_only: bool,
    /// How later mounts below it travel.
    pub propagation: Propagation,
}

/// How mounts travel between node and container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all (`None`).
    #[default]
    Private,
    /// From the node to the container.
    HostToContainer,
    /// Both ways; privileged containers only.
    Bidirectional,
}

/// A device of the node in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Device {
    /// Path in the container.
    pub container_path: String,
    /// Path on the node.
    pub host_path: String,
    /// `rwm` or fewer.
    pub permissions: String,
}

/// Limits of a container; 0 means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinuxResources {
    /// Scheduler period, microseconds.
    pub cpu_period: i64,
    /// CPU time per period, microseconds.
    pub cpu_quota: i64,
    /// Relative weight.
    pub cpu_shares: i64,
    /// Memory, bytes.
    pub memory_limit: i64,
    /// Memory and swap together, bytes.
    pub memory_swap_limit: i64,
    /// -1000 to 1000.
    pub oom_score_adj: i64,
    /// CPUs it may run on.
    pub cpuset_cpus: String,
    /// Memory nodes it may use.
    pub cpuset_mems: String,
    /// Page size (`2MB`) to bytes.
    pub hugepages: BTreeMap<String, u64>,
}

/// What a container or sandbox may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    /// Added and dropped capabilities.
    pub capabilities: Capabilities,
    /// Everything.
    pub privileged: bool,
    /// Namespaces.
    pub namespaces: Namespaces,
    /// User id.
    pub run_as_user: Option<i64>,
    /// User name of the image, resolved by the runtime; only without `run_as_user`.
    pub run_as_username: String,
    /// Group id.
    pub run_as_group: Option<i64>,
    /// Further groups.
    pub supplemental_groups: Vec<i64>,
    /// The root file system cannot be written to.
    pub read_only_rootfs: bool,
    /// Set-user-ID programs gain nothing.
    pub no_new_privs: bool,
    /// Paths that appear empty.
    pub masked_paths: Vec<String>,
    /// Paths that cannot be written to.
    pub readonly_paths: Vec<String>,
    /// System call filter.
    pub seccomp: SecurityProfile,
    /// AppArmor profile.
    pub apparmor: SecurityProfile,
}

/// A security profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SecurityProfile {
    /// The runtime's default.
    #[default]
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A profile of the node: path or name.
    Localhost(String),
}

/// Capabilities, without their `CAP_`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Given beyond the default; `ALL` gives every one.
    pub add: Vec<String>,
    /// Taken from the default; `ALL` takes every one.
    pub drop: Vec<String>,
}

/// Namespaces of a container or sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespaces {
    /// Network: `Pod` or `Node`.
    pub network: NamespaceMode,
    /// Processes.
    pub pid: NamespaceMode,
    /// Inter-process communication: `Pod` or `Node`.
    pub ipc: NamespaceMode,
}

impl Default for Namespaces {
    /// As a pod that asks for nothing: processes per container, the rest per pod.
    fn default() -> Self {
        Self { network: NamespaceMode::Pod, pid: NamespaceMode::Container, ipc: NamespaceMode::Pod }
    }
}

/// Who shares a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceMode {
    /// The pod.
    Pod,
    /// The container alone.
    Container,
    /// The node.
    Node,
    /// Another container, by id (ephemeral containers).
    Target(String),
}
