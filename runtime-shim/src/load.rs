//! Images from files: `docker save`, `skopeo copy ... docker-archive:FILE:NAME`, OCI layouts in a tar file; all of them
//! also compressed by gzip.
//!
//! The reading is left to `ctr`, which Debian ships with containerd: it always fits the daemon, and it knows every form
//! of these files. What came in is not read from its words but from containerd: the names that changed. Invariant:
//! when a load has returned, containerd's CRI knows the images, so a pod may use them at once. An OCI layout may give its
//! images tags only, as `umoci` does: the file's name is their name then.

mod import;
mod names;

use crate::{Containerd, Error, Runtime as _};
use import::Input;
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

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
    let file = path.to_owned();
    let looked = tokio::task::spawn_blocking(move || Input::of_file(&file)).await;
    let input = looked.unwrap_or_else(|error| Err(io::Error::other(error)));
    let input = input.map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
    load(socket, input, &path.display().to_string()).await
}

/// Loads an image that is in memory.
pub(crate) async fn load_bytes(socket: &Path, name: &str, archive: &'static [u8]) -> Result<(), LoadError> {
    load(socket, Input::of_memory(archive), name).await.map(drop)
}

async fn load(socket: &Path, input: Input, what: &str) -> Result<Vec<String>, LoadError> {
    let containerd = Containerd::connect(socket).await?;
    let before = names::stored(socket).await?;
    import::import(socket, input, what).await?;
    let after = names::stored(socket).await?;
    let changed = after.into_iter().filter(|(name, image)| before.get(name) != Some(image));
    let loaded: Vec<String> = changed.map(|(name, _)| name).collect();
    if loaded.is_empty() {
        return Err(LoadError::NoName { what: what.to_owned() });
    }
    for name in &loaded {
        wait_until_known(&containerd, name).await?;
    }
    Ok(loaded)
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
