//! Where things of pods are, as upstream lays them out below the agent's directory.
//!
//! Pure, but for making directories. Upstream: `pkg/kubelet/kubelet_getters.go`, `pkg/volume/*` (plugin names).

use crate::build::containers;
use k8s_openapi::api::core::v1::{Pod, Volume};
use std::{
    collections::BTreeSet,
    fs::{DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Paths of pods.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pods: PathBuf,
}

impl Layout {
    /// The layout below the agent's directory.
    pub(crate) fn new(root: &Path) -> Self {
        Self { pods: root.join("pods") }
    }
    /// All pods.
    pub(crate) fn pods(&self) -> PathBuf {
        self.pods.clone()
    }
    /// One pod.
    pub(crate) fn pod(&self, uid: &str) -> PathBuf {
        self.pods.join(uid)
    }
    /// One volume.
    pub(crate) fn volume(&self, uid: &str, plugin: &str, name: &str) -> PathBuf {
        self.pod(uid).join("volumes").join(plugin).join(name)
    }
    /// The pod's hosts file.
    pub(crate) fn hosts(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("etc-hosts")
    }
    /// What a container wrote as its last message, per attempt.
    pub(crate) fn termination_log(&self, uid: &str, container: &str, attempt: u32) -> PathBuf {
        self.pod(uid).join("containers").join(container).join(attempt.to_string())
    }
    /// Mounts of parts of volumes.
    pub(crate) fn subpaths(&self, uid: &str) -> PathBuf {
        self.pod(uid).join("volume-subpaths")
    }
}

/// Directory name of a volume's type; none for types that are not made here.
pub(crate) fn plugin(volume: &Volume) -> Option<&'static str> {
    let kinds = [
        (volume.empty_dir.is_some(), "kubernetes.io~empty-dir"),
        (volume.config_map.is_some(), "kubernetes.io~configmap"),
        (volume.secret.is_some(), "kubernetes.io~secret"),
        (volume.projected.is_some(), "kubernetes.io~projected"),
        (volume.downward_api.is_some(), "kubernetes.io~downward-api"),
    ];
    kinds.into_iter().find_map(|(is, name)| is.then_some(name))
}

/// Names of the volumes that containers use.
pub(super) fn used_names(pod: &Pod) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for container in containers::all(pod) {
        let spec = &container.spec;
        used.extend(spec.volume_mounts.iter().flatten().map(|mount| mount.name.clone()));
        let sources = spec.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
        used.extend(sources.filter_map(|from| from.file_key_ref.as_ref()).map(|key| key.volume_name.clone()));
    }
    used
}

/// Makes a directory that only the agent and its group may look into, with its parents.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(path)
}

/// Sets the mode of a file whatever the process' mask is.
pub(super) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}
