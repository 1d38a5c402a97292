//! The mount table: reading it, sharing a directory's mounts, removing mounts.

use super::{DaemonError, Result, system};
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// An entry of the mount table, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Where it is mounted.
    pub(super) point: PathBuf,
    /// Type of the file system.
    pub(super) kind: String,
    /// Options of the file system.
    pub(super) options: String,
    /// Whether mounts below it travel to other namespaces and back.
    pub(super) is_shared: bool,
}

/// Mounts of this process's namespace.
pub(super) fn all() -> Vec<Mount> {
    parse(&fs::read_to_string("/proc/self/mountinfo").unwrap_or_default())
}

pub(super) fn parse(table: &str) -> Vec<Mount> {
    table.lines().filter_map(parse_line).collect()
}

/// `ID PARENT DEVICE ROOT POINT OPTIONS [TAG...] - TYPE SOURCE OPTIONS`.
fn parse_line(line: &str) -> Option<Mount> {
    let (mount, file_system) = line.split_once(" - ")?;
    let mut mount = mount.split(' ').skip(4);
    let point = unescape(mount.next()?);
    let is_shared = mount.any(|tag| tag.starts_with("shared:"));
    let mut file_system = file_system.split(' ');
    Some(Mount {
        point: point.into(),
        kind: file_system.next()?.to_owned(),
        options: file_system.nth(1)?.to_owned(),
        is_shared,
    })
}

/// Blanks and backslashes in paths are written as octal numbers.
fn unescape(path: &str) -> String {
    ["\\040 ", "\\011\t", "\\012\n", "\\134\\"]
        .iter()
        .fold(path.to_owned(), |path, rule| path.replace(&rule[..4], &rule[4..]))
}

/// Makes mounts below `dir` travel between this namespace and the ones that are made from it. Where the machine's mounts
/// travel anyway (as systemd sets it up) nothing needs to be done; elsewhere the directory becomes a mount of itself, so
/// that nothing else of the machine changes.
pub(super) fn share(dir: &Path) -> Result<()> {
    let dir = dir.canonicalize().map_err(system(format!("find {}", dir.display())))?;
    if is_shared(&all(), &dir) {
        return Ok(());
    }
    let failed = |source| system(format!("share the mounts of {}", dir.display()))(source);
    mount_bind(&dir, &dir).map_err(io::Error::from).map_err(failed)?;
    mount_change(&dir, MountPropagationFlags::SHARED).map_err(io::Error::from).map_err(failed)
}

/// Whether the mount that `dir` lies on is shared.
fn is_shared(mounts: &[Mount], dir: &Path) -> bool {
    let holders = mounts.iter().filter(|m| dir.starts_with(&m.point));
    // Of several mounts at one point the last one counts.
    let nearest = holders.enumerate().max_by_key(|(at, m)| (m.point.components().count(), *at));
    nearest.is_some_and(|(_, m)| m.is_shared)
}

/// Removes all mounts at and below the directories from this namespace, the innermost first. Whoever still uses one
/// keeps it until then.
pub(super) fn remove_below(dirs: &[&Path]) -> Result<()> {
    let dirs: Vec<PathBuf> = dirs.iter().filter_map(|dir| dir.canonicalize().ok()).collect();
    let is_ours = |mount: &Mount| dirs.iter().any(|dir| mount.point.starts_with(dir));
    // Removing one may show another that was under it, or take others along.
    loop {
        let ours: Vec<Mount> = all().into_iter().filter(is_ours).collect();
        let Some(last) = ours.last() else { return Ok(()) };
        match unmount(&last.point, UnmountFlags::DETACH) {
            Ok(()) => {}
            Err(error) => return Err(cannot_unmount(&last.point, error.into())),
        }
    }
}

fn cannot_unmount(point: &Path, source: io::Error) -> DaemonError {
    system(format!("unmount {}", point.display()))(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
22 1 254:0 / / rw - ext4 /dev/vda rw
23 22 0:28 / /sys/fs/cgroup rw,relatime shared:9 - tmpfs tmpfs rw,mode=755
24 23 0:31 / /sys/fs/cgroup/cpu rw shared:7 master:2 - cgroup cgroup rw,cpu,cpuacct
25 22 0:40 / /srv/a\\040b rw - tmpfs none rw
26 22 254:0 /srv /srv/pods rw shared:5 - ext4 /dev/vda rw
";

    #[test]
    fn the_table_is_read() {
        let mounts = parse(TABLE);
        assert_eq!(mounts.len(), 5);
        assert_eq!((mounts[2].kind.as_str(), mounts[2].options.as_str()), ("cgroup", "rw,cpu,cpuacct"));
        assert_eq!(mounts[3].point, Path::new("/srv/a b"));
    }

    #[test]
    fn the_nearest_mount_decides_whether_a_directory_is_shared() {
        let mounts = parse(TABLE);
        assert!(is_shared(&mounts, Path::new("/srv/pods/1")));
        assert!(!is_shared(&mounts, Path::new("/srv/podsy")));
        assert!(!is_shared(&mounts, Path::new("/srv")));
        assert!(is_shared(&mounts, Path::new("/sys/fs/cgroup")));
    }
}
