//! Access to files: the seam at which tests put a disk that loses, tears and reorders what was not synced.
//!
//! Invariant: what [`DiskFile::sync`] or [`Disk::sync_names`] covered survives a power loss; anything else may
//! survive in part, in any order. After an error of either, what it should have covered is never relied on again,
//! even if a later call succeeds: the kernel may have dropped it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::OpenError;

/// A flat directory of files.
pub trait Disk: Send + Sync + 'static {
    /// The names that are there.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new empty file, in place of one that has the name.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// An existing file, to read and to shorten.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Renames in one step, replacing.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a name.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes created, renamed and removed names durable.
    fn sync_names(&self) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send {
    /// Its length.
    fn size(&self) -> io::Result<u64>;
    /// Fills the buffer from an offset.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    /// Writes all bytes at an offset.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Shortens it.
    fn set_size(&self, size: u64) -> io::Result<()>;
    /// Makes its bytes and length durable.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the operating system.
pub struct Directory {
    path: PathBuf,
    /// Held for the lock on it.
    _lock: Option<File>,
}

impl Directory {
    /// Opens a data directory, creating it if need be, for this process alone.
    pub fn lock(path: &Path) -> Result<Self, OpenError> {
        let shown = path.display();
        let failed = |what: String| move |source| OpenError::Io { what, source };
        let create = || std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        create().map_err(failed(format!("cannot create {shown}")))?;
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let lock = options.open(path.join("LOCK")).map_err(failed(format!("cannot open {shown}/LOCK")))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(shown.to_string())),
            Err(TryLockError::Error(error)) => {
                return Err(failed(format!("cannot lock {shown}/LOCK"))(error));
            }
        }
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            let synced = File::open(parent).and_then(|parent| parent.sync_all());
            synced.map_err(failed(format!("cannot sync {}", parent.display())))?;
        }
        Ok(Directory { path: path.to_owned(), _lock: Some(lock) })
    }

    /// Any directory, to put a backup into.
    pub(super) fn unlocked(path: &Path) -> Self {
        Directory { path: path.to_owned(), _lock: None }
    }
}

impl Disk for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        // A name that is not UTF-8 is none of ours.
        let names = std::fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(io::Result::transpose).collect()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Box::new(options.open(self.path.join(name))?))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(buffer, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.set_len(size)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
