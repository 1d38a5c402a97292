//! What building needs to know of the node.
//!
//! Owns: the facts and where they are read. Read once when the agent starts. Deliberately absent: the Node object
//! (`node`), which publishes them.

use crate::AgentConfig;
use std::{fs, io, net::IpAddr, path::Path};

/// Facts of the node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeFacts {
    /// Memory, bytes.
    pub(crate) memory: u64,
    /// CPU, thousandths.
    pub(crate) cpu_milli: u64,
    /// Storage of the agent's directory, bytes.
    pub(crate) storage: u64,
    /// Addresses of the node.
    pub(crate) addresses: Vec<IpAddr>,
    /// Whether the kernel enforces AppArmor profiles.
    pub(crate) apparmor: bool,
    /// Whether the kernel enforces SELinux labels.
    pub(crate) selinux: bool,
    /// Whether swap can be limited per container.
    pub(crate) swap_limit: bool,
}

impl NodeFacts {
    /// Reads them. The agent's directory must exist.
    pub(crate) fn read(config: &AgentConfig) -> io::Result<Self> {
        let storage = rustix::fs::statvfs(&config.root)?;
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Ok(Self {
            memory: total_memory(&fs::read_to_string("/proc/meminfo")?),
            cpu_milli: cpus as u64 * 1000,
            storage: storage.f_blocks * storage.f_frsize,
            addresses: vec![config.address],
            apparmor: fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|s| s.starts_with(b"Y")),
            selinux: Path::new("/sys/fs/selinux/enforce").exists(),
            swap_limit: Path::new("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes").exists(),
        })
    }
}

fn total_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix("kB")).and_then(|n| n.trim().parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_meminfo() {
        assert_eq!(total_memory("MemTotal:       24683724 kB\nMemFree: 1 kB\n"), 24_683_724 * 1024);
        assert_eq!(total_memory(""), 0);
    }

    #[test]
    fn facts_of_this_machine() {
        let dir = tempfile::tempdir().unwrap();
        let config = AgentConfig { root: dir.path().to_owned(), ..crate::build::tests::config() };
        let facts = NodeFacts::read(&config).unwrap();
        assert!(facts.memory > 0 && facts.cpu_milli >= 1000 && facts.storage > 0);
        assert_eq!(facts.addresses, [config.address]);
    }
}
