//! The cgroups of a node: everything below its parent, in every hierarchy.

use super::{
    LOOK,
    mounts::{self, Mount},
};
use crate::process;
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// The parent's directories: one with cgroup v2, one per controller with v1. Mounts that are not there twice.
fn directories(mounts: &[Mount], parent: &str) -> Vec<PathBuf> {
    let is_cgroup = |mount: &&Mount| mount.kind == "cgroup" || mount.kind == "cgroup2";
    let all = mounts.iter().filter(is_cgroup);
    all.map(|mount| mount.point.join(parent.trim_start_matches('/'))).filter(|dir| dir.is_dir()).collect()
}

/// Kills every process below `parent` and removes its cgroups; returns what is left.
pub(super) fn remove(parent: &str, within: Duration) -> Option<String> {
    // The root is no node's.
    if parent.trim_matches('/').is_empty() {
        return None;
    }
    let started = Instant::now();
    let directories = directories(&mounts::all(), parent);
    loop {
        let left = directories.iter().find_map(|dir| kill_and_remove(dir, within))?;
        if started.elapsed() > within {
            return Some(left);
        }
        // What was killed leaves its cgroup a moment after it has ended; the kernel tells nobody.
        thread::sleep(LOOK);
    }
}

/// Kills every process in the cgroups of one name below `parent` and removes them; returns what is left.
pub(super) fn remove_named(parent: &str, name: &str, within: Duration) -> Option<String> {
    let started = Instant::now();
    let named: Vec<PathBuf> =
        directories(&mounts::all(), parent).iter().flat_map(|dir| find_named(dir, name)).collect();
    loop {
        let left = named.iter().find_map(|dir| kill_and_remove(dir, within))?;
        if started.elapsed() > within {
            return Some(left);
        }
        thread::sleep(LOOK);
    }
}

fn find_named(dir: &Path, name: &str) -> Vec<PathBuf> {
    let below = fs::read_dir(dir).into_iter().flatten().flatten();
    let children = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    children
        .flat_map(|child| {
            if child.file_name() == name { vec![child.path()] } else { find_named(&child.path(), name) }
        })
        .collect()
}

/// Kills what is in a tree of cgroups and removes it; returns what is left.
fn kill_and_remove(dir: &Path, within: Duration) -> Option<String> {
    let below = fs::read_dir(dir).into_iter().flatten().flatten();
    let children = below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    for child in children {
        if let Some(left) = kill_and_remove(&child.path(), within) {
            return Some(left);
        }
    }
    let listed = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    for pid in listed.lines().filter_map(|line| line.parse().ok()) {
        if let Some(process) = process::by_id(pid) {
            process.kill_and_wait(within);
        }
    }
    match fs::remove_dir(dir) {
        Err(error) if dir.exists() => Some(format!("cgroup {}: {error}", dir.display())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_never_emptied() {
        assert_eq!(remove("/", Duration::ZERO), None);
        assert_eq!(remove("", Duration::ZERO), None);
    }

    #[test]
    fn a_parent_without_cgroups_is_gone_already() {
        assert_eq!(remove("/proa-no-such-parent", Duration::ZERO), None);
    }
}
