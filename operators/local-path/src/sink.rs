//! The directories on disk, and the writes that go with them: a directory comes before its volume and goes before it.

use crate::render::{self, Change, Clear, Make, failed};
use proa_kit::{
    Action, Error, Result, Typed, Writer,
    project::Sink,
    views::{PersistentVolumeView, StorageClassView},
};
use std::{
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Who runs as another user than root must be able to write.
const MODE: u32 = 0o777;

/// The sink.
#[derive(Debug)]
pub(crate) struct Directories {
    writer: Writer,
}

impl Directories {
    pub(crate) fn new(writer: Writer) -> Self {
        Self { writer }
    }
    async fn write(&self, actions: &[Action]) -> Result<()> {
        let failed = self.writer.act(actions).await.0.into_iter().filter_map(Result::err);
        let real = failed.into_iter().find(|error| {
            !matches!(error, Error::Skipped) && !error.is_already_exists() && !error.is_not_found()
        });
        real.map_or(Ok(()), Err)
    }
    async fn make(&self, make: Make) -> Result<()> {
        let Make { directory, claim, class, volume } = make;
        if let Err(error) = on_disk(directory.clone(), create).await {
            let why = format!("make {}: {error}", directory.display());
            self.write(&[failed(&claim, &class, &why)]).await?;
            return Err(Error::Invalid(why));
        }
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        let made = Action::normal(
            &claim,
            "ProvisioningSucceeded",
            format!("Successfully provisioned volume {name}"),
        );
        self.write(&[Action::create(PersistentVolumeView::KIND, "", volume), made]).await
    }
    async fn clear(&self, clear: Clear) -> Result<()> {
        let Clear { directory, volume, actions } = clear;
        if let Err(error) = on_disk(directory.clone(), remove).await {
            let why = format!("remove {}: {error}", directory.display());
            self.write(&[Action::warning(&volume, "VolumeFailedDelete", why.clone())]).await?;
            return Err(Error::Invalid(why));
        }
        self.write(&actions).await
    }
}

impl Sink<Change> for Directories {
    /// A class that a user changed stays as it is.
    async fn read_back(&mut self) -> Result<()> {
        self.write(&[Action::create(StorageClassView::KIND, "", render::class())]).await
    }
    /// One failure does not keep the others back.
    async fn apply(&mut self, change: Change) -> Result<()> {
        let mut result = self.write(&change.actions).await;
        for make in change.make {
            result = result.and(self.make(make).await);
        }
        for clear in change.clear {
            result = result.and(self.clear(clear).await);
        }
        result
    }
}

async fn on_disk(path: PathBuf, work: fn(&Path) -> io::Result<()>) -> io::Result<()> {
    tokio::task::spawn_blocking(move || work(&path))
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// Makes a directory; one that is there already stays as it is.
fn create(path: &Path) -> io::Result<()> {
    if let Some(root) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o711).create(root)?;
    }
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(MODE)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_come_and_go_and_links_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (path, outside) = (root.path().join("volumes/a"), root.path().join("outside"));
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), "").unwrap();
        create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
        fs::write(path.join("data"), "1").unwrap();
        std::os::unix::fs::symlink(&outside, path.join("link")).unwrap();
        create(&path).unwrap();
        assert_eq!(fs::read_to_string(path.join("data")).unwrap(), "1", "what is there stays");
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert!(!path.exists() && outside.join("kept").exists());
    }
}
