//! Volumes that are images: where they are, what of them is mounted. The runtime mounts them.
//!
//! Upstream: `pkg/volume/image`, KEP-4639.

use super::{blocking, layout, layout::Layout, mount_table, teardown};
use k8s_openapi::api::core::v1::{ImageVolumeSource, Pod};
use std::{
    io,
    path::{Path, PathBuf},
};

const PLUGIN: &str = "kubernetes.io~image";

/// The images that containers of a pod mount, by name of their volume.
pub(crate) fn of(pod: &Pod) -> impl Iterator<Item = (&str, &ImageVolumeSource)> {
    let used = layout::used_names(pod);
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let used = volumes.filter(move |volume| used.contains(&volume.name));
    used.filter_map(|volume| Some((volume.name.as_str(), volume.image.as_ref()?)))
}

/// Where the image of a volume is.
pub(crate) fn directory(root: &Path, uid: &str, volume: &str) -> PathBuf {
    Layout::new(root).volume(uid, PLUGIN, volume)
}

/// Makes the directory of a volume. Whether its image is mounted there already.
pub(crate) async fn make(directory: &Path) -> io::Result<bool> {
    let directory = directory.to_owned();
    blocking(move || {
        layout::make_private(&directory)?;
        mount_table::is_mounted(&directory)
    })
    .await
}

/// Unmounts all images of a pod. Whether it had any.
pub(crate) async fn unmount(root: &Path, uid: &str) -> io::Result<bool> {
    let layout = Layout::new(root);
    let (images, subpaths) = (layout.pod(uid).join("volumes").join(PLUGIN), layout.subpaths(uid));
    blocking(move || {
        let are_there = images.try_exists()?;
        if are_there {
            // Parts of volumes are mounts of what is in them.
            teardown::unmount_and_remove(&subpaths)?;
            teardown::unmount_below(&images)?;
        }
        Ok(are_there)
    })
    .await
}
