//! The writer thread: drain, judge, persist with one sync, publish, answer winners, then losers.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::retention::Retention;
use super::round::Round;
use super::{Options, Shared};
use crate::{Change, CommitError, Engine, EngineError, Published, Revision, Write};

type Reply = oneshot::Sender<Result<Revision, CommitError>>;

/// What callers send to the writer.
pub(super) enum Request {
    Commit { write: Write, reply: Reply },
    Compact { up_to: Revision, reply: Reply },
    Backup { to: PathBuf, reply: Reply },
    Close { reply: oneshot::Sender<Result<(), CommitError>> },
}

/// The writer thread's state.
pub(super) struct Writer<E> {
    engine: E,
    published: Arc<dyn Published>,
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Request>,
    options: Options,
    retention: Retention,
    opened: Instant,
    /// The last revision that was published.
    revision: Revision,
    /// The last revision that was given out: later than `revision` only after a failed batch.
    assigned: Revision,
    compacted: Revision,
    /// The engine failed and did not recover yet.
    sealed: bool,
}

impl<E: Engine> Writer<E> {
    pub(super) fn new(
        engine: E,
        published: Arc<dyn Published>,
        shared: Arc<Shared>,
        queue: mpsc::Receiver<Request>,
        options: Options,
    ) -> Self {
        let revision = Revision(shared.revision.load(Ordering::Relaxed));
        let compacted = Revision(shared.compacted.load(Ordering::Relaxed));
        let mut retention = Retention::new(options.keep_age, options.keep_bytes);
        // What was loaded counts as written now, so that it goes in its turn.
        retention.wrote(revision, 0, std::time::Duration::ZERO);
        Writer {
            engine,
            published,
            shared,
            queue,
            options,
            retention,
            opened: Instant::now(),
            revision,
            assigned: revision,
            compacted,
            sealed: false,
        }
    }

    /// Serves requests until the store is closed or dropped.
    pub(super) fn run(mut self) {
        let mut waiting = None;
        let mut closing = Vec::new();
        while let Some(request) = waiting.take().or_else(|| self.queue.blocking_recv()) {
            match request {
                Request::Commit { write, reply } => waiting = self.commit(write, reply),
                Request::Compact { up_to, reply } => answer(reply, self.compact(up_to)),
                Request::Backup { to, reply } => self.backup(&to, reply),
                Request::Close { reply } => {
                    // What is still in the queue is done; nothing more comes in.
                    self.queue.close();
                    closing.push(reply);
                }
            }
        }
        if let Err(error) = self.engine.close() {
            warn!(%error, "closing the store");
        }
        drop(self.engine);
        closing.into_iter().for_each(|reply| drop(reply.send(Ok(()))));
    }

    /// Commits a write with those that wait behind it. Returns the request that ended the batch, if one did.
    fn commit(&mut self, write: Write, reply: Reply) -> Option<Request> {
        let usable = self.unseal();
        let published = Arc::clone(&self.published);
        let mut round = Round::new(&*published, self.revision, self.assigned);
        let (mut won, mut lost) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut next = Some((write, reply));
        let mut other = None;
        while let Some((write, reply)) = next.take() {
            bytes += write.size();
            match round.admit(write) {
                Ok(revision) => won.push((reply, revision)),
                Err(error) => lost.push((reply, error)),
            }
            if won.len() + lost.len() < self.options.batch_writes && bytes < self.options.batch_bytes {
                match self.queue.try_recv() {
                    Ok(Request::Commit { write, reply }) => next = Some((write, reply)),
                    Ok(request) => other = Some(request),
                    Err(_) => {}
                }
            }
        }
        let Round { last, changes, .. } = round;
        let persisted = usable.and_then(|()| self.persist(last, &changes));
        match persisted {
            Ok(()) => self.succeed(&changes, bytes as u64, won, lost),
            Err(error) => self.fail(&error, won, lost),
        }
        other
    }

    fn persist(&mut self, last: Revision, changes: &[Change]) -> Result<(), EngineError> {
        if changes.is_empty() {
            return Ok(());
        }
        self.assigned = last;
        self.engine.append(changes).map_err(|error| self.seal(error))
    }

