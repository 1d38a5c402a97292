//! The kernel's table of mounts, and what is done to it.
//!
//! Owns: reading `/proc/self/mountinfo`, tmpfs mounts, binding one opened file or directory elsewhere, unmounting. All
//! in the agent's mount namespace. Upstream: `k8s.io/mount-utils`.

use rustix::{
    fs::CWD,
    io::Errno,
    mount::{MountFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags},
};
use std::{
    ffi::{CString, OsString},
    fs, io,
    os::{
        fd::BorrowedFd,
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

/// Mount points at or below a directory, outer ones first.
pub(super) fn below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    // A path in the table has no symbolic links in it.
    let directory = match directory.canonicalize() {
        Ok(resolved) => resolved,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let table = fs::read("/proc/self/mountinfo")?;
    Ok(points(&table).filter(|point| point.starts_with(&directory)).collect())
}

/// Whether something is mounted exactly there.
pub(super) fn is_mounted(path: &Path) -> io::Result<bool> {
    let resolved = match path.canonicalize() {
        Ok(resolved) => resolved,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(below(path)?.contains(&resolved))
}

fn points(table: &[u8]) -> impl Iterator<Item = PathBuf> + '_ {
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(|line| line.split(|byte| *byte == b' ').nth(4).map(unescaped))
}

/// Spaces and the like are written as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        let code =
            tail.get(..3).filter(|_| *first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Mounts a tmpfs. Its pages are never written to swap where the kernel can promise that (6.4 and later).
pub(super) fn mount_tmpfs(at: &Path, options: &str) -> io::Result<()> {
    let mount = |options: String| -> io::Result<()> {
        let data = CString::new(options)?;
        Ok(rustix::mount::mount("tmpfs", at, "tmpfs", MountFlags::empty(), data.as_c_str())?)
    };
    match mount(format!("{options},noswap")) {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => mount(options.to_owned()),
        done => done,
    }
}

/// Mounts what is open as `source` at `target` as well.
pub(super) fn bind(source: BorrowedFd<'_>, target: &Path) -> io::Result<()> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(source, "", flags)?;
    Ok(rustix::mount::move_mount(&tree, "", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}

/// Unmounts; what is busy disappears from the tree at once and ends with its last user.
pub(super) fn unmount(at: &Path) -> io::Result<()> {
    let result = match rustix::mount::unmount(at, UnmountFlags::NOFOLLOW) {
        Err(Errno::BUSY) => rustix::mount::unmount(at, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH),
        done => done,
    };
    match result {
        // Gone already.
        Err(Errno::INVAL | Errno::NOENT) | Ok(()) => Ok(()),
        Err(error) => {
            Err(io::Error::new(io::Error::from(error).kind(), format!("unmount {}: {error}", show(at))))
        }
    }
}

fn show(path: &Path) -> String {
    String::from_utf8_lossy(path.as_os_str().as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let table =
            b"36 35 98:0 / /a\\040b rw shared:1 - tmpfs tmpfs rw\n37 36 0:1 / /a\\134x rw - proc proc rw\n";
        assert_eq!(points(table).collect::<Vec<_>>(), [PathBuf::from("/a b"), PathBuf::from("/a\\x")]);
        assert!(is_mounted(Path::new("/proc")).unwrap());
        assert!(!is_mounted(Path::new("/proc/self")).unwrap());
        assert!(!is_mounted(Path::new("/no/such/path")).unwrap());
    }
}
