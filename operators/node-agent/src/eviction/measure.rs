//! Reads what is left on the machine and what pods use.
//!
//! `memory.available` is the kernel's own estimate (`MemAvailable`); upstream subtracts the working set of the root
//! cgroup, which comes to nearly the same. Upstream: `pkg/kubelet/stats`, `pkg/volume/util/fs`.

use super::{
    Host,
    limits::on_disk,
    thresholds::{Observation, Observations, Signal},
    usage::{ContainerUsage, Space, Usage},
};
use crate::node::{meminfo, process_ids};
use k8s_openapi::api::core::v1::Pod;
use proa_runtime_shim::{ContainerStats, Runtime, SandboxStats};
use rustix::fs::{StatVfs, statvfs};
use std::{
    collections::HashMap,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

const POD_UID: &str = "io.kubernetes.pod.uid";
const CONTAINER: &str = "io.kubernetes.container.name";

/// What is left, and whether images have a file system of their own.
pub(super) async fn observe<R: Runtime>(runtime: &R, root: &Path) -> (Observations, bool) {
    let images = runtime.image_filesystem().await.ok().and_then(|usage| stat(&usage.mountpoint));
    let (images, node) = (images.as_ref(), stat(root));
    let node = node.as_ref();
    let dedicated = images.zip(node).is_some_and(|(images, node)| images.f_fsid != node.f_fsid);
    let disks = [
        (node.map(space), Signal::NodeFsAvailable),
        (node.map(inodes), Signal::NodeFsInodesFree),
        (images.map(space), Signal::ImageFsAvailable),
        (images.map(inodes), Signal::ImageFsInodesFree),
        (memory(), Signal::MemoryAvailable),
        (processes(), Signal::PidAvailable),
    ];
    // A file system without a capacity does not count what it has (some have no inodes).
    let measured = disks.into_iter().filter_map(|(observation, signal)| {
        observation.filter(|observation| observation.capacity > 0).map(|observation| (signal, observation))
    });
    (measured.collect(), dedicated)
}

fn stat(path: &Path) -> Option<StatVfs> {
    let result = statvfs(path);
    if let Err(error) = &result {
        tracing::debug!(path = %path.display(), %error, "the file system cannot be measured");
    }
    result.ok()
}

fn space(stat: &StatVfs) -> Observation {
    Observation { available: stat.f_bavail * stat.f_frsize, capacity: stat.f_blocks * stat.f_frsize }
}

fn inodes(stat: &StatVfs) -> Observation {
    Observation { available: stat.f_favail, capacity: stat.f_files }
}

fn memory() -> Option<Observation> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    Some(Observation { available: meminfo(&text, "MemAvailable")?, capacity: meminfo(&text, "MemTotal")? })
}

fn processes() -> Option<Observation> {
    let number = |file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    let capacity = number("/proc/sys/kernel/pid_max")?.min(number("/proc/sys/kernel/threads-max")?);
    let used = process_ids(&fs::read_to_string("/proc/loadavg").ok()?)?;
    Some(Observation { available: capacity.saturating_sub(used), capacity })
}

/// What the runtime says of all pods, by pod uid.
pub(super) struct Stats {
    containers: HashMap<String, Vec<ContainerStats>>,
    sandboxes: HashMap<String, Vec<SandboxStats>>,
}

impl Stats {
    pub(super) async fn read<R: Runtime>(runtime: &R) -> proa_runtime_shim::Result<Self> {
        let mut stats = Self { containers: HashMap::new(), sandboxes: HashMap::new() };
        for container in runtime.container_stats().await? {
            let uid = container.labels.get(POD_UID).cloned().unwrap_or_default();
            stats.containers.entry(uid).or_default().push(container);
        }
        for sandbox in runtime.sandbox_stats().await? {
            stats.sandboxes.entry(sandbox.uid.clone()).or_default().push(sandbox);
        }
        Ok(stats)
    }

    /// What a pod uses; nothing when none of its containers is known. `disk`: its directories are walked, too.
    pub(super) async fn of(&self, pod: &Pod, host: &impl Host, disk: bool) -> Option<Usage> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let containers = self.containers.get(uid)?;
        let sandboxes = self.sandboxes.get(uid).into_iter().flatten();
        let mut usage =
            Usage { processes: sandboxes.map(|sandbox| sandbox.processes).sum(), ..Usage::default() };
        for container in containers {
            let name = container.labels.get(CONTAINER).cloned().unwrap_or_default();
            let root =
                Space { bytes: container.writable_layer_bytes, inodes: container.writable_layer_inodes };
            let used = ContainerUsage { memory: container.working_set_bytes, root, logs: Space::default() };
            usage.containers.insert(name, used);
        }
        if disk {
            add_disk(&mut usage, pod, host).await;
        }
        Some(usage)
    }
}

async fn add_disk(usage: &mut Usage, pod: &Pod, host: &impl Host) {
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let logs = host.log_directory(pod);
    for (name, container) in &mut usage.containers {
        container.logs = size(logs.join(name)).await;
    }
    for volume in on_disk(pod) {
        let used = size(host.empty_dir(uid, &volume.name)).await;
        usage.volumes.insert(volume.name.clone(), used);
    }
}

/// What a directory holds, on a thread that may wait for the disk.
async fn size(directory: PathBuf) -> Space {
    tokio::task::spawn_blocking(move || walk(&directory)).await.unwrap_or_default()
}

/// Blocks and inodes of a directory and all below it on the same file system. What goes away meanwhile does not count.
fn walk(directory: &Path) -> Space {
    let Ok(root) = fs::symlink_metadata(directory) else { return Space::default() };
    let mut total = Space { bytes: root.blocks() * 512, inodes: 1 };
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() != root.dev() {
                continue;
            }
            // A file with several names counts by its share, so that the sum is right without remembering inodes.
            let bytes = meta.blocks() * 512;
            let names = if meta.is_dir() { 1 } else { meta.nlink().max(1) };
            total = total + Space { bytes: bytes / names, inodes: 1 };
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_measured_in_blocks() {
        let directory = tempfile::tempdir().unwrap();
        let empty = walk(directory.path());
        fs::create_dir(directory.path().join("below")).unwrap();
        fs::write(directory.path().join("below/file"), vec![1; 1 << 20]).unwrap();
        std::os::unix::fs::symlink("/", directory.path().join("link")).unwrap();
        let full = walk(directory.path());
        assert_eq!(full.inodes - empty.inodes, 3);
        assert!(full.bytes - empty.bytes >= 1 << 20, "{full:?}");
        assert!(full.bytes - empty.bytes < 2 << 20, "{full:?}");
        assert_eq!(walk(Path::new("/no/such/directory")), Space::default());
    }

    #[test]
    fn the_machine_can_be_measured() {
        for observation in [memory(), processes(), stat(Path::new("/")).as_ref().map(space)] {
            let observation = observation.unwrap();
            assert!(observation.available <= observation.capacity, "{observation:?}");
        }
    }
}
