//! Cgroups of pods: made with the pod's limits before its sandbox, removed when everything of it stopped.
//!
//! Both versions: each version 1 hierarchy with its controllers, and the unified one. The runtime makes what lies below
//! a pod's cgroup; nobody else removes the pod's own. Deliberately absent: reservations of the node itself.
//! Upstream: pkg/kubelet/cm/{cgroup_manager_linux,pod_container_manager_linux,qos_container_manager_linux}.go.

use proa_runtime_shim::LinuxResources;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Classes of pods with a cgroup of their own; guaranteed pods lie beside them.
const CLASSES: [&str; 3] = ["", "burstable", "besteffort"];
/// Weight of all pods that ask for nothing.
const FEWEST_SHARES: i64 = 2;
/// Period of CPU quotas where none is given.
const PERIOD: i64 = 100_000;

/// One hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Hierarchy {
    root: PathBuf,
    /// Controllers of version 1; `None` for the unified hierarchy.
    controllers: Option<Vec<String>>,
}

/// All hierarchies, below the cgroup of all pods.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    parent: PathBuf,
    hierarchies: Vec<Hierarchy>,
}

impl Cgroups {
    /// The machine's hierarchies.
    pub(crate) fn detect(parent: &str) -> io::Result<Self> {
        Ok(Self::of_mounts(parent, &fs::read_to_string("/proc/self/mounts")?))
    }
    pub(crate) fn of_mounts(parent: &str, mounts: &str) -> Self {
        let hierarchies = mounts.lines().filter_map(hierarchy).collect();
        Self { parent: parent.trim_matches('/').into(), hierarchies }
    }
    /// Makes a pod's cgroup with its limits. Hierarchies without limits are left to the runtime.
    pub(crate) fn make(&self, cgroup: &str, limits: &LinuxResources) -> io::Result<()> {
        for hierarchy in self.hierarchies.iter().filter(|hierarchy| hierarchy.limits()) {
            hierarchy.make(Path::new(cgroup.trim_matches('/')))?;
            hierarchy.limit(Path::new(cgroup.trim_matches('/')), limits)?;
        }
        Ok(())
    }
    /// Weighs the classes against each other: burstable pods as much as they ask for together.
    pub(crate) fn weigh(&self, burstable_shares: i64) -> io::Result<()> {
        for (class, shares) in [("burstable", burstable_shares), ("besteffort", FEWEST_SHARES)] {
            let weight =
                LinuxResources { cpu_shares: shares.max(FEWEST_SHARES), ..LinuxResources::default() };
            let cgroup = self.parent.join(class);
            for hierarchy in self.hierarchies.iter().filter(|hierarchy| hierarchy.has("cpu")) {
                hierarchy.make(&cgroup)?;
                hierarchy.weigh(&cgroup, &weight)?;
            }
        }
        Ok(())
    }
    /// Removes a pod's cgroup in every hierarchy and class. Fails while something runs in it.
    pub(crate) fn remove(&self, uid: &str) -> io::Result<()> {
        let places = self.hierarchies.iter().flat_map(|hierarchy| {
            CLASSES.map(|class| hierarchy.root.join(&self.parent).join(class).join(format!("pod{uid}")))
        });
        places.map(|place| remove(&place)).collect::<Vec<_>>().into_iter().collect()
    }
    /// Uids of pods that have a cgroup.
    pub(crate) fn known(&self) -> BTreeSet<String> {
        let places = self
            .hierarchies
            .iter()
            .flat_map(|hierarchy| CLASSES.map(|class| hierarchy.root.join(&self.parent).join(class)));
        let entries = places.filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
        entries
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("pod")?.to_owned()))
            .filter(|uid| !uid.is_empty())
            .collect()
    }
}

/// A line of the table of mounts, if it is a hierarchy.
fn hierarchy(line: &str) -> Option<Hierarchy> {
    let mut fields = line.split(' ').skip(1);
    let (root, kind, options) = (fields.next()?, fields.next()?, fields.next()?);
    let controllers = match kind {
        "cgroup2" => None,
        "cgroup" => Some(options.split(',').map(str::to_owned).collect()),
        _ => return None,
    };
    Some(Hierarchy { root: root.into(), controllers })
}

