//! The containerd that belongs to one node: made, adopted, watched, and removed without a trace.
//!
//! Owns: one containerd process with its own root, state, socket, configuration and mount namespace; it shares nothing
//! with another containerd of the machine but the folder of shim sockets, whose names are digests. Invariants: **N3**
//! containerd and the pods outlive this process, even when it is killed: a later one adopts them, and a containerd
//! that died is started again among its shims' mounts. **N4** [`Daemon::stop`] leaves no process, mount, network
//! namespace, cgroup or link, and [`sweep`] does the same from what the kernel shows when containerd itself is gone.
//! What a cluster keeps (images, records of containers) stays in [`DaemonConfig::root`].
//! Deliberately absent: what pods' networks look like (the CNI files are the service proxy's), and the volumes.

mod cgroups;
mod config;
mod facts;
mod leases;
mod mounts;
mod namespace;
mod orphans;
mod processes;
mod suspects;
mod sweep;

pub(crate) use facts::find_program;
pub use sweep::sweep;

use crate::{Containerd, Error, Runtime as _, SandboxState, cni, load, pause, process::Handle};
use facts::Facts;
use futures::{StreamExt as _, stream};
use orphans::Found;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use suspects::Suspects;
use tokio_util::sync::CancellationToken;

/// Where a node's containerd keeps what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// Images and records of containers. Stays when the node stops.
    pub root: PathBuf,
    /// Sockets, logs of the daemon, mounts of running containers; on a tmpfs such as `/run`. Removed when the node stops.
    pub state: PathBuf,
    /// The agent's directory: mounts made below it are seen by both the agent and the containers.
    pub shared: PathBuf,
    /// The network's configuration: the first `*.conflist` in it counts, and changes are seen at once.
    pub cni_conf: PathBuf,
    /// Where the network's plugin keeps which sandbox has which address (host-local's `dataDir`).
    pub addresses: PathBuf,
    /// Folder of registries, see [`hosts`](crate::hosts).
    pub registries: PathBuf,
    /// The cgroup above all pods, such as `/proa-NAME`. Everything in it belongs to this node.
    pub cgroup_parent: String,
    /// Bridges of the network; removed when the node stops.
    pub links: Vec<String>,
}

impl DaemonConfig {
    /// Where containerd listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.state.join("containerd.sock")
    }

    /// What containerd says of itself.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("containerd.log")
    }

    fn file(&self) -> PathBuf {
        self.root.join("config.toml")
    }
}

