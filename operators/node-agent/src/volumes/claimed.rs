//! Volumes behind claims: where they are on this node, and whose files they are.
//!
//! Owns: which volumes this node can mount (directories of its own: `local`, `hostPath`), and the group of their files.
//! Invariants: the group is given once per pod, before its containers start; a mark in the pod's directory says that it
//! was. Deliberately absent: block devices (`supported` refuses `volumeDevices`), mounts of other kinds.
//! Upstream: `pkg/kubelet/volumemanager/populator`, `pkg/volume/local/local.go`, `pkg/volume/volume_linux.go`.

use super::{
    host_path, layout,
    ownership::{self, Access},
};
use crate::{
    build::{namespace, uid},
    sources::Sources,
};
use k8s_openapi::api::core::v1::{Node, PersistentVolume, PersistentVolumeClaim, Pod, Volume};
use proa_kit::{
    storage::ephemeral_name,
    views::{NodeView, PersistentVolumeView},
};
use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Where the mark of a volume is below its pod's directory.
pub(super) const PLUGIN: &str = "kubernetes.io~local-volume";
/// What a group needs of the top directory.
const ROOT: (u32, u32) = (0o770, 0o550);
const SET_GROUP: u32 = 0o2000;

/// A volume behind a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// A directory of this node, whose files may be given to a group.
    Local(PathBuf),
    /// Any path of a node, with the type that it shall have.
    HostPath(PathBuf, String),
}

/// The group that files shall belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Group {
    id: u32,
    access: Access,
    /// Only when the top directory is not the group's already.
    on_mismatch: bool,
}

/// Name of the claim of a volume, and whether it is the pod's own.
pub(super) fn claim_name(pod: &Pod, volume: &Volume) -> Option<(String, bool)> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some((source.claim_name.clone(), false));
    }
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    volume.ephemeral.as_ref().map(|_| (ephemeral_name(pod_name, &volume.name), true))
}

/// Whether nobody may write to it, whatever the mount says.
pub(crate) fn is_read_only(volume: &Volume) -> bool {
    volume.persistent_volume_claim.as_ref().is_some_and(|source| source.read_only == Some(true))
}

/// Finds the volume behind a claim.
pub(super) async fn find(
    pod: &Pod,
    volume: &Volume,
    (claim_name, is_own): (&str, bool),
    sources: &Sources,
    node: &str,
) -> Result<Claimed, String> {
    let namespace = namespace(pod);
    let failed = |why: String| format!("error processing PVC {namespace}/{claim_name}: {why}");
    let claim = sources.claim(namespace, claim_name).await;
    let claim = claim.map_err(|error| failed(format!("failed to fetch PVC from API server: {error}")))?;
    let name = bound_to(&claim).map_err(|why| failed(why.to_owned()))?;
    if is_own && !is_for(&claim, pod) {
        let pod = pod.metadata.name.as_deref().unwrap_or_default();
        return Err(format!(
            "PVC {namespace}/{claim_name} was not created for pod {namespace}/{pod} (pod is not owner)"
        ));
    }
    let found = sources.persistent_volume(name).await;
    let found =
        found.map_err(|error| failed(format!("failed to fetch PV {name} from API server: {error}")))?;
    check(&found, &claim).map_err(failed)?;
    if found.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref()) == Some("Block") {
        return Err(format!("volume {} has volumeMode Block, but is specified in volumeMounts", volume.name));
    }
    let node = sources.node(node).await.map_err(|error| error.to_string())?;
    if !is_reached(&found, &node) {
        return Err(format!(
            "MountVolume.NodeAffinity check failed for volume {name:?} : no matching NodeSelectorTerms"
        ));
    }
    source(&found)
}

