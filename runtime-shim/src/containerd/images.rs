//! Images.

use super::{
    Containerd,
    client::{REQUEST, call, or_gone},
    convert, errors,
};
use crate::{Error, FilesystemUsage, Image, RegistryAuth, Result, pause};
use k8s_cri::v1;

pub(super) async fn get(containerd: &Containerd, reference: &str) -> Result<Option<Image>> {
    let request = v1::ImageStatusRequest { image: Some(convert::image(reference)), verbose: false };
    let said = call("image", REQUEST, containerd.images.clone().image_status(request)).await;
    match said {
        Ok(said) => Ok(said.image.map(from_cri)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Pulls without a deadline: how long a large image takes is the network's business. containerd gives up on a
/// registry that stops answering.
pub(super) async fn pull(
    containerd: &Containerd,
    reference: &str,
    auth: Option<&RegistryAuth>,
) -> Result<String> {
    let request = v1::PullImageRequest {
        image: Some(convert::image(reference)),
        auth: auth.map(credentials),
        sandbox_config: None,
    };
    let pulled = containerd.images.clone().pull_image(request).await;
    let pulled = pulled.map_err(|status| errors::from_pull(reference, &status))?;
    Ok(pulled.into_inner().image_ref)
}

fn credentials(auth: &RegistryAuth) -> v1::AuthConfig {
    v1::AuthConfig {
        username: auth.username.clone(),
        password: auth.password.clone(),
        identity_token: auth.identity_token.clone(),
        registry_token: auth.registry_token.clone(),
        ..Default::default()
    }
}

pub(super) async fn list(containerd: &Containerd) -> Result<Vec<Image>> {
    let request = v1::ListImagesRequest { filter: None };
    let listed = call("images", REQUEST, containerd.images.clone().list_images(request)).await?;
    Ok(listed.images.into_iter().map(from_cri).collect())
}

pub(super) async fn remove(containerd: &Containerd, reference: &str) -> Result<()> {
    let request = v1::RemoveImageRequest { image: Some(convert::image(reference)) };
    or_gone(call("remove_image", REQUEST, containerd.images.clone().remove_image(request)).await)
}

pub(super) async fn filesystem(containerd: &Containerd) -> Result<FilesystemUsage> {
    let request = v1::ImageFsInfoRequest {};
    let said = call("image_filesystem", REQUEST, containerd.images.clone().image_fs_info(request)).await?;
    let usage = said.image_filesystems.into_iter().next();
    let usage = usage.ok_or_else(|| Error::NotFound { what: "the image file system".to_owned() })?;
    Ok(FilesystemUsage {
        mountpoint: usage.fs_id.unwrap_or_default().mountpoint.into(),
        used_bytes: usage.used_bytes.map_or(0, |value| value.value),
        used_inodes: usage.inodes_used.map_or(0, |value| value.value),
    })
}

fn from_cri(image: v1::Image) -> Image {
    // containerd 1.6 does not know that its own sandboxes' image is needed.
    let pinned = image.pinned || image.repo_tags.iter().any(|name| pause::is_pause(name));
    Image {
        id: image.id,
        tags: image.repo_tags,
        digests: image.repo_digests,
        size: image.size,
        uid: image.uid.map(|uid| uid.value),
        username: image.username,
        pinned,
    }
}
