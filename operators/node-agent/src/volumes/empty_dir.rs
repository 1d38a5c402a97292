//! Directories that start empty: `emptyDir`, and what the content of other volumes is written into.
//!
//! Invariants: a directory is given its mode and owner before it appears under its name, so one that is there is
//! ready, and what its containers did to it is left alone when the agent starts anew.
//! Upstream: `pkg/volume/emptydir/empty_dir.go`.

use super::{layout, mount_table, ownership};
use crate::build::{NodeFacts, resources};
use k8s_openapi::api::core::v1::{Pod, Volume};
use proa_meta::quantity::Quantity;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Mode of a directory on disk.
const MODE: u32 = 0o777;
/// Mode of a tmpfs: the kernel's own.
const TMPFS_MODE: u32 = 0o1777;

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// On the node's disk.
    Disk {
        /// Permissions.
        mode: u32,
    },
    /// In memory.
    Memory {
        /// Permissions.
        mode: u32,
        /// Most bytes.
        size: u64,
    },
}

impl Kind {
    /// The kind of a volume. ConfigMaps are on disk; Secrets and what may hold tokens are in memory.
    pub(super) fn of(pod: &Pod, volume: &Volume, facts: &NodeFacts) -> Self {
        let source = volume.empty_dir.as_ref();
        let mode = source.and_then(|source| source.mode).and_then(|mode| u32::try_from(mode).ok());
        let in_memory = source.is_none_or(|source| source.medium.as_deref() == Some("Memory"));
        if volume.config_map.is_some() || !in_memory {
            return Self::Disk { mode: mode.unwrap_or(MODE) };
        }
        let limit = source.and_then(|source| source.size_limit.as_ref());
        let limit = limit.and_then(|limit| Quantity::parse(&limit.0).ok()).filter(|limit| !limit.is_zero());
        let bounds = [limit, resources::total_limit(pod, "memory")];
        let bounds = bounds.into_iter().flatten().filter_map(|bound| u64::try_from(bound.value()).ok());
        Self::Memory { mode: mode.unwrap_or(TMPFS_MODE), size: bounds.fold(facts.memory, u64::min) }
    }
}

/// Makes the directory unless it is there.
pub(super) fn make(directory: &Path, kind: &Kind, fs_group: Option<u32>) -> io::Result<()> {
    let parent = directory.parent().ok_or(io::ErrorKind::InvalidInput)?;
    layout::make_private(parent)?;
    match *kind {
        Kind::Disk { mode } => on_disk(directory, mode, fs_group),
        Kind::Memory { mode, size } => in_memory(directory, mode, size, fs_group),
    }
}

fn on_disk(directory: &Path, mode: u32, fs_group: Option<u32>) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let unfinished = unfinished(directory);
    remove_empty(&unfinished)?;
    fs::create_dir(&unfinished)?;
    layout::set_mode(&unfinished, mode)?;
    if let Some(group) = fs_group {
        ownership::give_to_group(&unfinished, group, ownership::Access::ReadWrite)?;
    }
    fs::rename(&unfinished, directory)
}

/// A name that no volume can have.
fn unfinished(directory: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from("..");
    name.push(directory.file_name().unwrap_or_default());
    directory.with_file_name(name)
}

fn remove_empty(directory: &Path) -> io::Result<()> {
    match fs::remove_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn in_memory(directory: &Path, mode: u32, size: u64, fs_group: Option<u32>) -> io::Result<()> {
    if mount_table::is_mounted(directory)? {
        return Ok(());
    }
    fs::create_dir_all(directory)?;
    let mut options = format!("mode={:o}", fs_group.map_or(mode, |_| group_mode(mode)));
    if let Some(group) = fs_group {
        options.push_str(&format!(",gid={group}"));
    }
    if size > 0 {
        options.push_str(&format!(",size={size}"));
    }
    mount_table::mount_tmpfs(directory, &options)
}

fn group_mode(mode: u32) -> u32 {
    ownership::group_mode(mode, true, ownership::Access::ReadWrite)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn kinds_of_volumes() {
        let facts = NodeFacts { memory: 1000, ..NodeFacts::default() };
        let pod = |limit: Value| {
            let limits = json!({"limits": {"memory": limit}});
            serde_json::from_value(json!({"spec": {"containers": [{"name": "c", "resources": limits}]}}))
                .unwrap()
        };
        for (volume, memory, want) in [
            (json!({"name": "v", "emptyDir": {}}), json!("500"), Kind::Disk { mode: 0o777 }),
            (json!({"name": "v", "emptyDir": {"mode": 0o700}}), json!("500"), Kind::Disk { mode: 0o700 }),
            (json!({"name": "v", "configMap": {"name": "m"}}), json!("500"), Kind::Disk { mode: 0o777 }),
            (json!({"name": "v", "secret": {}}), json!("0"), Kind::Memory { mode: 0o1777, size: 1000 }),
            (json!({"name": "v", "projected": {}}), json!("500"), Kind::Memory { mode: 0o1777, size: 500 }),
            (
                json!({"name": "v", "emptyDir": {"medium": "Memory", "sizeLimit": "400"}}),
                json!("500"),
                Kind::Memory { mode: 0o1777, size: 400 },
            ),
        ] {
            let parsed: Volume = serde_json::from_value(volume.clone()).unwrap();
            assert_eq!(Kind::of(&pod(memory), &parsed, &facts), want, "{volume}");
        }
    }
}
