//! The embedded store: one writer thread in front of an engine.
//!
//! Invariants: only the writer thread numbers, persists and publishes; a caller is answered after publication; a
//! write refused because of another write in its batch is answered after that write is visible.
//! Deliberately absent: reads. They are the published state's.

mod retention;
mod round;
mod writer;

use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use tokio::sync::{mpsc, oneshot};

use crate::engine::{Meter, Stale};
use crate::{CommitError, Engine, Key, OpenError, Published, Revision, Stats, Store, Write};
use writer::{Request, Writer};

/// How an embedded store behaves. The defaults suit every cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// A change is kept in the history at least this long...
    pub keep_age: Duration,
    /// ...unless this many bytes of newer changes exist.
    pub keep_bytes: u64,
    /// The most bytes of keys and values in one write.
    pub max_write_bytes: usize,
    /// The most changes and guards in one write.
    pub max_write_ops: usize,
    /// The most writes that share one sync.
    pub batch_writes: usize,
    /// A batch takes no further write once it has this many bytes.
    pub batch_bytes: usize,
    /// How many writes may wait before callers have to.
    pub queue: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            keep_age: Duration::from_secs(300),
            keep_bytes: 16 << 20,
            max_write_bytes: 4 << 20,
            max_write_ops: 512,
            batch_writes: 256,
            batch_bytes: 1 << 20,
            queue: 1024,
        }
    }
}

/// What the writer thread tells everyone else.
#[derive(Default)]
struct Shared {
    revision: AtomicU64,
    compacted: AtomicU64,
    batches: AtomicU64,
    writes: AtomicU64,
    conflicts: AtomicU64,
    failures: AtomicU64,
}

/// A store in this process.
pub struct Local<E: Engine> {
    requests: mpsc::Sender<Request>,
    shared: Arc<Shared>,
    meter: Meter,
    stale: Stale,
    max_write_bytes: usize,
    max_write_ops: usize,
    engine: PhantomData<fn() -> E>,
}

impl<E: Engine> Local<E> {
    /// Loads everything into `published` and starts the writer thread. Blocks while it reads.
    ///
    /// The thread ends with [`Store::close`], or when the store is dropped and what was accepted is done. It holds
    /// `published`: one that holds the store in turn needs the close.
    pub fn open(
        mut engine: E,
        published: Arc<dyn Published>,
        options: Options,
    ) -> Result<Arc<Self>, OpenError> {
        let loaded = engine.load()?;
        let shared = Arc::new(Shared::default());
        shared.revision.store(loaded.revision.0, Ordering::Release);
        shared.compacted.store(loaded.compacted.0, Ordering::Release);
        let (meter, stale) = (engine.meter(), engine.stale());
        let (requests, queue) = mpsc::channel(options.queue.max(1));
        let (max_write_bytes, max_write_ops) = (options.max_write_bytes, options.max_write_ops);
        published.load(loaded);
        let writer = Writer::new(engine, published, Arc::clone(&shared), queue, options);
        std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run()).map_err(
            |source| OpenError::Io { what: "cannot start the store's writer thread".into(), source },
        )?;
        Ok(Arc::new(Local {
            requests,
            shared,
            meter,
            stale,
            max_write_bytes,
            max_write_ops,
            engine: PhantomData,
        }))
    }

    /// What can be said without asking the writer.
    fn check(&self, write: &Write) -> Result<(), CommitError> {
        let size = write.size();
        if size > self.max_write_bytes {
            return Err(CommitError::TooLarge { size, limit: self.max_write_bytes });
        }
        if write.ops.len() + write.guards.len() > self.max_write_ops {
            let limit = self.max_write_ops;
            return Err(CommitError::Invalid(format!("more than {limit} changes and conditions")));
        }
        if write.ops.iter().any(|op| op.key.is_empty()) {
            return Err(CommitError::Invalid("a key is empty".into()));
        }
        match duplicate(write) {
            Some(key) => Err(CommitError::Invalid(format!("{key} is changed twice"))),
            None => Ok(()),
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, CommitError>>) -> Request,
    ) -> BoxFuture<'static, Result<T, CommitError>> {
        let (reply, answer) = oneshot::channel();
        let request = request(reply);
        let requests = self.requests.clone();
        async move {
            requests.send(request).await.map_err(|_| CommitError::Closed)?;
            answer.await.unwrap_or_else(|_| Err(CommitError::Unknown("the writer thread ended".into())))
        }
        .boxed()
    }
}

/// The first key that is changed twice. Writes have a handful of changes, so comparing pairs is cheapest.
fn duplicate(write: &Write) -> Option<&Key> {
    let earlier = |i: usize| &write.ops[..i];
    let mut ops = write.ops.iter().enumerate();
    ops.find(|(i, op)| earlier(*i).iter().any(|other| other.key == op.key)).map(|(_, op)| &op.key)
}

impl<E: Engine> Store for Local<E> {
    fn commit(&self, write: Write) -> BoxFuture<'static, Result<Revision, CommitError>> {
        if let Err(error) = self.check(&write) {
            return ready(Err(error)).boxed();
        }
        self.ask(|reply| Request::Commit { write, reply })
    }

    fn barrier(&self) -> BoxFuture<'static, Result<Revision, CommitError>> {
        // Every acknowledged write passed this process and is published.
        ready(Ok(self.revision())).boxed()
    }

    fn revision(&self) -> Revision {
        Revision(self.shared.revision.load(Ordering::Acquire))
    }

    fn compacted(&self) -> Revision {
        Revision(self.shared.compacted.load(Ordering::Acquire))
    }

    fn compact(&self, up_to: Revision) -> BoxFuture<'static, Result<Revision, CommitError>> {
        self.ask(|reply| Request::Compact { up_to, reply })
    }

    fn backup(&self, to: PathBuf) -> BoxFuture<'static, Result<Revision, CommitError>> {
        self.ask(|reply| Request::Backup { to, reply })
    }

    fn is_stale(&self, key: &str) -> bool {
        (self.stale)(key)
    }

    fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            file_bytes: (self.meter)(),
            batches: read(&self.shared.batches),
            writes: read(&self.shared.writes),
            conflicts: read(&self.shared.conflicts),
            failures: read(&self.shared.failures),
        }
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        let closed = self.ask(|reply| Request::Close { reply });
        closed.map(|_| ()).boxed()
    }
}