impl Hierarchy {
    fn has(&self, controller: &str) -> bool {
        match &self.controllers {
            Some(own) => own.iter().any(|own| own == controller),
            None => fs::read_to_string(self.root.join("cgroup.controllers"))
                .is_ok_and(|text| text.split_whitespace().any(|own| own == controller)),
        }
    }
    /// Whether it takes any limit that pods have.
    fn limits(&self) -> bool {
        self.has("cpu") || self.has("memory")
    }
    fn make(&self, cgroup: &Path) -> io::Result<()> {
        let mut present = self.root.clone();
        for part in cgroup {
            if self.controllers.is_none() {
                delegate(&present);
            }
            present.push(part);
            match fs::create_dir(&present) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
    fn limit(&self, cgroup: &Path, limits: &LinuxResources) -> io::Result<()> {
        if self.has("cpu") {
            self.weigh(cgroup, limits)?;
            self.set_quota(cgroup, limits)?;
        }
        if self.has("memory") && limits.memory_limit > 0 {
            let file = if self.controllers.is_some() { "memory.limit_in_bytes" } else { "memory.max" };
            self.write(cgroup, file, &limits.memory_limit.to_string())?;
        }
        Ok(())
    }
    fn weigh(&self, cgroup: &Path, limits: &LinuxResources) -> io::Result<()> {
        let shares = limits.cpu_shares.max(FEWEST_SHARES);
        if self.controllers.is_some() {
            return self.write(cgroup, "cpu.shares", &shares.to_string());
        }
        // As runtimes convert it: 2..262144 to 1..10000.
        self.write(cgroup, "cpu.weight", &(1 + (shares - 2) * 9999 / 262_142).to_string())
    }
    fn set_quota(&self, cgroup: &Path, limits: &LinuxResources) -> io::Result<()> {
        if limits.cpu_quota <= 0 {
            return Ok(());
        }
        let period = if limits.cpu_period > 0 { limits.cpu_period } else { PERIOD };
        if self.controllers.is_none() {
            return self.write(cgroup, "cpu.max", &format!("{} {period}", limits.cpu_quota));
        }
        self.write(cgroup, "cpu.cfs_period_us", &period.to_string())?;
        self.write(cgroup, "cpu.cfs_quota_us", &limits.cpu_quota.to_string())
    }
    fn write(&self, cgroup: &Path, file: &str, value: &str) -> io::Result<()> {
        let path = self.root.join(cgroup).join(file);
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        fs::write(&path, value).map_err(told)
    }
}

/// Hands controllers down. One that is not there, or a cgroup with processes of its own, is left as it is.
fn delegate(cgroup: &Path) {
    for controller in ["+cpu", "+memory", "+pids"] {
        if let Err(error) = fs::write(cgroup.join("cgroup.subtree_control"), controller) {
            tracing::debug!(cgroup = %cgroup.display(), controller, %error, "controller is not handed down");
        }
    }
}

/// Removes a cgroup with what lies below it.
fn remove(cgroup: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(cgroup) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove(&entry.path())?;
    }
    match fs::remove_dir(cgroup) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", cgroup.display()))),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cgroups(folder: &Path) -> Cgroups {
        let mounts = format!(
            "cgroup {0}/cpu cgroup rw,cpu,cpuacct 0 0\ncgroup {0}/memory cgroup rw,memory 0 0\n\
             cgroup {0}/pids cgroup rw,pids 0 0\ncgroup2 {0}/unified cgroup2 rw 0 0\nproc /proc proc rw 0 0\n",
            folder.display()
        );
        for hierarchy in ["cpu", "memory", "pids", "unified"] {
            fs::create_dir_all(folder.join(hierarchy)).unwrap();
        }
        Cgroups::of_mounts("/proa", &mounts)
    }

    #[test]
    fn limits_go_where_their_controller_is() {
        let folder = tempfile::tempdir().unwrap();
        let cgroups = cgroups(folder.path());
        let limits = LinuxResources {
            cpu_shares: 512,
            cpu_quota: 50_000,
            memory_limit: 1 << 20,
            ..LinuxResources::default()
        };
        cgroups.make("/proa/burstable/podu1", &limits).unwrap();
        let text = |path: &str| fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(text("cpu/proa/burstable/podu1/cpu.shares"), "512");
        assert_eq!(text("cpu/proa/burstable/podu1/cpu.cfs_quota_us"), "50000");
        assert_eq!(text("memory/proa/burstable/podu1/memory.limit_in_bytes"), "1048576");
        assert!(!folder.path().join("pids/proa").exists());
        assert!(!folder.path().join("unified/proa").exists());
        cgroups.weigh(1536).unwrap();
        assert_eq!(
            (text("cpu/proa/burstable/cpu.shares"), text("cpu/proa/besteffort/cpu.shares")),
            ("1536".into(), "2".into())
        );
        assert_eq!(cgroups.known(), BTreeSet::from(["u1".to_owned()]));
    }

    #[test]
    fn what_a_runtime_made_below_goes_too() {
        let folder = tempfile::tempdir().unwrap();
        let cgroups = cgroups(folder.path());
        for path in ["cpu/proa/podu1/c1", "pids/proa/podu1", "unified/proa/podu1/c1/c2"] {
            fs::create_dir_all(folder.path().join(path)).unwrap();
        }
        assert_eq!(cgroups.known(), BTreeSet::from(["u1".to_owned()]));
        cgroups.remove("u1").unwrap();
        cgroups.remove("u1").unwrap();
        assert!(cgroups.known().is_empty());
        assert!(folder.path().join("cpu/proa").exists());
    }

    #[test]
    fn the_machine_keeps_pods_in_hierarchies() {
        let parent = format!("proa-test-{}", std::process::id());
        let cgroups = Cgroups::detect(&parent).unwrap();
        let limits = LinuxResources { cpu_shares: 100, memory_limit: 64 << 20, ..LinuxResources::default() };
        let made = cgroups.make(&format!("/{parent}/podu1"), &limits);
        let known = cgroups.known();
        let removed = cgroups.remove("u1");
        for hierarchy in &cgroups.hierarchies {
            drop(fs::remove_dir(hierarchy.root.join(&parent)));
        }
        made.unwrap();
        removed.unwrap();
        assert_eq!(known, BTreeSet::from(["u1".to_owned()]));
        assert!(cgroups.known().is_empty());
    }
}