    /// Recovers from an earlier failure.
    fn unseal(&mut self) -> Result<(), EngineError> {
        if self.sealed {
            let next = self.assigned.next();
            self.engine.recover(next).map_err(definite)?;
            self.sealed = false;
            info!(revision = %self.revision, "the store writes again");
        }
        Ok(())
    }

    /// Stops writing after a failure and tries to undo it at once: when that works, nothing is unknown.
    fn seal(&mut self, error: EngineError) -> EngineError {
        self.sealed = true;
        error!(%error, revision = %self.revision, "the store cannot write");
        match self.engine.recover(self.assigned.next()) {
            Ok(()) => {
                self.sealed = false;
                definite(error)
            }
            Err(_) => error,
        }
    }

    fn succeed(
        &mut self,
        changes: &[Change],
        bytes: u64,
        won: Vec<(Reply, Revision)>,
        lost: Vec<(Reply, CommitError)>,
    ) {
        let shared = Arc::clone(&self.shared);
        if !changes.is_empty() {
            self.published.publish(self.assigned, changes);
            self.revision = self.assigned;
            shared.revision.store(self.revision.0, Ordering::Release);
            shared.batches.fetch_add(1, Ordering::Relaxed);
        }
        shared.writes.fetch_add(won.len() as u64, Ordering::Relaxed);
        shared.conflicts.fetch_add(lost.len() as u64, Ordering::Relaxed);
        won.into_iter().for_each(|(reply, revision)| answer(reply, Ok(revision)));
        lost.into_iter().for_each(|(reply, error)| answer(reply, Err(error)));
        if let Some(due) = self.retention.wrote(self.revision, bytes, self.opened.elapsed())
            && let Err(error) = self.forget(due)
        {
            warn!(%error, "compaction");
        }
    }

    /// Answers a batch that was not persisted. Losers may have lost to it, so they are not told of a conflict.
    fn fail(&mut self, error: &EngineError, won: Vec<(Reply, Revision)>, lost: Vec<(Reply, CommitError)>) {
        self.shared.failures.fetch_add(1, Ordering::Relaxed);
        won.into_iter().for_each(|(reply, _)| answer(reply, Err(error.clone().into())));
        let refused = definite(error.clone());
        lost.into_iter().for_each(|(reply, _)| answer(reply, Err(refused.clone().into())));
    }

    fn compact(&mut self, up_to: Revision) -> Result<Revision, CommitError> {
        self.forget(up_to)?;
        self.engine.shrink().map_err(|error| self.seal(error))?;
        Ok(self.compacted)
    }

    /// Moves the compacted revision.
    fn forget(&mut self, up_to: Revision) -> Result<(), EngineError> {
        let up_to = up_to.min(self.revision);
        if up_to > self.compacted {
            self.unseal()?;
            self.engine.compact(up_to).map_err(|error| self.seal(error))?;
            self.compacted = up_to;
            self.shared.compacted.store(up_to.0, Ordering::Release);
        }
        Ok(())
    }

    fn backup(&mut self, to: &Path, reply: Reply) {
        let prepared = self.unseal().and_then(|()| self.engine.backup(to).map_err(|error| self.seal(error)));
        let copy = match prepared {
            Ok(copy) => copy,
            Err(error) => return answer(reply, Err(error.into())),
        };
        let thread = std::thread::Builder::new().name("store-backup".into());
        let spawned = thread.spawn(move || answer(reply, copy().map_err(Into::into)));
        if let Err(error) = spawned {
            // The caller is told by its reply being dropped.
            warn!(%error, "cannot start a backup");
        }
    }
}

/// The caller may be gone; that does not undo the write.
fn answer(reply: Reply, result: Result<Revision, CommitError>) {
    drop(reply.send(result));
}

/// The same failure of a batch that is known not to be applied.
fn definite(error: EngineError) -> EngineError {
    match error {
        EngineError::Unknown(text) => EngineError::Io(text),
        known => known,
    }
}

impl From<EngineError> for CommitError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Full(text) => CommitError::Full(text),
            EngineError::Io(text) => CommitError::Io(text),
            EngineError::Unknown(text) => CommitError::Unknown(text),
        }
    }
}
