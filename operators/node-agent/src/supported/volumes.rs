//! Types of volumes that this node does not have.
//!
//! Pure. Volumes that no container uses are checked as well: a pod must not start to fail when one is mounted.

use k8s_openapi::api::core::v1::{PodSpec, Volume, VolumeProjection};

/// The first volume that cannot be made.
pub(super) fn refusal(spec: &PodSpec) -> Option<String> {
    let volumes = spec.volumes.iter().flatten().enumerate();
    volumes.filter_map(|(index, volume)| of_volume(volume, &format!("spec.volumes[{index}]"))).next()
}

fn of_volume(volume: &Volume, at: &str) -> Option<String> {
    if let Some((field, why)) = foreign(volume) {
        return Some(format!("{at}.{field}: {why}"));
    }
    let medium = volume.empty_dir.as_ref().and_then(|source| source.medium.as_deref()).unwrap_or_default();
    if medium.starts_with("HugePages") {
        return Some(format!("{at}.emptyDir.medium: this node has no huge pages"));
    }
    let parts = volume.projected.as_ref()?.sources.iter().flatten().enumerate();
    parts.filter_map(|(index, part)| of_part(part, &format!("{at}.projected.sources[{index}]"))).next()
}

fn of_part(part: &VolumeProjection, at: &str) -> Option<String> {
    let key = &part.pod_certificate.as_ref()?.key_type;
    let known = ["ECDSAP256", "ECDSAP384", "ED25519"].contains(&key.as_str());
    (!known).then(|| format!("{at}.podCertificate.keyType: this node makes no keys of type {key:?}"))
}

const NO_NETWORK: &str = "this node cannot mount network file systems";
const NO_CLOUD: &str = "this node cannot attach disks of a cloud";
const NO_PLUGIN: &str = "this node has no such volume plugin";

fn foreign(volume: &Volume) -> Option<(&'static str, &'static str)> {
    let kinds = [
        (volume.csi.is_some(), "csi", "this node has no CSI drivers"),
        (volume.nfs.is_some(), "nfs", NO_NETWORK),
        (volume.iscsi.is_some(), "iscsi", NO_NETWORK),
        (volume.fc.is_some(), "fc", NO_NETWORK),
        (volume.cephfs.is_some(), "cephfs", NO_NETWORK),
        (volume.rbd.is_some(), "rbd", NO_NETWORK),
        (volume.glusterfs.is_some(), "glusterfs", NO_NETWORK),
        (volume.quobyte.is_some(), "quobyte", NO_NETWORK),
        (volume.azure_file.is_some(), "azureFile", NO_NETWORK),
        (volume.aws_elastic_block_store.is_some(), "awsElasticBlockStore", NO_CLOUD),
        (volume.azure_disk.is_some(), "azureDisk", NO_CLOUD),
        (volume.cinder.is_some(), "cinder", NO_CLOUD),
        (volume.gce_persistent_disk.is_some(), "gcePersistentDisk", NO_CLOUD),
        (volume.vsphere_volume.is_some(), "vsphereVolume", NO_CLOUD),
        (volume.photon_persistent_disk.is_some(), "photonPersistentDisk", NO_CLOUD),
        (volume.flex_volume.is_some(), "flexVolume", NO_PLUGIN),
        (volume.flocker.is_some(), "flocker", NO_PLUGIN),
        (volume.portworx_volume.is_some(), "portworxVolume", NO_PLUGIN),
        (volume.scale_io.is_some(), "scaleIO", NO_PLUGIN),
        (volume.storageos.is_some(), "storageos", NO_PLUGIN),
        (volume.git_repo.is_some(), "gitRepo", NO_PLUGIN),
    ];
    kinds.into_iter().find_map(|(is, field, why)| is.then_some((field, why)))
}
