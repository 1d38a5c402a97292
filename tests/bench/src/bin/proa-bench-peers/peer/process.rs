//! One process of a server.

use anyhow::{Context, Result, bail};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Ends when dropped, and also when this program ends in any other way.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program; what it says goes to `NAME.log` in `directory`, which is its working directory.
    pub(crate) fn start<A: AsRef<OsStr>>(
        name: &'static str,
        program: &Path,
        directory: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let out = fs::File::create(&log)?;
        // setpriv becomes the program: the kernel then ends it with the thread that started it, the main one.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {}", program.display()))?;
        Ok(Self { name, child, log })
    }
    /// Ends it in order, with the processes that it started.
    pub(crate) fn terminate(&mut self) {
        let asked = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.child.id())).status();
        if asked.is_ok_and(|status| status.success()) {
            let _ = self.child.wait();
        }
    }
    /// # Errors
    /// When it ended, with the end of its log.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("it ended with {status}: {}", self.last_words()),
        }
    }
    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        const MOST: usize = 3;
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let mut last: Vec<_> = log.lines().rev().take(MOST).collect();
        last.reverse();
        format!("{}: {}", self.name, last.join(" | "))
    }
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        self.status("VmRSS:")
    }
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        self.status("VmHWM:")
    }
    /// The peak is counted anew from here (proc_pid_clear_refs(5)).
    pub(crate) fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(self.file("clear_refs"), "5")?)
    }
    /// Processor time that it and the processes that it started used so far.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        let children = children.split_whitespace().filter_map(|child| cpu_seconds(child.parse().ok()?).ok());
        Ok(cpu_seconds(id)? + children.sum::<f64>())
    }
    fn status(&self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(self.file("status"))?;
        let line = status.lines().find(|l| l.starts_with(field));
        // A process that ended has no memory.
        let line = line.with_context(|| format!("no {field}: {}", self.last_words()))?;
        let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
        Ok(kib / 1024.0)
    }
    fn file(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.child.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data is thrown away: it need not end in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn cpu_seconds(process: u32) -> Result<f64> {
    // What sysconf(_SC_CLK_TCK) is on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = stat.rsplit_once(')').context("no name in stat")?.1.split_whitespace().collect();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("a short stat")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}