fn bound_to(claim: &PersistentVolumeClaim) -> Result<&str, &'static str> {
    if claim.metadata.deletion_timestamp.is_some() {
        return Err("PVC is being deleted");
    }
    if claim.status.as_ref().and_then(|status| status.phase.as_deref()) != Some("Bound") {
        return Err("PVC is not bound");
    }
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    if name.is_empty() { Err("PVC has empty pvc.Spec.VolumeName") } else { Ok(name) }
}

fn is_for(claim: &PersistentVolumeClaim, pod: &Pod) -> bool {
    let mut owners = claim.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.controller == Some(true) && owner.uid == uid(pod))
}

fn check(volume: &PersistentVolume, claim: &PersistentVolumeClaim) -> Result<(), String> {
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let Some(reference) = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref()) else {
        return Err(format!(
            "found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
        ));
    };
    let (own, wanted) = (reference.uid.as_deref().unwrap_or_default(), &claim.metadata.uid);
    let wanted = wanted.as_deref().unwrap_or_default();
    if own != wanted {
        return Err(format!(
            "found PV object {name} but its pv.Spec.ClaimRef.UID {own} does not point to claim.UID {wanted}"
        ));
    }
    Ok(())
}

/// Whether the volume can be had on this node. What cannot be read cannot.
fn is_reached(volume: &PersistentVolume, node: &Node) -> bool {
    fn view<V: serde::de::DeserializeOwned>(object: &impl serde::Serialize) -> Option<V> {
        serde_json::from_str(&serde_json::to_string(object).ok()?).ok()
    }
    let (volume, node) = (view::<PersistentVolumeView>(volume), view::<NodeView>(node));
    volume.zip(node).is_some_and(|(volume, node)| volume.is_reached_from(&node))
}

fn source(volume: &PersistentVolume) -> Result<Claimed, String> {
    let spec = volume.spec.as_ref();
    if let Some(local) = spec.and_then(|spec| spec.local.as_ref()) {
        return Ok(Claimed::Local(local.path.clone().into()));
    }
    if let Some(path) = spec.and_then(|spec| spec.host_path.as_ref()) {
        return Ok(Claimed::HostPath(path.path.clone().into(), path.type_.clone().unwrap_or_default()));
    }
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    Err(format!("volume {name:?}: this node mounts persistent volumes of the types local and hostPath only"))
}

impl Group {
    /// What a pod asks for; nothing is changed for a volume that it only reads.
    pub(super) fn of(pod: &Pod, volume: &Volume, id: Option<u32>) -> Option<Self> {
        let context = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let policy = context.and_then(|context| context.fs_group_change_policy.as_deref());
        let id = id.filter(|_| !is_read_only(volume))?;
        Some(Self { id, access: Access::ReadWrite, on_mismatch: policy == Some("OnRootMismatch") })
    }
    fn give(self, path: &Path) -> io::Result<()> {
        if self.on_mismatch && self.is_given(&fs::metadata(path)?) {
            return Ok(());
        }
        ownership::give_all_to_group(path, self.id, self.access)
    }
    fn is_given(self, root: &fs::Metadata) -> bool {
        let rights = if self.access == Access::ReadWrite { ROOT.0 } else { ROOT.1 } | SET_GROUP;
        root.is_dir() && root.gid() == self.id && root.permissions().mode() & rights == rights
    }
}

/// Checks that the volume is there, and gives its files to the pod's group.
pub(super) fn set_up(claimed: &Claimed, mark: &Path, group: Option<Group>) -> io::Result<PathBuf> {
    let path = match claimed {
        Claimed::HostPath(path, type_) => {
            host_path::check(path, type_)?;
            return Ok(path.clone());
        }
        Claimed::Local(path) => path,
    };
    if !path.is_dir() {
        return Err(io::Error::other(format!("path {:?} does not exist", path.display().to_string())));
    }
    if mark.is_dir() {
        return Ok(path.clone());
    }
    if let Some(group) = group {
        group.give(path)?;
    }
    layout::make_private(mark)?;
    Ok(path.clone())
}

#[cfg(test)]
mod tests;
