//! Removing what a node left on the machine, by what the kernel shows, without containerd (N4).

use super::{
    DaemonConfig, DaemonError, Result, cgroups,
    leases::{self, Lease},
    mounts, processes, system,
};
use crate::{cni, process::Handle};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// How long killed processes may take to go, and cgroups to become empty.
const WITHIN: Duration = Duration::from_secs(20);
/// Where shims of any containerd listen; the path is built into containerd.
const SHIM_SOCKETS: &str = "/run/containerd/s";
const TASKS: &str = "io.containerd.runtime.v2.task";

/// Ends every process of the node and removes its mounts, network namespaces, cgroups, links and state directory. What
/// is in [`DaemonConfig::root`] stays. May be called again and again, and whatever else has crashed before.
pub fn sweep(config: &DaemonConfig) -> Result<()> {
    end_processes(config)?;
    if let Some(what) = cgroups::remove(&config.cgroup_parent, WITHIN) {
        return Err(DaemonError::LeftOver { what, within: WITHIN });
    }
    mounts::remove_below(&[&config.state, &config.root, &config.shared])?;
    leases::all(&config.addresses).iter().for_each(Lease::release);
    config.links.iter().try_for_each(|bridge| cni::remove_bridge(bridge))?;
    shim_sockets(&config.state).iter().try_for_each(|socket| gone(fs::remove_file(socket), socket))?;
    // Nothing is mounted in it any more, so nothing else's files are below.
    gone(fs::remove_dir_all(&config.state), &config.state)
}

/// containerd first: it would start shims again, and clean up after them at the same time as this.
fn end_processes(config: &DaemonConfig) -> Result<()> {
    end_all(processes::containerd(&config.file()).into_iter().collect())?;
    end_all(processes::shims(&config.socket()).collect())
}

fn end_all(processes: Vec<Handle>) -> Result<()> {
    processes.iter().for_each(Handle::kill);
    for process in processes {
        let what = format!("process {}", process.pid());
        if !process.kill_and_wait(WITHIN) {
            return Err(DaemonError::LeftOver { what, within: WITHIN });
        }
    }
    Ok(())
}

/// Sockets of the shims whose bundles are in the state directory.
fn shim_sockets(state: &Path) -> Vec<PathBuf> {
    let namespaces = fs::read_dir(state.join(TASKS)).into_iter().flatten().flatten();
    let bundles =
        namespaces.flat_map(|namespace| fs::read_dir(namespace.path()).into_iter().flatten().flatten());
    let addresses = bundles.filter_map(|bundle| fs::read_to_string(bundle.path().join("address")).ok());
    let paths = addresses.filter_map(|address| Some(PathBuf::from(address.strip_prefix("unix://")?)));
    paths.filter(|path| path.starts_with(SHIM_SOCKETS)).collect()
}

/// Makes the absence of what was to be removed no error.
fn gone(result: io::Result<()>, path: &Path) -> Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(system(format!("remove {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sockets_of_own_shims_are_removed() {
        let state = tempfile::tempdir().unwrap();
        let bundle = state.path().join(TASKS).join("k8s.io/abc");
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("address"), "unix:///run/containerd/s/0123").unwrap();
        let other = state.path().join(TASKS).join("k8s.io/def");
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("address"), "unix:///etc/passwd").unwrap();
        assert_eq!(shim_sockets(state.path()), [PathBuf::from("/run/containerd/s/0123")]);
        assert!(shim_sockets(Path::new("/nowhere")).is_empty());
    }
}
