//! Where audit events go: one thread writes lines to a file that it rotates, or to standard output.
//!
//! Invariants: events wait in a bounded queue, and a request waits with them when it is full, so memory is bounded and
//! the log has what was answered. Events of requests whose client has left wait beside it, as many again; more of these,
//! and what the disk refuses, are told in the server's log and lost. A thread, because writing to a disk blocks. Upstream: apiserver `plugin/pkg/audit/log/backend.go`, and lumberjack for the files' names.

use flate2::{Compression, write::GzEncoder};
use jiff::{SignedDuration, Timestamp, Zoned, civil::DateTime, tz::TimeZone};
use parking_lot::Mutex;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};
use tokio::sync::{Semaphore, mpsc};

/// Events that may wait for the disk.
const QUEUE: usize = 10_000;
const TIME: &str = "%Y-%m-%dT%H-%M-%S.%3f";

/// Where the log is and when its files are rotated and removed.
#[derive(Clone, Debug)]
pub struct LogFile {
    /// The file; `-` is standard output.
    pub path: PathBuf,
    /// Size in bytes above which a new file is begun; 0: never.
    pub max_size: u64,
    /// Rotated files that are kept; 0: all.
    pub max_backups: usize,
    /// Days that they are kept; 0: for ever.
    pub max_age: u32,
    /// Rotated files are compressed.
    pub compress: bool,
}

enum Message {
    Event(Vec<u8>),
    End,
}

/// The queue before the writer.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// For those who wait beside the queue.
    late: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Opens the log and starts the thread.
    pub(super) fn start(log: LogFile) -> io::Result<Self> {
        let mut out = Out::open(log)?;
        let (queue, mut waiting) = mpsc::channel(QUEUE);
        let thread = thread::Builder::new().name("audit".to_owned()).spawn(move || {
            let mut told = Ok(());
            while let Some(Message::Event(line)) = waiting.blocking_recv() {
                let mut done = out.write(&line);
                if waiting.is_empty() {
                    done = done.and(out.flush());
                }
                if let (Ok(()), Err(error)) = (&told, &done) {
                    tracing::error!(%error, "audit events are lost: the log cannot be written");
                }
                told = done;
            }
            if let Err(error) = out.end() {
                tracing::error!(%error, "the end of the audit log is lost");
            }
        })?;
        Ok(Self { queue, late: Arc::new(Semaphore::new(QUEUE)), thread: Mutex::new(Some(thread)) })
    }
    /// Gives a line to the writer, once there is room for it.
    pub(super) async fn write(&self, line: Vec<u8>) {
        // Only after the end nobody takes it.
        let _ = self.queue.send(Message::Event(line)).await;
    }
    /// The same for those who cannot wait: somebody else does, on the runtime.
    pub(super) fn write_later(&self, line: Vec<u8>, runtime: &tokio::runtime::Handle) {
        if let Err(mpsc::error::TrySendError::Full(message)) = self.queue.try_send(Message::Event(line)) {
            let Ok(place) = self.late.clone().try_acquire_owned() else {
                tracing::error!("an audit event is lost: too many wait for the disk");
                return;
            };
            let queue = self.queue.clone();
            runtime.spawn(async move {
                let _ = queue.send(message).await;
                drop(place);
            });
        }
    }
    /// Returns when all that was given before is written.
    pub(super) async fn end(&self) {
        let _ = self.queue.send(Message::End).await;
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

enum Out {
    Stdout(io::Stdout),
    File(Rotating),
}

impl Out {
    fn open(log: LogFile) -> io::Result<Self> {
        if log.path == Path::new("-") {
            Ok(Self::Stdout(io::stdout()))
        } else {
            Rotating::open(log).map(Self::File)
        }
    }
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.write_all(line),
            Self::File(file) => file.write(line, Timestamp::now()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(file) => file.file.flush(),
        }
    }
    fn end(mut self) -> io::Result<()> {
        self.flush()?;
        if let Self::File(Rotating { tidying: Some(tidying), .. }) = self {
            let _ = tidying.join();
        }
        Ok(())
    }
}

struct Rotating {
    log: LogFile,
    file: BufWriter<File>,
    size: u64,
    /// Looks after rotated files: compressing takes seconds, and events must not wait for it.
    tidying: Option<JoinHandle<()>>,
}

impl Rotating {
    fn open(log: LogFile) -> io::Result<Self> {
        if let Some(parent) = log.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let file = append(&log.path)?;
        let size = file.metadata()?.len();
        Ok(Self { log, file: BufWriter::new(file), size, tidying: None })
    }

    fn write(&mut self, line: &[u8], now: Timestamp) -> io::Result<()> {
        let length = line.len() as u64;
        if self.log.max_size > 0 && self.size > 0 && self.size + length > self.log.max_size {
            self.rotate(now)?;
        }
        self.file.write_all(line)?;
        self.size += length;
        Ok(())
    }

