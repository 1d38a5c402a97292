//! From a pod's spec to what the runtime is given: sandbox and container configurations.
//!
//! Pure: everything that had to be looked up, resolved or written is an input. Invariants: the same pod, inputs and
//! node give the same configuration, so a restarted agent recognises its containers (N3); the container hash covers
//! only what a restart could change. Deliberately absent: host ports (service proxy), devices of privileged containers
//! (the runtime gives them all), user namespaces and device plugins (`supported` refuses them).
//! Upstream: `pkg/kubelet/kuberuntime/{kuberuntime_sandbox,kuberuntime_container,security_context}.go`,
//! `pkg/kubelet/kubelet_pods.go`.

pub(crate) mod containers;
pub(crate) mod dns;
pub(crate) mod facts;
pub(crate) mod hostname;
pub(crate) mod labels;
mod mounts;
pub(crate) use mounts::unknown_volume;
pub(crate) mod resources;
pub(crate) mod security;

pub(crate) use containers::{ContainerRef, Role};
pub(crate) use facts::NodeFacts;

use crate::{AgentConfig, env::expand, supported, volumes::ContainerFiles};
use k8s_openapi::api::core::v1::Pod;
use proa_runtime_shim::{ContainerConfig, DnsConfig, SandboxConfig};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::PathBuf,
};

/// Reason of a container that cannot be made from its spec.
pub(crate) const CREATE_CONTAINER_CONFIG_ERROR: &str = "CreateContainerConfigError";
/// Reason of a sandbox that cannot be made.
pub(crate) const FAILED_CREATE_SANDBOX: &str = "FailedCreatePodSandBox";

/// Why a sandbox or container cannot be made now. The same attempt may work later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Reason, as it appears in the container's `waiting` state.
    pub(crate) reason: &'static str,
    /// Message for the user.
    pub(crate) message: String,
}

impl Refused {
    /// The container's configuration cannot be made.
    pub(crate) fn config(message: impl Into<String>) -> Self {
        Self { reason: CREATE_CONTAINER_CONFIG_ERROR, message: message.into() }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What had to be found out before a container can be made.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerInputs {
    /// Image to run: its id.
    pub(crate) image: String,
    /// The image's user, when it is a number.
    pub(crate) image_uid: Option<i64>,
    /// The image's user, when it is a name.
    pub(crate) image_username: String,
    /// Environment, from `env::resolve`.
    pub(crate) env: Vec<(String, String)>,
    /// Paths of the node, from `Volumes::prepare`.
    pub(crate) files: ContainerFiles,
    /// How often the container was restarted.
    pub(crate) attempt: u32,
    /// Id of the container whose processes an ephemeral container shall see.
    pub(crate) target: Option<String>,
}

/// Configuration of a pod's sandbox. `host_dns` is the node's own resolver configuration (`dns::read`).
pub(crate) fn sandbox(
    pod: &Pod,
    config: &AgentConfig,
    attempt: u32,
    host_dns: &DnsConfig,
) -> Result<SandboxConfig, Refused> {
    let (dns, _) = dns::of_pod(pod, config, host_dns);
    Ok(SandboxConfig {
        name: name(pod).to_owned(),
        namespace: namespace(pod).to_owned(),
        uid: uid(pod).to_owned(),
        attempt,
        hostname: hostname::of_sandbox(pod, &config.cluster_domain)?,
        log_directory: log_directory(pod, config),
        dns: Some(dns),
        labels: labels::of_sandbox(pod),
        annotations: pod.metadata.annotations.clone().unwrap_or_default(),
        cgroup_parent: resources::cgroup(pod, &config.cgroup_parent),
        sysctls: sysctls(pod),
        security: security::of_sandbox(pod),
        runtime_handler: String::new(),
    })
}

/// Configuration of one container.
pub(crate) fn container(
    pod: &Pod,
    container: &ContainerRef<'_>,
    inputs: &ContainerInputs,
    config: &AgentConfig,
    facts: &NodeFacts,
) -> Result<ContainerConfig, Refused> {
    let spec = &*container.spec;
    if container.role == Role::Ephemeral
        && let Some(why) = supported::container_refusal(spec, &format!("container {:?}", spec.name), facts)
    {
        return Err(Refused::config(why));
    }
    let env: HashMap<&str, &str> = inputs.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    let expanded = |texts: &Option<Vec<String>>| {
        texts.iter().flatten().map(|text| expand::expand(text, |name| env.get(name).copied())).collect()
    };
    Ok(ContainerConfig {
        name: spec.name.clone(),
        attempt: inputs.attempt,
        image: inputs.image.clone(),
        command: expanded(&spec.command),
        args: expanded(&spec.args),
        working_dir: spec.working_dir.clone().unwrap_or_default(),
        env: inputs.env.clone(),
        mounts: mounts::of_container(pod, spec, &inputs.files)?,
        devices: Vec::new(),
        labels: labels::of_container(pod, spec),
        annotations: labels::annotations_of_container(pod, spec, inputs.attempt),
        log_path: log_path(&spec.name, inputs.attempt),
        stdin: spec.stdin == Some(true),
        stdin_once: spec.stdin_once == Some(true),
        tty: spec.tty == Some(true),
        resources: resources::of_container(pod, container, facts),
        security: security::of_container(pod, spec, inputs, config)?,
    })
}

/// Directory of a pod's logs.
pub(crate) fn log_directory(pod: &Pod, config: &AgentConfig) -> PathBuf {
    config.pod_logs.join(format!("{}_{}_{}", namespace(pod), name(pod), uid(pod)))
}

/// A container's log below its pod's directory.
pub(crate) fn log_path(container: &str, attempt: u32) -> String {
    format!("{container}/{attempt}.log")
}

/// A pod as upstream's messages name it.
pub(crate) fn display(pod: &Pod) -> String {
    format!("{}_{}({})", name(pod), namespace(pod), uid(pod))
}

/// Name of a pod.
pub(crate) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// Namespace of a pod.
pub(crate) fn namespace(pod: &Pod) -> &str {
    pod.metadata.namespace.as_deref().unwrap_or_default()
}

/// UID of a pod.
pub(crate) fn uid(pod: &Pod) -> &str {
    pod.metadata.uid.as_deref().unwrap_or_default()
}

/// Whether a pod is on the node's network.
pub(crate) fn is_host_network(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| spec.host_network == Some(true))
}

fn sysctls(pod: &Pod) -> BTreeMap<String, String> {
    let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
    let sysctls = context.and_then(|context| context.sysctls.as_ref());
    // A name may be written with slashes; the runtime wants dots.
    sysctls.into_iter().flatten().map(|s| (supported::sysctl_name(&s.name), s.value.clone())).collect()
}

#[cfg(test)]
pub(crate) mod tests;
