//! What the machine is: read once, since none of it changes while the agent runs.
//!
//! Upstream: cadvisor `machine/{info,machine}.go`.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Processors that are switched on.
    pub(crate) cpus: u64,
    /// Memory, bytes.
    pub(crate) memory: u64,
    /// Swap space, bytes.
    pub(crate) swap: u64,
    /// Size of the file system of the agent's root, bytes.
    pub(crate) storage: u64,
    /// Reserved huge pages: size as a quantity (`2Mi`) to bytes.
    pub(crate) hugepages: BTreeMap<String, u64>,
    /// Made when the system was installed.
    pub(crate) machine_id: String,
    /// Given by the firmware, or else the machine id.
    pub(crate) system_uuid: String,
    /// Made at boot.
    pub(crate) boot_id: String,
    /// Kernel release.
    pub(crate) kernel: String,
    /// Name of the distribution.
    pub(crate) os_image: String,
}

impl Facts {
    /// Reads them; `root` is a directory on the file system that pods' volumes are on.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let memory = fs::read_to_string("/proc/meminfo")?;
        let machine_id = first_of(&["/etc/machine-id", "/var/lib/dbus/machine-id"]);
        let uuid = first_of(&["/sys/class/dmi/id/product_uuid", "/proc/device-tree/vm,uuid"]);
        Ok(Self {
            cpus: online_cpus(&fs::read_to_string("/proc/stat")?),
            memory: meminfo(&memory, "MemTotal").unwrap_or(0),
            swap: meminfo(&memory, "SwapTotal").unwrap_or(0),
            storage: file_system_size(root)?,
            hugepages: hugepages(Path::new("/sys/kernel/mm/hugepages")),
            system_uuid: if uuid.is_empty() { machine_id.clone() } else { uuid },
            machine_id,
            boot_id: first_of(&["/proc/sys/kernel/random/boot_id"]),
            kernel: first_of(&["/proc/sys/kernel/osrelease"]),
            os_image: os_name(&first_of(&["/etc/os-release", "/usr/lib/os-release"])),
        })
    }
}

/// Contents of the first of the files that has any.
fn first_of(files: &[&str]) -> String {
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts
        .map(|text| text.trim_matches(['\0', '\n', ' ']).to_owned())
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

/// Size of the file system that holds `path` or the nearest of its parents that exists.
fn file_system_size(path: &Path) -> io::Result<u64> {
    let existing: PathBuf =
        path.ancestors().find(|path| path.exists()).map_or_else(|| "/".into(), Path::to_path_buf);
    let stat = rustix::fs::statvfs(&existing)?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

/// A value of `/proc/meminfo`, in bytes.
pub(crate) fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Processes and threads that exist (the second part of the fourth value of `/proc/loadavg`).
pub(crate) fn process_ids(loadavg: &str) -> Option<u64> {
    loadavg.split_whitespace().nth(3)?.split('/').nth(1)?.parse().ok()
}

/// Lines of `/proc/stat` about one processor each.
fn online_cpus(stat: &str) -> u64 {
    let cpus = stat.lines().filter_map(|line| line.strip_prefix("cpu"));
    cpus.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).count() as u64
}

fn os_name(release: &str) -> String {
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
    name.map_or("Unknown", |name| name.trim_matches(['"', '\''])).to_owned()
}

fn hugepages(directory: &Path) -> BTreeMap<String, u64> {
    let Ok(entries) = fs::read_dir(directory) else { return BTreeMap::new() };
    entries.filter_map(|entry| reserved(&entry.ok()?.path())).collect()
}

/// Size of page and bytes reserved of a directory such as `hugepages-2048kB`.
fn reserved(directory: &Path) -> Option<(String, u64)> {
    let size = page_size(directory.file_name()?.to_str()?)?;
    let number: u64 = fs::read_to_string(directory.join("nr_hugepages")).ok()?.trim().parse().ok()?;
    Some((binary(size), number * size))
}

fn page_size(directory: &str) -> Option<u64> {
    let kibibytes: u64 = directory.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn binary(bytes: u64) -> String {
    super::status::binary(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_proc() {
        let text = "MemTotal:       24683656 kB\nMemFree:  1 kB\nMemAvailable:   23695548 kB\n";
        assert_eq!(meminfo(text, "MemAvailable"), Some(23_695_548 * 1024));
        assert_eq!(meminfo(text, "Mem"), None);
        assert_eq!(process_ids("2.73 2.13 1.16 3/115 19381\n"), Some(115));
        assert_eq!(online_cpus("cpu  1 2\ncpu0 1 2\ncpu1 1 2\nctxt 5\n"), 2);
        assert_eq!(os_name("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n"), "Debian GNU/Linux 12");
    }

    #[test]
    fn sizes_of_huge_pages_are_quantities() {
        let name = |directory| page_size(directory).map(binary);
        assert_eq!(name("hugepages-2048kB").as_deref(), Some("2Mi"));
        assert_eq!(name("hugepages-1048576kB").as_deref(), Some("1Gi"));
        assert_eq!(name("other"), None);
    }

    #[test]
    fn this_machine_tells_what_it_is() {
        let facts = Facts::read(Path::new("/no/such/directory")).unwrap();
        assert!(facts.cpus > 0 && facts.memory > 0 && facts.storage > 0, "{facts:?}");
        assert!(!facts.kernel.is_empty() && !facts.boot_id.is_empty(), "{facts:?}");
    }
}
