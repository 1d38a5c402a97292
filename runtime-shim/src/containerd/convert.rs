//! The vocabulary as CRI messages, and back.

use crate::{
    Capabilities, ContainerConfig, LinuxResources, Mount, NamespaceMode, Namespaces, Propagation,
    SandboxConfig, Security, SecurityProfile,
};
use jiff::Timestamp;
use k8s_cri::v1;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

/// The label by which a pod's sandboxes and containers are found.
const POD_UID: &str = "io.kubernetes.pod.uid";

/// A selector of what belongs to a pod.
pub(super) fn of_pod(pod_uid: &str) -> HashMap<String, String> {
    HashMap::from([(POD_UID.to_owned(), pod_uid.to_owned())])
}

pub(super) fn map(pairs: &BTreeMap<String, String>) -> HashMap<String, String> {
    pairs.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Nanoseconds since the epoch.
pub(super) fn timestamp(nanoseconds: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanoseconds.into())
        .expect("any i64 of nanoseconds lies in the years that jiff knows")
}

/// As [`timestamp`], where zero means that it did not happen yet.
pub(super) fn timestamp_if_any(nanoseconds: i64) -> Option<Timestamp> {
    (nanoseconds != 0).then(|| timestamp(nanoseconds))
}

pub(super) fn sandbox_config(config: &SandboxConfig) -> v1::PodSandboxConfig {
    v1::PodSandboxConfig {
        metadata: Some(v1::PodSandboxMetadata {
            name: config.name.clone(),
            uid: config.uid.clone(),
            namespace: config.namespace.clone(),
            attempt: config.attempt,
        }),
        hostname: config.hostname.clone(),
        log_directory: text(&config.log_directory),
        dns_config: config.dns.as_ref().map(|dns| v1::DnsConfig {
            servers: dns.servers.clone(),
            searches: dns.searches.clone(),
            options: dns.options.clone(),
        }),
        labels: map(&config.labels),
        annotations: map(&config.annotations),
        linux: Some(v1::LinuxPodSandboxConfig {
            cgroup_parent: config.cgroup_parent.clone(),
            security_context: Some(sandbox_security(&config.security)),
            sysctls: map(&config.sysctls),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn sandbox_security(security: &Security) -> v1::LinuxSandboxSecurityContext {
    v1::LinuxSandboxSecurityContext {
        namespace_options: Some(namespaces(&security.namespaces)),
        run_as_user: security.run_as_user.map(int64),
        run_as_group: security.run_as_group.map(int64),
        readonly_rootfs: security.read_only_rootfs,
        supplemental_groups: security.supplemental_groups.clone(),
        privileged: security.privileged,
        seccomp: Some(profile(&security.seccomp)),
        apparmor: apparmor(&security.apparmor),
        ..Default::default()
    }
}

pub(super) fn container_config(config: &ContainerConfig) -> v1::ContainerConfig {
    v1::ContainerConfig {
        metadata: Some(v1::ContainerMetadata { name: config.name.clone(), attempt: config.attempt }),
        image: Some(image(&config.image)),
        command: config.command.clone(),
        args: config.args.clone(),
        working_dir: config.working_dir.clone(),
        envs: config.env.iter().cloned().map(|(key, value)| v1::KeyValue { key, value }).collect(),
        mounts: config.mounts.iter().map(mount).collect(),
        devices: config.devices.iter().map(device).collect(),
        labels: map(&config.labels),
        annotations: map(&config.annotations),
        log_path: config.log_path.clone(),
        stdin: config.stdin,
        stdin_once: config.stdin_once,
        tty: config.tty,
        linux: Some(v1::LinuxContainerConfig {
            resources: Some(resources(&config.resources)),
            security_context: Some(container_security(&config.security)),
        }),
        ..Default::default()
    }
}

pub(super) fn image(reference: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: reference.to_owned(), ..Default::default() }
}

fn mount(mount: &Mount) -> v1::Mount {
    let propagation = match mount.propagation {
        Propagation::Private => v1::MountPropagation::PropagationPrivate,
        Propagation::HostToContainer => v1::MountPropagation::PropagationHostToContainer,
        Propagation::Bidirectional => v1::MountPropagation::PropagationBidirectional,
    };
    v1::Mount {
        container_path: mount.container_path.clone(),
        host_path: text(&mount.host_path),
        readonly: mount.read_only,
        propagation: propagation.into(),
        ..Default::default()
    }
}

fn device(device: &crate::Device) -> v1::Device {
    v1::Device {
        container_path: device.container_path.clone(),
        host_path: device.host_path.clone(),
        permissions: device.permissions.clone(),
    }
}

pub(super) fn resources(resources: &LinuxResources) -> v1::LinuxContainerResources {
    let hugepage =
        |(size, limit): (&String, &u64)| v1::HugepageLimit { page_size: size.clone(), limit: *limit };
    v1::LinuxContainerResources {
        cpu_period: resources.cpu_period,
        cpu_quota: resources.cpu_quota,
        cpu_shares: resources.cpu_shares,
        memory_limit_in_bytes: resources.memory_limit,
        memory_swap_limit_in_bytes: resources.memory_swap_limit,
        oom_score_adj: resources.oom_score_adj,
        cpuset_cpus: resources.cpuset_cpus.clone(),
        cpuset_mems: resources.cpuset_mems.clone(),
        hugepage_limits: resources.hugepages.iter().map(hugepage).collect(),
        ..Default::default()
    }
}

fn container_security(security: &Security) -> v1::LinuxContainerSecurityContext {
    v1::LinuxContainerSecurityContext {
        capabilities: Some(capabilities(&security.capabilities)),
        privileged: security.privileged,
        namespace_options: Some(namespaces(&security.namespaces)),
        run_as_user: security.run_as_user.map(int64),
        run_as_username: security.run_as_username.clone(),
        run_as_group: security.run_as_group.map(int64),
        readonly_rootfs: security.read_only_rootfs,
        supplemental_groups: security.supplemental_groups.clone(),
        no_new_privs: security.no_new_privs,
        masked_paths: security.masked_paths.clone(),
        readonly_paths: security.readonly_paths.clone(),
        seccomp: Some(profile(&security.seccomp)),
        apparmor: apparmor(&security.apparmor),
        ..Default::default()
    }
}

fn int64(value: i64) -> v1::Int64Value {
    v1::Int64Value { value }
}

fn capabilities(capabilities: &Capabilities) -> v1::Capability {
    v1::Capability {
        add_capabilities: capabilities.add.clone(),
        drop_capabilities: capabilities.drop.clone(),
        ..Default::default()
    }
}

fn profile(profile: &SecurityProfile) -> v1::SecurityProfile {
    use v1::security_profile::ProfileType;
    let (profile_type, localhost_ref) = match profile {
        SecurityProfile::RuntimeDefault => (ProfileType::RuntimeDefault, String::new()),
        SecurityProfile::Unconfined => (ProfileType::Unconfined, String::new()),
        SecurityProfile::Localhost(reference) => (ProfileType::Localhost, reference.clone()),
    };
    v1::SecurityProfile { profile_type: profile_type.into(), localhost_ref }
}

/// The default is left unsaid: containerd refuses it by name on machines without AppArmor.
fn apparmor(wanted: &SecurityProfile) -> Option<v1::SecurityProfile> {
    (*wanted != SecurityProfile::RuntimeDefault).then(|| profile(wanted))
}

fn namespaces(namespaces: &Namespaces) -> v1::NamespaceOption {
    let target = match &namespaces.pid {
        NamespaceMode::Target(id) => id.clone(),
        _ => String::new(),
    };
    v1::NamespaceOption {
        network: namespace(&namespaces.network).into(),
        pid: namespace(&namespaces.pid).into(),
        ipc: namespace(&namespaces.ipc).into(),
        target_id: target,
        userns_options: None,
    }
}

fn namespace(mode: &NamespaceMode) -> v1::NamespaceMode {
    match mode {
        NamespaceMode::Pod => v1::NamespaceMode::Pod,
        NamespaceMode::Container => v1::NamespaceMode::Container,
        NamespaceMode::Node => v1::NamespaceMode::Node,
        NamespaceMode::Target(_) => v1::NamespaceMode::Target,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_joins_another_names_it() {
        let joined = Namespaces { pid: NamespaceMode::Target("abc".into()), ..Namespaces::default() };
        let option = namespaces(&joined);
        assert_eq!(option.pid, i32::from(v1::NamespaceMode::Target));
        assert_eq!(option.target_id, "abc");
        assert_eq!(namespaces(&Namespaces::default()).pid, i32::from(v1::NamespaceMode::Container));
    }

    #[test]
    fn zero_is_no_time() {
        assert_eq!(timestamp_if_any(0), None);
        assert_eq!(timestamp(1_000_000_000).as_second(), 1);
        timestamp(i64::MAX);
        timestamp(i64::MIN);
    }
}
