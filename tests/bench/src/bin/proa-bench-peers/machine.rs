//! On what, when and with which versions it was measured.

use crate::peer::Programs;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

/// Facts about one measurement.
#[derive(Clone, Default, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) command: String,
    pub(crate) date: String,
    pub(crate) commit: String,
    pub(crate) versions: BTreeMap<String, String>,
    pub(crate) machine: Machine,
    /// Processes that wanted to run just before, over a minute: what else the machine did.
    pub(crate) load_before: f64,
    pub(crate) runs: usize,
    pub(crate) seconds: u64,
}

#[derive(Clone, Default, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    /// Median time of writing 4 KiB and syncing them.
    pub(crate) sync_ms: f64,
}

pub(crate) fn about(programs: &Programs, command: &str, runs: usize) -> Result<About> {
    let mut versions = BTreeMap::new();
    let tool = |name: &str| programs.tools.join(name).display().to_string();
    let asked = [
        ("proa", programs.proa.display().to_string(), "version"),
        ("etcd", tool("etcd"), "--version"),
        ("kine", tool("kine"), "--version"),
        ("kube-apiserver", tool("kube-apiserver"), "--version"),
        ("kube-controller-manager", tool("kube-controller-manager"), "--version"),
        ("kube-scheduler", tool("kube-scheduler"), "--version"),
    ];
    for (name, program, argument) in asked {
        versions.insert(name.to_owned(), said(&program, &[argument]));
    }
    // It is the one that says so where errors go.
    let nginx = Command::new("/usr/sbin/nginx").arg("-v").output();
    let nginx = nginx.map(|output| String::from_utf8_lossy(&output.stderr).trim().to_owned());
    versions.insert("nginx".to_owned(), nginx.unwrap_or_default());
    let dirty = !said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
    let commit = said("git", &["rev-parse", "--short", "HEAD"]);
    Ok(About {
        command: command.to_owned(),
        date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string(),
        commit: if dirty { format!("{commit} with changes") } else { commit },
        versions,
        machine: machine(&programs.scratch)?,
        load_before: load()?,
        runs,
        seconds: 0,
    })
}

/// The first line that a program prints, or nothing.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn load() -> Result<f64> {
    Ok(fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().parse()?)
}

fn machine(scratch: &Path) -> Result<Machine> {
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let memory = field(&fs::read_to_string("/proc/meminfo")?, "MemTotal");
    let kib: f64 = memory.trim_end_matches(" kB").parse()?;
    Ok(Machine {
        processor: field(&fs::read_to_string("/proc/cpuinfo")?, "model name"),
        cores: std::thread::available_parallelism()?.get(),
        memory_gib: kib / f64::from(1 << 20),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        file_system: said("stat", &["--file-system", "--format=%T", &scratch.display().to_string()]),
        sync_ms: sync_ms(scratch)?,
    })
}

fn sync_ms(scratch: &Path) -> Result<f64> {
    const SYNCS: usize = 101;
    let mut file = tempfile::tempfile_in(scratch)?;
    let mut times = Vec::new();
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[1; 4096])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort();
    let middle: Duration = times[SYNCS / 2];
    Ok(middle.as_secs_f64() * 1000.0)
}
