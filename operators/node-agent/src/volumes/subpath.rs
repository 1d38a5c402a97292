//! Parts of volumes in containers.
//!
//! A container may bend paths in its volumes, and the runtime follows links. So the agent opens the part without ever
//! leaving the volume and mounts what it opened at a place of its own: that is what the runtime is given.
//! Invariants: a mount is kept for the container's next attempt while it shows what the path means now; it does not
//! follow later changes of a ConfigMap or Secret (as upstream). Upstream: `pkg/volume/util/subpath/subpath_linux.go`.

use super::{beneath, mount_table};
use rustix::fs::{AtFlags, FileType};
use std::{
    fs::{self, OpenOptions},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
};

/// A part of a volume for one mount of one container.
pub(super) struct Part<'a> {
    /// The volume.
    pub(super) volume: &'a Path,
    /// Which part; neither absolute nor with `..`.
    pub(super) path: &'a Path,
    /// Where the parts of this pod's volumes are mounted.
    pub(super) mounts: &'a Path,
    /// Name of the volume.
    pub(super) name: &'a str,
    /// Name of the container.
    pub(super) container: &'a str,
    /// Position among the container's mounts.
    pub(super) index: usize,
}

/// Makes a directory for a part that is not there.
pub(super) fn provide(volume: &Path, path: &Path) -> io::Result<()> {
    let mode = fs::metadata(volume)?.permissions().mode();
    match beneath::handle(volume, path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            beneath::make_directories(volume, path, mode)
        }
        // Whatever else is wrong shows when it is mounted.
        _ => Ok(()),
    }
}

/// Mounts the part and says where.
pub(super) fn mount(part: &Part<'_>) -> io::Result<PathBuf> {
    let source = beneath::handle(part.volume, part.path)?;
    let target = part.mounts.join(part.name).join(part.container).join(part.index.to_string());
    if mount_table::is_mounted(&target)? {
        if is_same(&source, &target)? {
            return Ok(target);
        }
        mount_table::unmount(&target)?;
    }
    make_target(&source, &target)?;
    mount_table::bind(source.as_fd(), &target)?;
    Ok(target)
}

fn is_same(source: &OwnedFd, target: &Path) -> io::Result<bool> {
    let source = rustix::fs::statat(source, "", AtFlags::EMPTY_PATH)?;
    let target = fs::metadata(target)?;
    Ok(source.st_dev == target.dev() && source.st_ino == target.ino())
}

/// A directory is mounted on a directory, anything else on a file.
fn make_target(source: &OwnedFd, target: &Path) -> io::Result<()> {
    let stat = rustix::fs::statat(source, "", AtFlags::EMPTY_PATH)?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    let parent = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
    super::layout::make_private(parent)?;
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_dir() == is_directory => return Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir(target)?,
        Ok(_) => fs::remove_file(target)?,
        Err(_) => {}
    }
    if is_directory {
        fs::create_dir(target)
    } else {
        OpenOptions::new().create(true).append(true).open(target).map(drop)
    }
}