    fn rotate(&mut self, mut now: Timestamp) -> io::Result<()> {
        self.file.flush()?;
        let mut backup = self.backup(now);
        while backup.exists() {
            now += SignedDuration::from_millis(1);
            backup = self.backup(now);
        }
        match fs::rename(&self.log.path, backup) {
            // Somebody moved it away; a new one is begun all the same.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file = BufWriter::new(append(&self.log.path)?);
        self.size = 0;
        let (log, before) = (self.log.clone(), self.tidying.take());
        let tidying = thread::Builder::new().name("audit-rotate".to_owned()).spawn(move || {
            if let Some(before) = before {
                let _ = before.join();
            }
            if let Err(error) = tidy_up(&log, now) {
                tracing::error!(%error, "old audit logs cannot be looked after");
            }
        })?;
        self.tidying = Some(tidying);
        Ok(())
    }

    fn backup(&self, at: Timestamp) -> PathBuf {
        let (stem, ending) = parts(&self.log.path);
        self.log
            .path
            .with_file_name(format!("{stem}-{}{ending}", Zoned::new(at, TimeZone::UTC).strftime(TIME)))
    }
}

fn append(path: &Path) -> io::Result<File> {
    // Events hold what only administrators may read.
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// `audit` and `.log`.
fn parts(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let ending = text(path.extension());
    (text(path.file_stem()), if ending.is_empty() { ending } else { format!(".{ending}") })
}

/// Removes rotated files that are too many or too old, compresses the others.
fn tidy_up(log: &LogFile, now: Timestamp) -> io::Result<()> {
    let folder = log.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names =
        fs::read_dir(folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let (keep, drop) = sort_out(names, log, now);
    for name in drop {
        fs::remove_file(folder.join(name))?;
    }
    for name in keep.iter().filter(|name| log.compress && !name.ends_with(".gz")) {
        let (from, to) = (folder.join(name), folder.join(format!("{name}.gz")));
        let part = folder.join(format!("{name}.part"));
        // One that a crash left behind is begun anew.
        let begun = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part)?;
        let mut packed = GzEncoder::new(begun, Compression::default());
        io::copy(&mut File::open(&from)?, &mut packed)?;
        packed.finish()?;
        fs::rename(part, to)?;
        fs::remove_file(from)?;
    }
    Ok(())
}

/// Rotated files among the names, the newest first: those that stay and those that go. Pure.
fn sort_out(names: Vec<String>, log: &LogFile, now: Timestamp) -> (Vec<String>, Vec<String>) {
    let (stem, ending) = parts(&log.path);
    let made = |name: &str| {
        let name = name.strip_suffix(".gz").unwrap_or(name);
        let time = name.strip_prefix(&stem)?.strip_prefix('-')?.strip_suffix(&ending)?;
        DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp())
    };
    let mut known: Vec<_> = names.into_iter().filter_map(|name| Some((made(&name)?, name))).collect();
    known.sort_unstable();
    known.reverse();
    let oldest = now - SignedDuration::from_hours(24 * i64::from(log.max_age));
    let (mut keep, mut drop) = (Vec::new(), Vec::new());
    for (at, name) in known {
        let fits = log.max_backups == 0 || keep.len() < log.max_backups;
        let is_young = log.max_age == 0 || at >= oldest;
        if fits && is_young { keep.push(name) } else { drop.push(name) }
    }
    (keep, drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn log(path: PathBuf) -> LogFile {
        LogFile { path, max_size: 10, max_backups: 2, max_age: 1, compress: true }
    }

    #[test]
    fn old_and_surplus_files_go_and_others_are_left_alone() {
        let names = [
            "audit.log",
            "audit-2026-01-03T00-00-00.000.log",
            "audit-2026-01-02T23-00-00.000.log.gz",
            "audit-2026-01-02T22-00-00.000.log",
            "audit-2026-01-01T00-00-00.000.log",
            "audit-notes.log",
            "other-2026-01-01T00-00-00.000.log",
        ];
        let names: Vec<String> = names.map(str::to_owned).to_vec();
        let now = "2026-01-03T01:00:00Z".parse().unwrap();
        let (keep, drop) = sort_out(names.clone(), &log("/x/audit.log".into()), now);
        assert_eq!(keep, [&*names[1], &names[2]]);
        assert_eq!(drop, [&*names[3], &names[4]]);
        let endless = LogFile { max_backups: 0, max_age: 0, ..log("audit.log".into()) };
        assert_eq!(sort_out(names, &endless, now).0.len(), 4);
    }

    #[test]
    fn a_full_file_is_rotated_and_compressed() {
        let folder = std::env::temp_dir().join(format!("proa-audit-{}", std::process::id()));
        let at: Timestamp = "2026-01-03T01:00:00.5Z".parse().unwrap();
        let mut file = Rotating::open(log(folder.join("a").join("audit.log"))).unwrap();
        for line in ["12345\n", "123\n", "new\n"] {
            file.write(line.as_bytes(), at).unwrap();
        }
        file.file.flush().unwrap();
        file.tidying.take().unwrap().join().unwrap();
        assert_eq!(fs::read_to_string(&file.log.path).unwrap(), "new\n");
        let packed = folder.join("a").join("audit-2026-01-03T01-00-00.500.log.gz");
        let mut text = String::new();
        flate2::read::GzDecoder::new(File::open(packed).unwrap()).read_to_string(&mut text).unwrap();
        assert_eq!(text, "12345\n123\n");
        fs::remove_dir_all(folder).unwrap();
    }
}
