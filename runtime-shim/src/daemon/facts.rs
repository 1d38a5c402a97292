//! What this machine has: programs, cgroups, rights.

use super::{
    DaemonError, Result,
    mounts::{self, Mount},
};
use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What the configuration and the start of containerd depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// containerd.
    pub(super) containerd: PathBuf,
    /// OCI runtimes by name, the default first: crun starts a pod in half of runc's time.
    pub(super) runtimes: Vec<(&'static str, PathBuf)>,
    /// Directory of the CNI plugins.
    pub(super) cni_bin: PathBuf,
    /// Whether a process may lower its `oom_score_adj`.
    pub(super) may_lower_oom_score: bool,
    /// Whether huge pages can be limited.
    pub(super) has_hugetlb: bool,
    /// Where cgroup2 is mounted beside the cgroups of version 1 (the "hybrid" layout).
    pub(super) hybrid: Option<PathBuf>,
}

const RUNTIMES: [&str; 2] = ["crun", "runc"];
/// Where distributions put the plugins; Debian first.
const CNI_BIN: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
/// Programs of the system are not always in a user's path.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";
const CAP_SYS_RESOURCE: u32 = 24;

impl Facts {
    pub(super) fn of_this_machine() -> Result<Self> {
        let missing = |program, package| DaemonError::Missing { program, package };
        let containerd = find_program("containerd").ok_or_else(|| missing("containerd", "containerd"))?;
        let found = RUNTIMES.iter().filter_map(|name| Some((*name, find_program(name)?)));
        let runtimes: Vec<_> = found.collect();
        if runtimes.is_empty() {
            return Err(missing("crun", "crun"));
        }
        let has_plugins = |dir: &&&str| Path::new(dir).join("bridge").is_file();
        let cni_bin = CNI_BIN.iter().find(has_plugins);
        let cni_bin =
            cni_bin.ok_or_else(|| missing("the CNI plugin bridge", "containernetworking-plugins"))?;
        let mounts = mounts::all();
        Ok(Self {
            containerd,
            runtimes,
            cni_bin: cni_bin.into(),
            may_lower_oom_score: may_lower_oom_score(
                &fs::read_to_string("/proc/self/status").unwrap_or_default(),
            ),
            has_hugetlb: has_hugetlb(&mounts),
            hybrid: hybrid(&mounts),
        })
    }
}

/// A program in the user's path or the system's.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain(env::split_paths(SYSTEM_PATH)).collect::<Vec<_>>();
    dirs.into_iter().map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn may_lower_oom_score(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let set = line.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.is_some_and(|set| set & (1 << CAP_SYS_RESOURCE) != 0)
}

fn has_hugetlb(mounts: &[Mount]) -> bool {
    let of_version_1 =
        mounts.iter().any(|m| m.kind == "cgroup" && m.options.split(',').any(|option| option == "hugetlb"));
    of_version_1
        || fs::read_to_string("/sys/fs/cgroup/cgroup.controllers")
            .is_ok_and(|controllers| controllers.split_whitespace().any(|name| name == "hugetlb"))
}

fn hybrid(mounts: &[Mount]) -> Option<PathBuf> {
    let has_version_1 = mounts.iter().any(|m| m.kind == "cgroup");
    let second = mounts.iter().find(|m| m.kind == "cgroup2" && m.point.starts_with("/sys/fs/cgroup"));
    second.filter(|_| has_version_1).map(|m| m.point.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_right_decides_about_oom_scores() {
        assert!(may_lower_oom_score("Name:\tx\nCapEff:\t000001ffffffffff\n"));
        assert!(!may_lower_oom_score("CapEff:\t000001fffeffffff\n"));
        assert!(!may_lower_oom_score(""));
    }

    #[test]
    fn hybrid_needs_both_versions() {
        let v1 = "1 0 0:1 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let v2 = "2 0 0:2 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let only = "2 0 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(hybrid(&mounts::parse(&[v1, v2].concat())), Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(hybrid(&mounts::parse(v1)), None);
        assert_eq!(hybrid(&mounts::parse(only)), None);
    }
}
