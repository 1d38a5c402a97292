//! The mounts of a container.
//!
//! Pure. Invariants: order is volume mounts as written, then `/etc/hosts` unless a volume is mounted there, then the
//! file for the last message. Volumes whose content the agent owns, and claims that a pod only reads, are read-only
//! whatever the mount says.
//! Deliberately absent: `/dev/shm` and `/etc/resolv.conf` (the runtime's), recursive read-only mounts (the runtime has
//! none: `Enabled` is refused, `IfPossible` is not possible).
//! Upstream: `pkg/kubelet/kubelet_pods.go` (`makeMounts`), `pkg/kubelet/kuberuntime/kuberuntime_container.go`.

use super::Refused;
use crate::volumes::{ContainerFiles, is_read_only};
use k8s_openapi::api::core::v1::{Container, Pod, Volume, VolumeMount};
use proa_runtime_shim::{Mount, Propagation};

/// Where the hosts file appears.
pub(crate) const HOSTS: &str = "/etc/hosts";

pub(super) fn of_container(
    pod: &Pod,
    container: &Container,
    files: &ContainerFiles,
) -> Result<Vec<Mount>, Refused> {
    let asked = container.volume_mounts.as_deref().unwrap_or_default();
    let mut mounts = Vec::with_capacity(asked.len() + 2);
    for (index, mount) in asked.iter().enumerate() {
        let path = files.mounts.get(index).ok_or_else(|| unknown_volume(mount, container))?;
        mounts.push(Mount {
            container_path: absolute(&mount.mount_path),
            host_path: path.clone(),
            read_only: mount.read_only == Some(true) || is_never_written(pod, &mount.name),
            propagation: propagation(mount)?,
        });
        verify_recursive(mount)?;
    }
    let hosts = files.hosts.iter().filter(|_| asked.iter().all(|mount| mount.mount_path != HOSTS));
    let last_words = files.termination_log.iter().zip(container.termination_message_path.as_deref());
    let extra = hosts.map(|path| (path, HOSTS)).chain(last_words);
    mounts.extend(extra.map(|(path, at)| Mount {
        container_path: absolute(at),
        host_path: path.clone(),
        ..Mount::default()
    }));
    Ok(mounts)
}

/// As upstream says it.
pub(crate) fn unknown_volume(mount: &VolumeMount, container: &Container) -> Refused {
    let (volume, container) = (&mount.name, &container.name);
    Refused::config(format!("cannot find volume {volume:?} to mount into container {container:?}"))
}

fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

fn is_never_written(pod: &Pod, volume: &str) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref()).unwrap_or_default();
    let is_never = |volume: &Volume| {
        volume.config_map.is_some()
            || volume.secret.is_some()
            || volume.projected.is_some()
            || volume.downward_api.is_some()
            || volume.image.is_some()
            || is_read_only(volume)
    };
    volumes.iter().any(|found| found.name == volume && is_never(found))
}

fn propagation(mount: &VolumeMount) -> Result<Propagation, Refused> {
    match mount.mount_propagation.as_deref() {
        None | Some("None") => Ok(Propagation::Private),
        Some("HostToContainer") => Ok(Propagation::HostToContainer),
        Some("Bidirectional") => Ok(Propagation::Bidirectional),
        Some(other) => Err(Refused::config(format!("invalid MountPropagation mode: {other:?}"))),
    }
}

fn verify_recursive(mount: &VolumeMount) -> Result<(), Refused> {
    let problem = match mount.recursive_read_only.as_deref() {
        None | Some("Disabled" | "IfPossible") => return Ok(()),
        Some("Enabled") => {
            "requested recursive read-only mode, but it is not supported by the runtime".to_owned()
        }
        Some(other) => format!("has unknown recursive read-only mode {other:?}"),
    };
    Err(Refused::config(format!(
        "failed to resolve recursive read-only mode: volume {:?} {problem}",
        mount.name
    )))
}
