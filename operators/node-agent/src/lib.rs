//! The node agent: pods bound to this node, carried to a container runtime.
//!
//! A decider with one worker per pod UID: *observe* reads the runtime, *plan* is pure, *act* drives the runtime, *status*
//! is written to the API. Contracts: **N1** one worker per pod UID, the latest spec wins. **N2** the runtime's truth is
//! observed anew; its events only wake. **N3** a restart of agent or containerd disturbs no running container. **N4**
//! what was set up (sandboxes, mounts, network, cgroups) is found again and removed when its pod is gone.
//! Upstream: `pkg/kubelet`.

mod observe;
mod plan;
mod status;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

/// What an agent is told about its node and cluster.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Name of the node; its identity in the API is `system:node:NAME`.
    pub node: String,
    /// Address of the node (`InternalIP`).
    pub address: IpAddr,
    /// Labels that the node registers with, besides the well-known ones.
    pub labels: Vec<(String, String)>,
    /// Directory of everything that the agent keeps: volumes of pods, their hosts files, termination logs.
    pub root: PathBuf,
    /// Directory of container logs, laid out as upstream: `NAMESPACE_POD_UID/CONTAINER/N.log`.
    pub pod_logs: PathBuf,
    /// Addresses of this node's pods, such as `10.244.0.0/24`; becomes `spec.podCIDR`.
    pub pod_cidr: String,
    /// Name servers of pods whose policy is `ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// The resolver configuration of pods whose policy is `Default`.
    pub resolv_conf: PathBuf,
    /// Cgroup above those of all pods, such as `/proa-NAME`.
    pub cgroup_parent: String,
    /// Most pods that the node takes.
    pub max_pods: u32,
    /// The agent's HTTPS server: logs, exec, attach, port-forward, stats.
    pub server: ServerConfig,
}

/// Where and how the agent serves. Only clients with a certificate of the cluster's authority or a token that the API
/// accepts are answered, and only if they may do so to `nodes/proxy` and its siblings.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 picks one. The port is published in the node's status.
    pub listen: SocketAddr,
    /// Serving certificate chain, PEM.
    pub certificate: Vec<u8>,
    /// Its key, PEM.
    pub key: Vec<u8>,
    /// Who signs client certificates, PEM.
    pub client_ca: Vec<u8>,
}
