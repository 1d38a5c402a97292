//! The files of images, mounted as they are: CRI of containerd 1.6 has no image volumes, so a read-only view of an
//! image's layers is asked of the snapshotter, and mounted in this process' mount namespace.
//!
//! Invariants: a view keeps its layers from being collected, and its labels say whose it is, so that one that was left
//! behind is found again; every call may be repeated. Upstream: containerd `pkg/cri/server/container_image_mount.go`.

use super::{
    Containerd, NAMESPACE,
    client::{REQUEST, call, or_gone},
    errors,
};
use crate::{Error, Result};
use containerd_client::{
    services::v1::{
        ReadContentRequest,
        content_client::ContentClient,
        snapshots::{
            ListSnapshotsRequest, MountsRequest, RemoveSnapshotRequest, ViewSnapshotRequest,
            snapshots_client::SnapshotsClient,
        },
    },
    types::Mount,
};
use futures::TryStreamExt as _;
use rustix::mount::{MountFlags, mount, mount_remount};
use serde::Deserialize;
use std::{
    ffi::CString,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};
use tonic::{Code, Request, metadata::MetadataValue, transport::Channel};

/// The snapshotter that CRI is told to use.
const SNAPSHOTTER: &str = "overlayfs";
/// Label of views: the pod they are for.
const POD_UID: &str = "io.kubernetes.pod.uid";
/// Label that keeps what it is on from being collected.
const KEEP: &str = "containerd.io/gc.root";

/// What is read of an image's configuration.
#[derive(Deserialize)]
struct ImageConfig {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

/// Mounts the files of an image, which is given by its id.
pub(super) async fn attach(
    containerd: &Containerd,
    image: &str,
    pod_uid: &str,
    volume: &str,
    at: &Path,
) -> Result<()> {
    let config = read_config(containerd, image).await?;
    let config: ImageConfig =
        serde_json::from_slice(&config).map_err(|error| failed(&format!("read {image}: {error}")))?;
    let mounts = view(containerd, &chain_id(&config.rootfs.diff_ids), pod_uid, volume).await?;
    let at = at.to_owned();
    let mounted = tokio::task::spawn_blocking(move || mounts.iter().try_for_each(|one| mount_one(one, &at)));
    let mounted = mounted.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    mounted.map_err(|error| failed(&error.to_string()))
}

/// Gives up the layers of a pod's image volumes, which must be unmounted.
pub(super) async fn release(containerd: &Containerd, pod_uid: &str) -> Result<()> {
    let mut client = SnapshotsClient::new(containerd.channel.clone());
    let filters = vec![format!("labels.\"{POD_UID}\"=={pod_uid}")];
    let list = ListSnapshotsRequest { snapshotter: SNAPSHOTTER.to_owned(), filters };
    let listed = call("release_image_mounts", REQUEST, client.list(request(list))).await?;
    let parts: Vec<_> = listed
        .try_collect()
        .await
        .map_err(|status| errors::from_status("release_image_mounts", REQUEST, &status))?;
    for info in parts.into_iter().flat_map(|part| part.info) {
        let remove = RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: info.name };
        or_gone(call("release_image_mounts", REQUEST, client.remove(request(remove))).await)?;
    }
    Ok(())
}

fn request<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("containerd-namespace", MetadataValue::from_static(NAMESPACE));
    request
}

fn failed(message: &str) -> Error {
    Error::Failed { operation: "mount_image", message: message.to_owned() }
}

/// An image's id is the digest of its configuration.
async fn read_config(containerd: &Containerd, image: &str) -> Result<Vec<u8>> {
    let mut client: ContentClient<Channel> = ContentClient::new(containerd.channel.clone());
    let read = ReadContentRequest { digest: image.to_owned(), offset: 0, size: 0 };
    let parts = call("mount_image", REQUEST, client.read(request(read))).await?;
    let parts: Vec<_> =
        parts.try_collect().await.map_err(|status| errors::from_status("mount_image", REQUEST, &status))?;
    Ok(parts.into_iter().flat_map(|part| part.data).collect())
}

/// A view of layers for a volume: made, or the one that is there.
async fn view(containerd: &Containerd, parent: &str, pod_uid: &str, volume: &str) -> Result<Vec<Mount>> {
    let mut client = SnapshotsClient::new(containerd.channel.clone());
    let key = format!("image-volume-{pod_uid}-{volume}");
    let labels = [(KEEP, "true"), (POD_UID, pod_uid)].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let view = ViewSnapshotRequest {
        snapshotter: SNAPSHOTTER.to_owned(),
        key: key.clone(),
        parent: parent.to_owned(),
        labels: labels.into(),
    };
    match client.view(request(view)).await {
        Ok(made) => Ok(made.into_inner().mounts),
        Err(status) if status.code() == Code::AlreadyExists => {
            let mounts = MountsRequest { snapshotter: SNAPSHOTTER.to_owned(), key };
            Ok(call("mount_image", REQUEST, client.mounts(request(mounts))).await?.mounts)
        }
        Err(status) => Err(errors::from_status("mount_image", REQUEST, &status)),
    }
}

/// The name of a stack of layers: its top and the name of what is below it, hashed. Upstream: OCI image-spec,
/// `config.md` (`ChainID`).
fn chain_id(diff_ids: &[String]) -> String {
    let join = |below: String, top: &String| {
        let digest = ring::digest::digest(&ring::digest::SHA256, format!("{below} {top}").as_bytes());
        digest.as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    };
    diff_ids.iter().cloned().reduce(|below, top| join(below, &top)).unwrap_or_default()
}

/// Mounts what a snapshotter names. What it does not name as read-only is made so: an image's files are shared.
fn mount_one(one: &Mount, at: &Path) -> io::Result<()> {
    let mut flags = MountFlags::RDONLY;
    let mut data = Vec::new();
    for option in &one.options {
        match option.as_str() {
            "ro" => {}
            "bind" | "rbind" => flags |= MountFlags::BIND,
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            other => data.push(other),
        }
    }
    let data = CString::new(data.join(","))?;
    mount(PathBuf::from(&one.source), at, one.r#type.as_str(), flags, data.as_c_str())?;
    if flags.contains(MountFlags::BIND) {
        // The kernel takes further flags of a bind mount only in a second step.
        mount_remount(at, flags, c"")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_named_after_all_of_its_layers() {
        let digest = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
        assert_eq!(chain_id(&[digest('a')]), digest('a'));
        // Known answer: sha256sum of the two digests with a space between them.
        assert_eq!(
            chain_id(&[digest('a'), digest('b')]),
            "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"
        );
    }
}
