//! Takes away what pods left: mounts first, then files.
//!
//! Invariants: nothing is removed while something is mounted above it, so no file of another file system is ever
//! deleted; everything may be repeated. Upstream: `pkg/kubelet/kubelet_volumes.go` (orphaned pods).

use super::mount_table;
use std::{collections::BTreeSet, fs, io, path::Path};

/// Unmounts and removes a pod's directory. Parts of volumes go first: they are mounts of what is in the volumes.
pub(super) fn remove(pod: &Path, subpaths: &Path) -> io::Result<()> {
    unmount_and_remove(subpaths)?;
    unmount_and_remove(pod)
}

/// Unmounts everything below a directory, and removes it.
pub(super) fn unmount_and_remove(directory: &Path) -> io::Result<()> {
    unmount_below(directory)?;
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Unmounts everything below a directory.
pub(super) fn unmount_below(directory: &Path) -> io::Result<()> {
    // Something may have been mounted several times over, or by a container meanwhile.
    for point in mount_table::below(directory)?.iter().rev() {
        mount_table::unmount(point)?;
    }
    if let Some(busy) = mount_table::below(directory)?.first() {
        return Err(io::Error::other(format!("{} is still mounted", busy.display())));
    }
    Ok(())
}

/// Pods that have a directory or a mount below `pods`.
pub(super) fn known(pods: &Path) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let entries = match fs::read_dir(pods) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        found.extend(entry?.file_name().into_string());
    }
    Ok(found)
}
