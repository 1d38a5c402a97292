//! What this node cannot honour.
//!
//! Pure. A pod that asks for something that the node does not have is refused before anything of it starts, with the
//! field's name; nothing is accepted and then ignored. Upstream has reasons of its own for some of it (system
//! parameters, AppArmor, another operating system); the rest is `PodFeatureUnsupported`.
//! Upstream: `pkg/kubelet/lifecycle/{handlers,predicate}.go`, `pkg/kubelet/sysctl/{allowlist,safe_sysctls}.go`.

mod sysctls;
mod volumes;

pub(crate) use sysctls::sysctl_name;

use crate::build::{ContainerRef, NodeFacts, Refused, Role, containers, is_host_network, security};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use proa_runtime_shim::SecurityProfile;

/// Reason of a pod that asks for what the node does not have.
pub(crate) const UNSUPPORTED: &str = "PodFeatureUnsupported";

/// Why the node does not take the pod; none when it does.
pub(crate) fn refusal(pod: &Pod, facts: &NodeFacts) -> Option<Refused> {
    let spec = pod.spec.as_ref()?;
    other_system(spec)
        .or_else(|| of_pod(spec).map(|why| Refused { reason: UNSUPPORTED, message: why }))
        .or_else(|| groups(spec))
        .or_else(|| sysctls(pod))
        .or_else(|| selinux(spec, facts))
        .or_else(|| volumes::refusal(spec).map(|message| Refused { reason: UNSUPPORTED, message }))
        .or_else(|| of_containers(pod, facts))
}

/// Why one container cannot be run; ephemeral ones are added to pods that run already. `at` is its field.
pub(crate) fn container_refusal(container: &Container, at: &str, facts: &NodeFacts) -> Option<String> {
    let resources = container.resources.as_ref();
    if resources.and_then(|resources| resources.claims.as_ref()).is_some_and(|claims| !claims.is_empty()) {
        return Some(format!("{at}.resources.claims: this node has no devices to claim"));
    }
    let mut limits = resources.and_then(|resources| resources.limits.as_ref()).into_iter().flatten();
    if let Some((name, _)) = limits.find(|(name, _)| name.starts_with("hugepages-")) {
        return Some(format!("{at}.resources.limits[{name}]: this node has no huge pages"));
    }
    if container.volume_devices.as_ref().is_some_and(|devices| !devices.is_empty()) {
        return Some(format!("{at}.volumeDevices: this node has no block volumes"));
    }
    if container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.stop_signal.is_some()) {
        return Some(format!("{at}.lifecycle.stopSignal: the runtime sends the image's stop signal only"));
    }
    for (index, mount) in container.volume_mounts.iter().flatten().enumerate() {
        if mount.bind_mount_options.as_ref().is_some_and(|options| !options.is_empty()) {
            return Some(format!("{at}.volumeMounts[{index}].bindMountOptions: the runtime cannot set them"));
        }
    }
    let context = container.security_context.as_ref()?;
    if context.windows_options.is_some() {
        return Some(format!("{at}.securityContext.windowsOptions: this node runs Linux"));
    }
    if facts.selinux && context.se_linux_options.is_some() {
        return Some(format!("{at}.securityContext.seLinuxOptions: {NO_LABELS}"));
    }
    None
}

const NO_LABELS: &str = "this node cannot set SELinux labels";

fn other_system(spec: &PodSpec) -> Option<Refused> {
    let is_other = spec.os.as_ref().is_some_and(|os| os.name != "linux");
    is_other.then(|| Refused {
        reason: "PodOSNotSupported",
        message: "Failed to admit pod as the OS field doesn't match node OS".to_owned(),
    })
}

fn of_pod(spec: &PodSpec) -> Option<String> {
    if spec.host_users == Some(false) {
        return Some("spec.hostUsers: this node cannot run pods in a user namespace of their own".to_owned());
    }
    if spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()) {
        return Some("spec.resourceClaims: this node has no devices to claim".to_owned());
    }
    if spec.runtime_class_name.as_ref().is_some_and(|name| !name.is_empty()) {
        return Some("spec.runtimeClassName: this node has one container runtime only".to_owned());
    }
    let context = spec.security_context.as_ref()?;
    let is_windows = context.windows_options.is_some();
    is_windows.then(|| "spec.securityContext.windowsOptions: this node runs Linux".to_owned())
}

fn groups(spec: &PodSpec) -> Option<Refused> {
    let policy = spec.security_context.as_ref()?.supplemental_groups_policy.as_deref()?;
    (policy == "Strict").then(|| Refused {
        reason: "SupplementalGroupsPolicyNotSupported",
        message: "SupplementalGroupsPolicy=Strict is not supported in this node".to_owned(),
    })
}

fn sysctls(pod: &Pod) -> Option<Refused> {
    let spec = pod.spec.as_ref()?;
    let asked = spec.security_context.as_ref()?.sysctls.as_ref()?;
    let host = sysctls::Host { network: is_host_network(pod), ipc: spec.host_ipc == Some(true) };
    let why = asked.iter().find_map(|sysctl| sysctls::refusal(&sysctl.name, host))?;
    Some(Refused { reason: "SysctlForbidden", message: format!("forbidden sysctl: {why}") })
}

fn selinux(spec: &PodSpec, facts: &NodeFacts) -> Option<Refused> {
    let asked = spec.security_context.as_ref()?.se_linux_options.is_some();
    let message = || format!("spec.securityContext.seLinuxOptions: {NO_LABELS}");
    (asked && facts.selinux).then(|| Refused { reason: UNSUPPORTED, message: message() })
}

fn of_containers(pod: &Pod, facts: &NodeFacts) -> Option<Refused> {
    for (at, container) in located(pod) {
        if let Some(message) = container_refusal(&container.spec, &at, facts) {
            return Some(Refused { reason: UNSUPPORTED, message });
        }
        let profile = security::named_apparmor(pod, &container.spec);
        if !facts.apparmor && profile.is_some_and(|profile| profile != SecurityProfile::Unconfined) {
            let message = "Cannot enforce AppArmor: AppArmor is not enabled on the host".to_owned();
            return Some(Refused { reason: "AppArmor", message });
        }
    }
    None
}

/// The containers that start with the pod, with their fields.
fn located(pod: &Pod) -> impl Iterator<Item = (String, ContainerRef<'_>)> {
    let is_init = |role| matches!(role, Role::Init | Role::Sidecar);
    let inits = containers::all(pod).take_while(move |container| is_init(container.role)).count();
    let starting = containers::all(pod).filter(|container| container.role != Role::Ephemeral);
    starting.enumerate().map(move |(index, container)| match container.role {
        Role::Init | Role::Sidecar => (format!("spec.initContainers[{index}]"), container),
        Role::App | Role::Ephemeral => (format!("spec.containers[{}]", index - inits), container),
    })
}

#[cfg(test)]
mod tests;
