//! Starting containerd in a mount namespace of its own.
//!
//! Why one: crun, which starts a pod in half of runc's time, refuses the hybrid cgroup layout, so cgroup2 is hidden
//! there; and `HostToContainer` and
//! `Bidirectional` mounts need shared mounts, which a machine without systemd does not have and which must not be
//! forced on it. In the new namespace everything is shared. What the machine shares already stays connected with it
//! both ways, so under systemd containers see later mounts of the machine and the machine sees theirs; elsewhere only
//! [`DaemonConfig::shared`] is connected, and the mounts of containers vanish with their processes.
//! A containerd that died comes back into the namespace of its shims, where the mounts of their pods are.

use super::{DaemonConfig, Result, facts::Facts, processes, system};
use crate::process::Handle;
use rustix::{
    mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};
use std::{
    fs::{self, File},
    io,
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

/// A log that grew beyond this is set aside at the next start.
const LOG_LIMIT: u64 = 16 << 20;

/// Starts containerd. The namespaces of a thread are those of what it starts, so a thread of its own does it.
pub(super) fn start(config: &DaemonConfig, facts: &Facts) -> Result<Handle> {
    let log = open_log(&config.log()).map_err(system(format!("open {}", config.log().display())))?;
    let failed = |source| system(format!("start {}", facts.containerd.display()))(source);
    let child = thread::scope(|scope| {
        let starter = scope.spawn(|| {
            enter(config, facts)?;
            spawn(config, &facts.containerd, log)
        });
        starter.join().unwrap_or_else(|_| Err(io::Error::other("the starting thread ended")))
    });
    Handle::of(child.map_err(failed)?).map_err(failed)
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_LIMIT) {
        fs::rename(path, path.with_extension("log.old"))?;
    }
    File::options().create(true).append(true).open(path)
}

/// In a process group of its own, so that signals of a terminal do not reach it.
fn spawn(config: &DaemonConfig, program: &Path, log: File) -> io::Result<Child> {
    Command::new(program)
        .arg("--config")
        .arg(config.file())
        .current_dir("/")
        // It would reach the OCI runtime, which would look for a container's own notices there.
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0)
        .spawn()
}

/// Moves this thread into the namespace of the node's shims, or into a new one.
fn enter(config: &DaemonConfig, facts: &Facts) -> io::Result<()> {
    unshare(UnshareFlags::FS)?;
    for shim in processes::shims(&config.socket()) {
        // It may end meanwhile; another one will do.
        if let Ok(namespace) = File::open(format!("/proc/{}/ns/mnt", shim.pid())) {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount))?;
            return Ok(());
        }
    }
    unshare(UnshareFlags::NEWNS)?;
    if let Some(unified) = &facts.hybrid {
        // First cut off, or the machine would lose it too.
        mount_change(unified, MountPropagationFlags::PRIVATE)?;
        if let Some(parent) = unified.parent() {
            mount_change(parent, MountPropagationFlags::PRIVATE)?;
        }
        unmount(unified, UnmountFlags::DETACH)?;
    }
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)?;
    Ok(())
}

/// Does something among the mounts of the node's containerd, which must run.
pub(super) fn within(config: &DaemonConfig, work: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    let Some(containerd) = processes::containerd(&config.file()) else { return Ok(()) };
    let failed = |source| system("enter the mounts of containerd")(source);
    let namespace = File::open(format!("/proc/{}/ns/mnt", containerd.pid())).map_err(failed)?;
    // The namespaces of a thread are its own.
    thread::scope(|scope| {
        let worker = scope.spawn(|| {
            unshare(UnshareFlags::FS).map_err(failed)?;
            let entered = move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Mount));
            entered.map_err(|error| failed(error.into()))?;
            work()
        });
        worker.join().unwrap_or_else(|_| Err(failed(io::Error::other("the thread ended"))))
    })
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    #[expect(unsafe_code, reason = "unsafe only for file descriptor tables, which stay shared")]
    // SAFETY: `flags` never contains FILES.
    unsafe {
        unshare_unsafe(flags)?;
    }
    Ok(())
}
