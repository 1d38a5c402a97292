//! The files of the node that one container is given.
//!
//! Owns: the paths of its mounts, parts of volumes among them; the pod's hosts file; the file for its last message; the
//! directory of its log. Upstream: `pkg/kubelet/kubelet_pods.go` (`makeMounts`, `ensureHostsFile`),
//! `pkg/kubelet/kuberuntime/kuberuntime_container.go` (`makeMounts`).

use super::{
    layout::{self, Layout},
    subpath,
};
use crate::{
    AgentConfig,
    build::{self, Refused, hostname, uid},
    env::expand,
};
use k8s_openapi::api::core::v1::{Container, Pod, VolumeMount};
use std::{
    collections::BTreeMap,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Component, Path, PathBuf},
    sync::Arc,
};
use tracing::warn;

/// The node's own hosts file.
const NODE_HOSTS: &str = "/etc/hosts";

/// Paths for one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerFiles {
    /// One per `volumeMounts` entry, in order.
    pub(crate) mounts: Vec<PathBuf>,
    /// The hosts file.
    pub(crate) hosts: Option<PathBuf>,
    /// The file for the last message.
    pub(crate) termination_log: Option<PathBuf>,
}

/// What to make, and for whom.
pub(super) struct Request {
    pub(super) layout: Layout,
    pub(super) config: Arc<AgentConfig>,
    pub(super) pod: Arc<Pod>,
    pub(super) container: Container,
    pub(super) attempt: u32,
    pub(super) env: Vec<(String, String)>,
    pub(super) pod_ips: Vec<String>,
    pub(super) paths: BTreeMap<String, PathBuf>,
}

/// Makes the files.
pub(super) fn make(request: &Request) -> Result<ContainerFiles, Refused> {
    let mounts = request.container.volume_mounts.iter().flatten().enumerate();
    let mounts = mounts.map(|(index, mount)| path(request, index, mount)).collect::<Result<_, _>>()?;
    let failed = |error: io::Error| Refused::config(error.to_string());
    Ok(ContainerFiles {
        mounts,
        hosts: hosts(request).map_err(failed)?,
        termination_log: termination_log(request).map_err(failed)?,
    })
    .and_then(|files| log_directory(request).map(|()| files).map_err(failed))
}

fn path(request: &Request, index: usize, mount: &VolumeMount) -> Result<PathBuf, Refused> {
    let container = &request.container;
    let volume = request.paths.get(&mount.name).ok_or_else(|| build::unknown_volume(mount, container))?;
    let part = sub_path(request, mount)?;
    if part.is_empty() {
        return Ok(volume.clone());
    }
    verify(&part)?;
    let path = Path::new(&part);
    // What exactly is wrong would tell the pod's owner about files of the node: it goes to the log.
    let failed = |what: &str, error: io::Error| {
        warn!(pod = build::display(&request.pod), container = container.name, mount = mount.name, %error, "subPath");
        Refused::config(format!(
            "failed to {what} for volumeMount {:?} of container {:?}",
            mount.name, container.name
        ))
    };
    subpath::provide(volume, path).map_err(|error| failed("create subPath directory", error))?;
    let mounts = request.layout.subpaths(uid(&request.pod));
    let part =
        subpath::Part { volume, path, mounts: &mounts, name: &mount.name, container: &container.name, index };
    subpath::mount(&part).map_err(|error| failed("prepare subPath", error))
}

fn sub_path(request: &Request, mount: &VolumeMount) -> Result<String, Refused> {
    let Some(expression) = mount.sub_path_expr.as_deref().filter(|text| !text.is_empty()) else {
        return Ok(mount.sub_path.clone().unwrap_or_default());
    };
    let value = |name: &str| request.env.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    expand::expand_all(expression, value).map_err(Refused::config)
}

fn verify(path: &str) -> Result<(), Refused> {
    if path.starts_with('/') {
        return Err(Refused::config(format!("error SubPath `{path}` must not be an absolute path")));
    }
    if Path::new(path).components().any(|part| part == Component::ParentDir) {
        return Err(Refused::config(format!("unable to provision SubPath `{path}`: must not contain '..'")));
    }
    Ok(())
}

/// Written anew for every container, in place: running containers have the same file.
fn hosts(request: &Request) -> io::Result<Option<PathBuf>> {
    let pod = &request.pod;
    let on_node = build::is_host_network(pod);
    if request.pod_ips.is_empty() && !on_node {
        return Ok(None);
    }
    let node_hosts = if on_node { fs::read_to_string(NODE_HOSTS)? } else { String::new() };
    let text = hostname::hosts_file(pod, &request.config.cluster_domain, &request.pod_ips, &node_hosts);
    layout::make_private(&request.layout.pod(uid(pod)))?;
    let path = request.layout.hosts(uid(pod));
    fs::write(&path, text)?;
    layout::set_mode(&path, 0o644)?;
    Ok(Some(path))
}

fn termination_log(request: &Request) -> io::Result<Option<PathBuf>> {
    let container = &request.container;
    if container.termination_message_path.as_deref().is_none_or(str::is_empty) {
        return Ok(None);
    }
    let path = request.layout.termination_log(uid(&request.pod), &container.name, request.attempt);
    if let Some(directory) = path.parent() {
        layout::make_private(directory)?;
    }
    fs::write(&path, "")?;
    // The container may run as anybody.
    layout::set_mode(&path, 0o666)?;
    Ok(Some(path))
}

fn log_directory(request: &Request) -> io::Result<()> {
    let directory = build::log_directory(&request.pod, &request.config).join(&request.container.name);
    DirBuilder::new().recursive(true).mode(0o755).create(directory)
}
