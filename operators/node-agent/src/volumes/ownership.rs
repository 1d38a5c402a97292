//! Who owns the files of volumes.
//!
//! Owns: `fsGroup`: files get the group and its right to read (and to write, unless the agent owns the content),
//! directories pass the group on. Symbolic links are never followed.
//! Upstream: `pkg/volume/volume_linux.go`, `pkg/volume/util/util.go` (`FsUserFrom`).

use crate::build::containers;
use k8s_openapi::api::core::v1::Pod;
use rustix::fs::{AtFlags, CWD, Gid, Uid};
use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

const READ_WRITE: u32 = 0o660;
const READ_ONLY: u32 = 0o440;
/// Looking into directories, and new files in them belonging to the group.
const DIRECTORY: u32 = 0o2110;

/// Ownership that a pod asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ownership {
    /// Group of volumes.
    pub(super) fs_group: Option<u32>,
    /// User of tokens: the one that all containers run as.
    pub(super) fs_user: Option<u32>,
}

/// What may be done to files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Containers write them.
    ReadWrite,
    /// Only the agent does.
    ReadOnly,
}

impl Ownership {
    /// What a pod asks for.
    pub(super) fn of(pod: &Pod) -> Self {
        let whole = pod.spec.as_ref().and_then(|spec| spec.security_context.as_ref());
        let fs_group = whole.and_then(|whole| whole.fs_group).and_then(|id| u32::try_from(id).ok());
        let users = containers::all(pod).map(|container| {
            let own = container.spec.security_context.as_ref().and_then(|own| own.run_as_user);
            own.or(whole.and_then(|whole| whole.run_as_user))
        });
        Self { fs_group, fs_user: only(users).and_then(|id| u32::try_from(id).ok()) }
    }
}

/// The one value that all have; none if they differ or one has none.
fn only(mut all: impl Iterator<Item = Option<i64>>) -> Option<i64> {
    let first = all.next()??;
    all.all(|other| other == Some(first)).then_some(first)
}

/// The mode that a file or directory gets for the sake of its group.
pub(super) fn group_mode(mode: u32, is_directory: bool, access: Access) -> u32 {
    let rights = if access == Access::ReadWrite { READ_WRITE } else { READ_ONLY };
    mode | rights | if is_directory { DIRECTORY } else { 0 }
}

/// Gives a file or directory to the group.
pub(super) fn give_to_group(path: &Path, group: u32, access: Access) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    chown(path, None, Some(group))?;
    if metadata.is_symlink() {
        return Ok(());
    }
    let mode = group_mode(metadata.permissions().mode() & 0o7777, metadata.is_dir(), access);
    super::layout::set_mode(path, mode)
}

/// Gives a directory and everything in it to the group.
pub(super) fn give_all_to_group(path: &Path, group: u32, access: Access) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        for entry in fs::read_dir(path)? {
            give_all_to_group(&entry?.path(), group, access)?;
        }
    }
    give_to_group(path, group, access)
}

/// Changes owner or group, of a symbolic link itself.
pub(super) fn chown(path: &Path, user: Option<u32>, group: Option<u32>) -> io::Result<()> {
    let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
    Ok(rustix::fs::chownat(CWD, path, user, group, AtFlags::SYMLINK_NOFOLLOW)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_owns() {
        let of = |spec| Ownership::of(&serde_json::from_value(json!({"spec": spec})).unwrap());
        assert_eq!(of(json!({"containers": [{"name": "a"}]})), Ownership::default());
        let same = json!({"securityContext": {"runAsUser": 5, "fsGroup": 6}, "containers": [{"name": "a"}, {"name": "b"}]});
        assert_eq!(of(same), Ownership { fs_group: Some(6), fs_user: Some(5) });
        let other = json!({"securityContext": {"runAsUser": 5},
                           "containers": [{"name": "a"}, {"name": "b", "securityContext": {"runAsUser": 7}}]});
        assert_eq!(of(other).fs_user, None);
    }

    #[test]
    fn modes() {
        assert_eq!(group_mode(0o644, false, Access::ReadWrite), 0o664);
        assert_eq!(group_mode(0o600, false, Access::ReadOnly), 0o640);
        assert_eq!(group_mode(0o777, true, Access::ReadWrite), 0o2777);
        assert_eq!(group_mode(0o700, true, Access::ReadOnly), 0o2750);
    }
}
