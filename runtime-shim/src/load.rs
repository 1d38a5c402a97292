//! Images from files: `docker save`, `skopeo copy ... docker-archive:FILE`, OCI layouts in a tar file.
//!
//! The reading is left to `ctr`, which Debian ships with containerd: it always fits the daemon, and it knows every form
//! of these files. What came in is not read from its words but from containerd: the names that changed. Invariant:
//! when a load has returned, containerd's CRI knows the images, so a pod may use them at once.

use crate::{
    Containerd, Error, Runtime as _,
    containerd::{NAMESPACE, channel},
    daemon::find_program,
};
use containerd_client::services::v1::{ListImagesRequest, images_client::ImagesClient};
use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, process::Command};
use tonic::Request;

/// Why an image could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file cannot be read.
    #[error("read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no image that containerd understands.
    #[error(
        "{what} is not an image file that can be loaded ({why}); write one with `docker save -o FILE IMAGE` or \
         `skopeo copy SOURCE docker-archive:FILE:NAME`"
    )]
    NotAnImage {
        /// Which file.
        what: String,
        /// containerd's words.
        why: String,
    },
    /// The file holds images, but none has a name.
    #[error(
        "{what} holds no image with a name; name it when it is written, as in `skopeo copy SOURCE \
         docker-archive:FILE:example.org/app:1`"
    )]
    NoName {
        /// Which file.
        what: String,
    },
    /// `ctr` is not installed.
    #[error("the program ctr is missing; it is part of Debian's package containerd")]
    NoProgram,
    /// containerd does not do its part.
    #[error(transparent)]
    Runtime(#[from] Error),
}

/// How long CRI may take to learn of what is already stored; it is told by an event.
const KNOWN_WITHIN: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(5);

/// Loads all images of a file into the containerd on `socket`; returns their names.
pub async fn load_image(socket: &Path, path: &Path) -> Result<Vec<String>, LoadError> {
    let read = |source| LoadError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(read)?;
    if !file.metadata().map_err(read)?.is_file() {
        return Err(read(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file")));
    }
    load(socket, Stdio::from(file), None, &path.display().to_string()).await
}

/// Loads an image that is in memory.
pub(crate) async fn load_bytes(socket: &Path, name: &str, archive: &[u8]) -> Result<Vec<String>, LoadError> {
    load(socket, Stdio::piped(), Some(archive), name).await
}

async fn load(
    socket: &Path,
    input: Stdio,
    bytes: Option<&[u8]>,
    what: &str,
) -> Result<Vec<String>, LoadError> {
    let containerd = Containerd::connect(socket).await?;
    let before = stored(socket).await?;
    import(socket, input, bytes, what).await?;
    let after = stored(socket).await?;
    let changed: Vec<String> =
        after.into_iter().filter(|(name, at)| before.get(name) != Some(at)).map(|(name, _)| name).collect();
    if changed.is_empty() {
        return Err(LoadError::NoName { what: what.to_owned() });
    }
    for name in &changed {
        wait_until_known(&containerd, name).await?;
    }
    Ok(changed)
}

async fn import(socket: &Path, input: Stdio, bytes: Option<&[u8]>, what: &str) -> Result<(), LoadError> {
    let ctr = find_program("ctr").ok_or(LoadError::NoProgram)?;
    let started = Command::new(ctr)
        .arg("--address")
        .arg(socket)
        .args(["--namespace", NAMESPACE, "images", "import", "-"])
        .stdin(input)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let failed = |error: io::Error| Error::Failed { operation: "load_image", message: error.to_string() };
    let mut ctr = started.map_err(failed)?;
    if let (Some(mut stdin), Some(bytes)) = (ctr.stdin.take(), bytes) {
        // When it stops reading early, its own words say why.
        let _ = stdin.write_all(bytes).await;
    }
    let done = ctr.wait_with_output().await.map_err(failed)?;
    if done.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&done.stderr);
    let why = words.trim().trim_start_matches("ctr: ").to_owned();
    Err(LoadError::NotAnImage { what: what.to_owned(), why })
}

/// When each image was last written, and as what, by name.
async fn stored(socket: &Path) -> Result<BTreeMap<String, (String, i64, i32)>, Error> {
    let mut request = Request::new(ListImagesRequest { filters: vec![] });
    request
        .metadata_mut()
        .insert("containerd-namespace", tonic::metadata::MetadataValue::from_static(NAMESPACE));
    let listed = ImagesClient::new(channel(socket)).list(request).await;
    let listed = listed.map_err(|status| Error::Unavailable { why: status.message().to_owned() })?;
    let entry = |image: containerd_client::services::v1::Image| {
        let at = image.updated_at.unwrap_or_default();
        (image.name, (image.target.unwrap_or_default().digest, at.seconds, at.nanos))
    };
    // CRI adds entries named after image ids; those are no names.
    let all = listed.into_inner().images.into_iter().map(entry);
    Ok(all.filter(|(name, _)| !name.starts_with("sha256:")).collect())
}

async fn wait_until_known(containerd: &Containerd, name: &str) -> Result<(), Error> {
    let known = async {
        while containerd.image(name).await?.is_none() {
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    };
    let expired = |_| Error::Timeout { operation: "load_image", within: KNOWN_WITHIN };
    tokio::time::timeout(KNOWN_WITHIN, known).await.map_err(expired)?
}