/// Why a node's containerd cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// A program is not installed.
    #[error("{program} is missing: install Debian's package {package}")]
    Missing {
        /// What was looked for.
        program: &'static str,
        /// Where it is.
        package: &'static str,
    },
    /// The socket's path is longer than the kernel takes.
    #[error("the path of the socket {} is too long; choose a shorter state directory", .0.display())]
    LongPath(PathBuf),
    /// An operation of the system failed.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// containerd ended or does not answer.
    #[error("containerd {why}; the end of its log:\n{log}")]
    Start {
        /// What happened.
        why: String,
        /// Its last words.
        log: String,
    },
    /// Something of the node could not be removed.
    #[error("left over after {within:?}: {what}")]
    LeftOver {
        /// What is still there.
        what: String,
        /// How long it was tried.
        within: Duration,
    },
    /// The pause image cannot be loaded.
    #[error("load the pause image: {0}")]
    Pause(#[from] load::LoadError),
    /// The network's bridge cannot be removed.
    #[error(transparent)]
    Network(#[from] cni::Error),
    /// containerd refused something.
    #[error(transparent)]
    Runtime(#[from] Error),
}

type Result<T, E = DaemonError> = std::result::Result<T, E>;

/// Adds what was tried to an error of the system.
fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> DaemonError {
    let what = what.into();
    move |source| DaemonError::System { what, source }
}

/// How long containerd may take to answer after it was started: recovering a hundred pods takes a third of a second.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long it may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);
/// Longest path of a unix socket, `.ttrpc` behind it included.
const LONGEST_PATH: usize = 107 - ".ttrpc".len();
/// Waits between starts that fail.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));
/// A containerd that ran this long failed for a new reason.
const STEADY: Duration = Duration::from_secs(60);
/// Time between two looks at what is in doubt.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Time between two looks when nothing is.
const LOOK_SELDOM: Duration = Duration::from_secs(60);
/// Sandboxes stopped at a time.
const STOPPERS: usize = 8;

/// A node's running containerd.
#[derive(Debug)]
pub struct Daemon {
    config: DaemonConfig,
    process: Handle,
    /// What may have been left by a containerd or a supervisor that died.
    found: Found,
    suspects: Suspects,
}

impl Daemon {
    /// Adopts the node's containerd when it runs as it would be started now, else starts it (again); then makes sure that
    /// the pause image is there. Returns when containerd answers.
    pub async fn start_or_adopt(config: DaemonConfig) -> Result<Self> {
        if config.socket().as_os_str().len() > LONGEST_PATH {
            return Err(DaemonError::LongPath(config.socket()));
        }
        let Started { process, found, is_new } = start_or_adopt(&config).await?;
        let mut daemon = Self { config, process, found, suspects: Suspects::default() };
        daemon.answers().await?;
        // One that was adopted may still work on what a process that died asked of it.
        if is_new {
            daemon.clear().await;
        }
        daemon.bring_pause_image().await?;
        Ok(daemon)
    }

    /// Process id of containerd.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Starts containerd again whenever it ends, until shutdown. Then containerd and the pods stay.
    pub async fn supervise(mut self, shutdown: CancellationToken) {
        let mut backoff = BACKOFF.0;
        loop {
            let started = tokio::time::Instant::now();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.ended() => {}
            }
            if started.elapsed() > STEADY {
                backoff = BACKOFF.0;
            }
            tracing::warn!(pid = self.pid(), log = %self.config.log().display(), "containerd ended; starting it again");
            while let Err(error) = self.restart().await {
                tracing::error!(%error, wait = ?backoff, "containerd cannot be started");
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(backoff) => {}
                }
                backoff = (2 * backoff).min(BACKOFF.1);
            }
        }
    }

    /// Waits until containerd has ended; meanwhile looks again at what is in doubt, of which nothing else tells.
    async fn ended(&mut self) {
        loop {
            let is_quiet = self.found.is_empty() && self.suspects.is_empty();
            tokio::select! {
                () = self.process.ended() => return,
                () = tokio::time::sleep(if is_quiet { LOOK_SELDOM } else { LOOK_AGAIN }) => {}
            }
            match self.suspects.look(&self.config).await {
                Ok(lost) => self.found.extend(lost),
                Err(error) => tracing::debug!(%error, "nothing is known of what containerd lost"),
            }
            self.clear().await;
        }
    }

    async fn restart(&mut self) -> Result<()> {
        let started = start_or_adopt(&self.config).await?;
        (self.process, self.found) = (started.process, started.found);
        self.answers().await?;
        self.clear().await;
        Ok(())
    }

    /// Removes what was lost. A node with something left over is better than none.
    async fn clear(&mut self) {
        if let Err(error) = self.found.remove_orphans(&self.config).await {
            tracing::warn!(%error, "what containerd lost stays for now");
        }
    }

    /// Waits until containerd answers. No event tells this across processes.
    async fn answers(&self) -> Result<()> {
        let asked = tokio::time::Instant::now();
        let failed = |why: String| DaemonError::Start { why, log: last_words(&self.config.log()) };
        loop {
            let Err(error) = Containerd::connect(&self.config.socket()).await else { return Ok(()) };
            if self.process.has_ended() {
                return Err(failed("ended at once".to_owned()));
            }
            if asked.elapsed() > ANSWER_WITHIN {
                return Err(failed(format!("does not answer within {ANSWER_WITHIN:?} ({error})")));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn bring_pause_image(&self) -> Result<()> {
        let socket = self.config.socket();
        let image: &'static pause::PauseImage = &pause::IMAGE;
        if Containerd::connect(&socket).await?.image(&image.name).await?.is_none() {
            load::load_bytes(&socket, &image.name, &image.archive).await?;
        }
        Ok(())
    }

    /// Stops all pods of the node and its containerd, and removes what they had from the machine. Works on whatever is
    /// left of the node. Whoever supervises it must have ended, or would start it again.
    pub async fn stop(config: DaemonConfig) -> Result<()> {
        if let Ok(containerd) = Containerd::connect(&config.socket()).await {
            // What cannot be stopped in good order is removed below.
            if let Err(error) = stop_sandboxes(&containerd).await {
                tracing::warn!(%error, "some pods were not stopped in good order");
            }
        }
        blocking(move || {
            if let Some(containerd) = processes::containerd(&config.file()) {
                containerd.end(END_WITHIN);
            }
            sweep(&config)
        })
        .await
    }
}

/// Stopping the sandboxes by containerd gives their addresses back to the network.
async fn stop_sandboxes(containerd: &Containerd) -> Result<(), Error> {
    let all = containerd.sandboxes().await?;
    let running = all.into_iter().filter(|sandbox| sandbox.state == SandboxState::Ready);
    let stops =
        stream::iter(running).map(|sandbox| async move { containerd.stop_sandbox(&sandbox.id).await });
    let results: Vec<_> = stops.buffer_unordered(STOPPERS).collect().await;
    results.into_iter().collect()
}

/// A containerd, and what was there before anybody asked it for anything.
struct Started {
    process: Handle,
    found: Found,
    /// It did not run before.
    is_new: bool,
}

async fn start_or_adopt(config: &DaemonConfig) -> Result<Started> {
    let config = config.clone();
    blocking(move || {
        let facts = Facts::of_this_machine()?;
        let text = config::render(&config, &facts, &pause::IMAGE.name);
        let is_as_written = fs::read_to_string(config.file()).is_ok_and(|written| written == text);
        if let Some(running) = processes::containerd(&config.file()) {
            if is_as_written {
                return Ok(Started { process: running, found: Found::now(&config), is_new: false });
            }
            // The pods go on meanwhile.
            running.end(END_WITHIN);
        }
        prepare(&config, &text)?;
        let found = Found::now(&config);
        Ok(Started { process: namespace::start(&config, &facts)?, found, is_new: true })
    })
    .await
}

fn prepare(config: &DaemonConfig, text: &str) -> Result<()> {
    for dir in [&config.root, &config.state, &config.shared, &config.cni_conf, &config.registries] {
        fs::create_dir_all(dir).map_err(system(format!("make {}", dir.display())))?;
    }
    let file = config.file();
    fs::write(&file, text).map_err(system(format!("write {}", file.display())))?;
    mounts::share(&config.shared)
}

/// Runs what waits for the system beside the tasks of this process.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(system("manage containerd")(io::Error::other(error))),
    }
}

fn last_words(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let last: Vec<&str> = text.lines().rev().take(8).collect();
    last.into_iter().rev().collect::<Vec<_>>().join("\n")
}
