//! What is compared: servers with all the processes that belong to them.

mod credentials;
mod proa;
mod process;
mod upstream;

use crate::client::{Call, Connection, Endpoint};
use anyhow::{Context, Result, bail, ensure};
pub(crate) use process::Process;
use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a server may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(90);
const POLL: Duration = Duration::from_millis(5);

/// One of those that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Proa,
    /// kube-apiserver on etcd.
    Etcd,
    /// kube-apiserver on kine with SQLite.
    Kine,
    /// Debian's nginx, where requests are passed on.
    Nginx,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Proa, Self::Etcd, Self::Kine, Self::Nginx];

    /// Its name in the results and on the command line.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Proa => "proa",
            Self::Etcd => "etcd",
            Self::Kine => "kine",
            Self::Nginx => "nginx",
        }
    }
    /// Its name in the document.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Proa => "Proa",
            Self::Etcd => "kube-apiserver + etcd",
            Self::Kine => "kube-apiserver + kine",
            Self::Nginx => "nginx",
        }
    }
}

/// What runs beside the API server and its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum With {
    Nothing,
    /// The scheduler alone.
    Scheduler,
    /// The scheduler and all controllers that run by default.
    Everything,
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) proa: PathBuf,
    /// Directory of etcd, kine, kube-apiserver, kube-controller-manager and kube-scheduler.
    pub(crate) tools: PathBuf,
    /// Directories of the servers are made in here: on a disk, so that a sync costs what it costs.
    pub(crate) scratch: PathBuf,
}

impl Programs {
    /// A tool that was built.
    ///
    /// # Errors
    /// When it is not there; with the last line of what its build wrote to `NAME.log`.
    pub(crate) fn tool(&self, name: &str) -> Result<PathBuf> {
        let path = self.tools.join(name);
        if !path.exists() {
            let log = std::fs::read_to_string(self.tools.join(format!("{name}.log"))).unwrap_or_default();
            let last = log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it was not built");
            anyhow::bail!("there is no {name}: {last}");
        }
        Ok(path)
    }
}

/// A running server. All its processes end and its directory goes when it is dropped.
pub(crate) struct Peer {
    // Before the directory: dropped in this order.
    processes: Vec<Process>,
    endpoint: Endpoint,
    begun: Instant,
    ready: Duration,
    kubeconfig: PathBuf,
    directory: TempDir,
}

impl Peer {
    /// Starts it in a new directory and waits until `/readyz` says ok.
    pub(crate) async fn start(programs: &Programs, kind: Kind, with: With) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("peer-").tempdir_in(&programs.scratch)?;
        match kind {
            Kind::Proa => proa::start(programs, directory, with).await,
            Kind::Nginx => bail!("it has no API"),
            Kind::Etcd | Kind::Kine => upstream::start(programs, directory, kind, with).await,
        }
        .with_context(|| format!("start {}", kind.title()))
    }
    /// Starts the scheduler of a server that was started without, as a process of its own.
    pub(crate) fn start_scheduler(&mut self, programs: &Programs, kind: Kind) -> Result<()> {
        let start = if kind == Kind::Proa { proa::scheduler } else { upstream::scheduler };
        self.processes.push(start(programs, self.directory.path(), &self.kubeconfig)?);
        Ok(())
    }
    /// How its administrator reaches it.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    /// When its first process was started.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }
    /// From then until `/readyz` said ok.
    pub(crate) fn ready(&self) -> Duration {
        self.ready
    }
    /// Resident memory of all its processes together, in MiB.
    pub(crate) fn memory_mib(&self) -> Result<f64> {
        self.processes.iter().map(Process::memory_mib).sum()
    }
    /// The most resident memory of each process since [`Self::forget_peak`], added up, in MiB.
    pub(crate) fn peak_mib(&self) -> Result<f64> {
        self.processes.iter().map(Process::peak_mib).sum()
    }
    pub(crate) fn forget_peak(&self) -> Result<()> {
        self.processes.iter().try_for_each(Process::forget_peak)
    }
    /// Processor time that all its processes used so far, in seconds.
    pub(crate) fn cpu_seconds(&self) -> Result<f64> {
        self.processes.iter().map(Process::cpu_seconds).sum()
    }
    /// Waits until it uses less than a tenth of a core for a second; at most 8 seconds.
    pub(crate) async fn quiet(&self) -> Result<()> {
        const WINDOW: Duration = Duration::from_secs(1);
        const WINDOWS: usize = 8;
        for _ in 0..WINDOWS {
            let before = self.cpu_seconds()?;
            tokio::time::sleep(WINDOW).await;
            if self.cpu_seconds()? - before < 0.1 {
                break;
            }
        }
        Ok(())
    }
}

/// Waits until the server that the kubeconfig names says that it is ready, or one of its processes ends.
async fn until_ready(processes: &mut [Process], kubeconfig: &Path, token: Option<&str>) -> Result<Endpoint> {
    let begun = Instant::now();
    let mut asked: Option<(Endpoint, Connection)> = None;
    loop {
        processes.iter_mut().try_for_each(Process::still_runs)?;
        if kubeconfig.exists() && asked.as_ref().is_none_or(|(_, connection)| connection.is_closed()) {
            asked = connect(kubeconfig, token).await.ok();
        }
        // On one connection: handshakes would slow the server down that is to become ready.
        if let Some((endpoint, connection)) = &mut asked
            && connection.send(&Call::get("/readyz")).await.is_ok()
        {
            return Ok(endpoint.clone());
        }
        ensure!(begun.elapsed() < READY_WITHIN, "not ready within {READY_WITHIN:?}: {}", tails(processes));
        tokio::time::sleep(POLL).await;
    }
}

async fn connect(kubeconfig: &Path, token: Option<&str>) -> Result<(Endpoint, Connection)> {
    let endpoint = Endpoint::read(kubeconfig, token).await?;
    let connection = endpoint.connect().await?;
    Ok((endpoint, connection))
}

fn tails(processes: &[Process]) -> String {
    processes.iter().map(Process::last_words).collect::<Vec<_>>().join("; ")
}

/// A port of the loopback interface that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
