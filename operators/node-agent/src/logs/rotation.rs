//! Keeps logs of running containers from growing without end.
//!
//! A log that reaches its limit is renamed and the runtime opens a new one; the renamed ones are compressed one rotation
//! later, as upstream, because readers may still be in the newest. A log is looked at only after something was written
//! to it, and at most once in [`Limits::interval`]: one watch for each log, which the kernel drops when it fires.

use flate2::{Compression, write::GzEncoder};
use futures::StreamExt;
use inotify::{EventMask, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use jiff::Timestamp;
use proa_runtime_shim::{ContainerState, Error, Event, Runtime};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long to wait before the runtime is asked again after it did not answer.
const RETRY: Duration = Duration::from_secs(1);
const COMPRESSED: &str = ".gz";
const UNFINISHED: &str = ".tmp";

/// When logs are rotated and how many are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// `containerLogMaxSize`: bytes.
    pub(crate) size: u64,
    /// `containerLogMaxFiles`: the present file included.
    pub(crate) files: usize,
    /// `containerLogMonitorInterval`: a log that is being written to is looked at this often.
    pub(crate) interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { size: 10 << 20, files: 5, interval: Duration::from_secs(10) }
    }
}

/// Rotates the logs of all running containers until `shutdown`.
pub(crate) async fn keep_rotated<R: Runtime>(runtime: R, limits: Limits, shutdown: CancellationToken) {
    let work = async {
        loop {
            let mut rotation = match Rotation::new(runtime.clone(), limits) {
                Ok(rotation) => rotation,
                Err(error) => {
                    tracing::error!(%error, "logs are not rotated: inotify is not available");
                    return;
                }
            };
            if let Err(error) = rotation.run().await {
                tracing::warn!(%error, "rotation of logs starts anew");
            }
            sleep(RETRY).await;
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
}

struct Rotation<R> {
    runtime: R,
    limits: Limits,
    watches: Watches,
    writes: EventStream<[u8; 4096]>,
    /// By container.
    logs: HashMap<String, Log>,
}

struct Log {
    path: PathBuf,
    state: Watching,
}

enum Watching {
    /// Nothing was written since it was looked at.
    Idle(WatchDescriptor),
    /// Something was: look again then.
    Due(Instant),
}

impl<R: Runtime> Rotation<R> {
    fn new(runtime: R, limits: Limits) -> io::Result<Self> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        let writes = inotify.into_event_stream([0; 4096])?;
        Ok(Self { runtime, limits, watches, writes, logs: HashMap::new() })
    }

    async fn run(&mut self) -> Result<(), Error> {
        let mut events = self.runtime.events();
        self.find_all().await?;
        let mut is_subscribed = false;
        loop {
            let due = self.next_due();
            tokio::select! {
                event = events.next() => {
                    let Some(event) = event.transpose()? else { return Ok(()) };
                    // What happened between the list and the subscription shows with the first event.
                    if !std::mem::replace(&mut is_subscribed, true) {
                        self.find_all().await?;
                    }
                    self.note(event).await?;
                }
                write = self.writes.next() => match write.transpose() {
                    Ok(Some(write)) if !write.mask.contains(EventMask::IGNORED) => self.written(&write.wd),
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "cannot read what was written to logs"),
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.look().await,
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        self.logs
            .values()
            .filter_map(|log| if let Watching::Due(at) = log.state { Some(at) } else { None })
            .min()
    }

    async fn find_all(&mut self) -> Result<(), Error> {
        for container in self.runtime.containers().await? {
            if container.state == ContainerState::Running {
                self.add(container.id).await?;
            }
        }
        Ok(())
    }

    async fn note(&mut self, event: Event) -> Result<(), Error> {
        match event {
            Event::Started { id } => self.add(id).await?,
            Event::Exited { id } => {
                if let Some(Log { state: Watching::Idle(watch), .. }) = self.logs.remove(&id) {
                    // It may have fired and be gone already.
                    let _ = self.watches.remove(watch);
                }
            }
            Event::OutOfMemory { .. } => {}
        }
        Ok(())
    }

    async fn add(&mut self, id: String) -> Result<(), Error> {
        if self.logs.contains_key(&id) {
            return Ok(());
        }
        let status = match self.runtime.container_status(&id).await {
            // A sandbox, or gone by now.
            Err(Error::NotFound { .. }) => return Ok(()),
            status => status?,
        };
        if status.container.state == ContainerState::Running && !status.log_path.as_os_str().is_empty() {
            // One that was there before may be full already.
            let log = Log { path: status.log_path, state: Watching::Due(Instant::now()) };
            self.logs.insert(id, log);
        }
        Ok(())
    }

    fn written(&mut self, watch: &WatchDescriptor) {
        let due = Instant::now() + self.limits.interval;
        let is_it = |log: &&mut Log| matches!(&log.state, Watching::Idle(w) if w == watch);
        if let Some(log) = self.logs.values_mut().find(is_it) {
            log.state = Watching::Due(due);
        }
    }

    /// Looks at all logs that are due.
    async fn look(&mut self) {
        let now = Instant::now();
        let is_due = |log: &Log| matches!(log.state, Watching::Due(at) if at <= now);
        let due: Vec<_> = self
            .logs
            .iter()
            .filter(|(_, log)| is_due(log))
            .map(|(id, log)| (id.clone(), log.path.clone()))
            .collect();
        for (id, path) in due {
            let seen = size(&path);
            let mut rotated = false;
            if seen > self.limits.size {
                match rotate(&self.runtime, &id, &path, self.limits.files).await {
                    Ok(()) => rotated = true,
                    Err(error) => {
                        tracing::warn!(container = id, log = %path.display(), %error, "cannot rotate a log");
                    }
                }
            }
            let state = self.watch(&path, if rotated { 0 } else { seen });
            if let Some(log) = self.logs.get_mut(&id) {
                log.state = state;
            }
        }
    }

    /// Waits for the next write to a log whose size was `seen`.
    fn watch(&mut self, path: &Path, seen: u64) -> Watching {
        let later = Watching::Due(Instant::now() + self.limits.interval);
        let Ok(watch) = self.watches.add(path, WatchMask::MODIFY | WatchMask::ONESHOT) else { return later };
        if size(path) == seen && seen <= self.limits.size {
            return Watching::Idle(watch);
        }
        // Written to before the watch was there.
        let _ = self.watches.remove(watch);
        later
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.len())
}

/// Rotates one log and makes the runtime open it anew.
async fn rotate<R: Runtime>(runtime: &R, id: &str, log: &Path, keep: usize) -> io::Result<()> {
    let path = log.to_owned();
    let cleaning = tokio::task::spawn_blocking(move || clean(&path, keep));
    cleaning.await.map_err(io::Error::other)??;
    let rotated = suffixed(log, &Timestamp::now().strftime("%Y%m%d-%H%M%S").to_string());
    if rotated.exists() {
        // Two rotations within a second: the other one stays whole, and this one has time.
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", rotated.display())));
    }
    fs::rename(log, &rotated)?;
    if let Err(error) = runtime.reopen_log(id).await {
        // Else the container would go on writing to a file that is about to be compressed.
        fs::rename(&rotated, log)?;
        return Err(io::Error::other(error));
    }
    Ok(())
}

fn suffixed(log: &Path, suffix: &str) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Removes what is too old, compresses what is not yet.
fn clean(log: &Path, keep: usize) -> io::Result<()> {
    let Cleaning { remove, compress } = cleaning(rotated_logs(log)?, keep);
    for path in remove {
        fs::remove_file(path)?;
    }
    compress.iter().try_for_each(|path| compressed(path))
}

fn rotated_logs(log: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(directory), Some(name)) = (log.parent(), log.file_name()) else { return Ok(Vec::new()) };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            logs.push(entry.path());
        }
    }
    Ok(logs)
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Cleaning {
    remove: Vec<PathBuf>,
    compress: Vec<PathBuf>,
}

/// What happens to earlier logs before the present one joins them, when `keep` files are kept in all.
fn cleaning(mut logs: Vec<PathBuf>, keep: usize) -> Cleaning {
    let ends = |path: &Path, end: &str| path.to_string_lossy().ends_with(end);
    // Names hold their time: the oldest is first.
    logs.sort();
    let is_leftover = |path: &PathBuf| {
        let twin = PathBuf::from(format!("{}{COMPRESSED}", path.display()));
        ends(path, UNFINISHED) || (!ends(path, COMPRESSED) && logs.contains(&twin))
    };
    let (mut remove, mut kept): (Vec<_>, Vec<_>) = logs.iter().cloned().partition(is_leftover);
    // Besides the present log and the new one that takes its place.
    let surplus = kept.len().saturating_sub(keep.saturating_sub(2));
    remove.extend(kept.drain(..surplus));
    kept.retain(|path| !ends(path, COMPRESSED));
    Cleaning { remove, compress: kept }
}

fn compressed(path: &Path) -> io::Result<()> {
    let name = path.display();
    let (unfinished, finished) = (format!("{name}{UNFINISHED}"), format!("{name}{COMPRESSED}"));
    let mut from = fs::File::open(path)?;
    let mut to = GzEncoder::new(fs::File::create(&unfinished)?, Compression::default());
    io::copy(&mut from, &mut to)?;
    to.finish()?.sync_all()?;
    fs::rename(unfinished, finished)?;
    fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(names: &[&str]) -> Vec<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    #[test]
    fn the_oldest_goes_and_the_rest_is_compressed() {
        let logs = paths(&["0.log.4", "0.log.1.gz", "0.log.3.gz", "0.log.2.gz"]);
        let expected = Cleaning { remove: paths(&["0.log.1.gz"]), compress: paths(&["0.log.4"]) };
        assert_eq!(cleaning(logs, 5), expected);
    }

    #[test]
    fn leftovers_of_an_interrupted_compression_go() {
        let logs = paths(&["0.log.1", "0.log.1.gz", "0.log.2.tmp", "0.log.2"]);
        let expected = Cleaning { remove: paths(&["0.log.1", "0.log.2.tmp"]), compress: paths(&["0.log.2"]) };
        assert_eq!(cleaning(logs, 5), expected);
    }

    #[test]
    fn two_files_keep_no_others() {
        let expected = Cleaning { remove: paths(&["0.log.1", "0.log.2"]), compress: vec![] };
        assert_eq!(cleaning(paths(&["0.log.2", "0.log.1"]), 2), expected);
    }
}
