//! Opening what is below a directory that a container can write to.
//!
//! Invariants: no symbolic link and no `..` leads out of the directory; what was opened is what is used, so a container
//! cannot swap a path between check and use. The kernel does it (`openat2`, Linux 5.6 and later).
//! Upstream: `pkg/volume/util/subpath/subpath_linux.go`.

use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags},
    io::Errno,
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    path::{Component, Path, PathBuf},
};

/// Links may lead about below the directory, but not out of it.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// Opens a file for reading.
pub(crate) fn open_file(directory: &Path, path: &Path) -> io::Result<File> {
    let root = root(directory)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    Ok(File::from(rustix::fs::openat2(root, path, flags, Mode::empty(), WITHIN)?))
}

/// A handle of whatever is at the path; it can be mounted elsewhere, not read.
pub(super) fn handle(directory: &Path, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Ok(rustix::fs::openat2(root(directory)?, path, flags, Mode::empty(), WITHIN)?)
}

/// Makes the directories of a path that are not there.
pub(super) fn make_directories(directory: &Path, path: &Path, mode: u32) -> io::Result<()> {
    let mut at = root(directory)?;
    let mut done = PathBuf::new();
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        done.push(name);
        match handle(directory, &done) {
            Ok(next) => at = next,
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => {
                rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(mode & 0o7777))?;
                let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
                at = rustix::fs::openat(&at, name, flags, Mode::empty())?;
                // The process' mask took some of the rights away.
                rustix::fs::fchmod(at.as_fd(), Mode::from_raw_mode(mode & 0o7777))?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn root(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::DIRECTORY;
    Ok(rustix::fs::openat(CWD, directory, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs,
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    #[test]
    fn nothing_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        let volume = dir.path().join("volume");
        fs::create_dir_all(volume.join("real")).unwrap();
        fs::write(dir.path().join("outside"), "x").unwrap();
        symlink("real", volume.join("inner")).unwrap();
        symlink("..", volume.join("up")).unwrap();
        symlink("/etc", volume.join("etc")).unwrap();
        assert!(handle(&volume, Path::new("inner")).is_ok());
        for path in ["up", "up/outside", "etc", "etc/hosts", "../outside", "/etc", "none"] {
            assert!(handle(&volume, Path::new(path)).is_err(), "{path}");
        }
        for path in ["up/new", "etc/new", "none/../../new"] {
            assert!(
                make_directories(&volume, Path::new(path), 0o777).is_err()
                    || !dir.path().join("new").exists()
            );
        }
        assert!(!dir.path().join("new").exists() && !Path::new("/etc/new").exists());
        make_directories(&volume, Path::new("inner/a/b"), 0o2775).unwrap();
        let mode = fs::metadata(volume.join("real/a/b")).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o2775);
    }
}
