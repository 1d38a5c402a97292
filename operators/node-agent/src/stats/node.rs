//! What the node itself uses, as the kernel says.

use jiff::Timestamp;
use std::{collections::BTreeMap, fs, path::Path};

/// Nanoseconds of one tick of `/proc/stat`, whose unit is fixed for programs.
const TICK: u64 = 10_000_000;
/// Interfaces of pods and of the machine itself are not the node's network.
const NOT_THE_NETWORK: [&str; 5] = ["lo", "veth", "cni", "docker", "dummy"];

/// One measurement of the node.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct NodeSample {
    pub(super) booted: Option<Timestamp>,
    pub(super) cpu_nanoseconds: u64,
    pub(super) memory: Memory,
    pub(super) interfaces: Vec<Interface>,
    pub(super) processes: Option<u64>,
    pub(super) most_processes: Option<u64>,
    pub(super) cpus: u64,
}

/// Memory, bytes, and page faults.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) capacity: u64,
    pub(super) used: u64,
    pub(super) working_set: u64,
    pub(super) rss: u64,
    pub(super) page_faults: u64,
    pub(super) major_page_faults: u64,
}

/// Counters of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) received_bytes: u64,
    pub(super) receive_errors: u64,
    pub(super) sent_bytes: u64,
    pub(super) send_errors: u64,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FilesystemSpace {
    pub(super) capacity: u64,
    pub(super) available: u64,
    pub(super) used: u64,
    pub(super) inodes: u64,
    pub(super) inodes_free: u64,
}

impl NodeSample {
    /// Reads the kernel's files. What cannot be read counts as nothing.
    pub(super) fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let stat = read("/proc/stat");
        Self {
            booted: number_after(&stat, "btime ")
                .and_then(|s| Timestamp::from_second(i64::try_from(s).ok()?).ok()),
            cpu_nanoseconds: cpu(&stat),
            memory: memory(&read("/proc/meminfo"), &read("/proc/vmstat")),
            interfaces: interfaces(&read("/proc/net/dev")),
            processes: processes(&read("/proc/loadavg")),
            most_processes: read("/proc/sys/kernel/pid_max").trim().parse().ok(),
            cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
        }
    }
}

/// Room on the file system of a path.
pub(super) fn space(path: &Path) -> Option<FilesystemSpace> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Some(FilesystemSpace {
        capacity: bytes(stat.f_blocks),
        available: bytes(stat.f_bavail),
        used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
        inodes: stat.f_files,
        inodes_free: stat.f_ffree,
    })
}

pub(super) fn number_after(text: &str, start: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(start))?.split_whitespace().next()?.parse().ok()
}

/// Time that all CPUs spent working: all but idle and waiting; guests are in user time already.
fn cpu(stat: &str) -> u64 {
    let Some(line) = stat.lines().find_map(|line| line.strip_prefix("cpu ")) else { return 0 };
    let ticks: Vec<u64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    [0, 1, 2, 5, 6, 7].iter().filter_map(|&i| ticks.get(i)).sum::<u64>() * TICK
}

fn memory(meminfo: &str, vmstat: &str) -> Memory {
    let bytes = |name: &str| number_after(meminfo, name).unwrap_or_default() * 1024;
    let capacity = bytes("MemTotal:");
    let used = capacity.saturating_sub(bytes("MemFree:"));
    Memory {
        capacity,
        used,
        working_set: used.saturating_sub(bytes("Inactive(file):")),
        rss: bytes("AnonPages:"),
        page_faults: number_after(vmstat, "pgfault ").unwrap_or_default(),
        major_page_faults: number_after(vmstat, "pgmajfault ").unwrap_or_default(),
    }
}

fn interfaces(dev: &str) -> Vec<Interface> {
    let parse = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let counters: Vec<u64> = rest.split_whitespace().filter_map(|n| n.parse().ok()).collect();
        let counter = |i: usize| counters.get(i).copied();
        Some(Interface {
            name: name.trim().to_owned(),
            received_bytes: counter(0)?,
            receive_errors: counter(2)?,
            sent_bytes: counter(8)?,
            send_errors: counter(10)?,
        })
    };
    let is_the_network = |i: &Interface| !NOT_THE_NETWORK.iter().any(|n| i.name.starts_with(n));
    let sorted: BTreeMap<_, _> =
        dev.lines().filter_map(parse).filter(is_the_network).map(|i| (i.name.clone(), i)).collect();
    sorted.into_values().collect()
}

/// Tasks that exist: the number behind the slash.
fn processes(loadavg: &str) -> Option<u64> {
    loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        let stat = "cpu  10 1 5 1000 7 1 2 3 4 5\ncpu0 1 1 1 1\nbtime 1700000000\n";
        assert_eq!(cpu(stat), 22 * TICK);
        assert_eq!(number_after(stat, "btime "), Some(1_700_000_000));
        let meminfo = "MemTotal: 100 kB\nMemFree: 20 kB\nInactive(file): 30 kB\nAnonPages: 10 kB\n";
        let memory = memory(meminfo, "pgfault 7\npgmajfault 3\n");
        assert_eq!((memory.used, memory.working_set, memory.rss), (80 << 10, 50 << 10, 10 << 10));
        assert_eq!((memory.page_faults, memory.major_page_faults), (7, 3));
        assert_eq!(processes("0.1 0.2 0.3 2/345 678"), Some(345));
    }

    #[test]
    fn only_the_nodes_own_interfaces_count() {
        let dev = "Inter-| Receive | Transmit\n face |bytes packets\n\
            lo: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n eth0: 10 1 2 0 0 0 0 0 20 1 3 0 0 0 0 0\n\
            veth1: 1 0 0 0 0 0 0 0 1 0 0 0 0 0 0 0\n";
        let eth0 = Interface {
            name: "eth0".to_owned(),
            received_bytes: 10,
            receive_errors: 2,
            sent_bytes: 20,
            send_errors: 3,
        };
        assert_eq!(interfaces(dev), [eth0]);
    }

    #[test]
    fn this_machine_can_be_measured() {
        let sample = NodeSample::read();
        assert!(sample.cpu_nanoseconds > 0 && sample.memory.working_set > 0 && sample.booted.is_some());
        assert!(space(Path::new("/")).unwrap().capacity > 0);
    }
}
