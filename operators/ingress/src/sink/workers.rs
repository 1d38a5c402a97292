//! Threads that connections are served on, one for each core.
//!
//! Each has a runtime of its own. A connection stays on the thread that it came to, with its requests and with the
//! connections to backends that they use: nothing is woken across threads, nothing is shared but the table, and what else
//! goes on in the process holds no request up. They are started with the first port and end with the server.

use parking_lot::Mutex;
use std::{
    io,
    num::NonZero,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

static COUNT: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// How many there are, or will be.
pub(super) fn count() -> usize {
    *COUNT
}

/// All threads of a server.
#[derive(Debug, Default)]
pub(super) struct Workers(Mutex<Option<Arc<[Worker]>>>);

/// One of them. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Worker {
    handle: Handle,
    connections: Arc<AtomicUsize>,
    _end: DropGuard,
}

/// A connection's place on a thread.
#[derive(Debug)]
pub(super) struct Place {
    worker: usize,
    connections: Arc<AtomicUsize>,
}

impl Place {
    /// Which thread, below [`count`].
    pub(super) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Workers {
    /// All of them, started if they are not.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(super) fn started(&self) -> io::Result<Arc<[Worker]>> {
        let mut started = self.0.lock();
        if let Some(workers) = &*started {
            return Ok(workers.clone());
        }
        let workers: Arc<[Worker]> = (0..count()).map(Worker::start).collect::<io::Result<_>>()?;
        *started = Some(workers.clone());
        Ok(workers)
    }
}

impl Worker {
    fn start(number: usize) -> io::Result<Self> {
        let (end, (give, take)) = (CancellationToken::new(), mpsc::channel::<Runtime>());
        let ended = end.clone().cancelled_owned();
        // The thread first: a runtime that no thread takes could not be dropped here, in another one.
        thread::Builder::new().name(format!("ingress-{number}")).spawn(move || {
            if let Ok(runtime) = take.recv() {
                runtime.block_on(ended);
            }
        })?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        give.send(runtime).expect("the thread waits for it");
        Ok(Self { handle, connections: Arc::default(), _end: end.drop_guard() })
    }
}

/// A place on the thread that has the fewest connections, and the runtime there.
pub(super) fn place(workers: &[Worker]) -> Option<(Place, &Handle)> {
    let connections = |(_, worker): &(usize, &Worker)| worker.connections.load(Ordering::Relaxed);
    let (number, worker) = workers.iter().enumerate().min_by_key(connections)?;
    worker.connections.fetch_add(1, Ordering::Relaxed);
    Some((Place { worker: number, connections: worker.connections.clone() }, &worker.handle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_spread_and_leave_room() {
        let workers: Vec<Worker> = (0..3).map(|number| Worker::start(number).unwrap()).collect();
        let mut places: Vec<Place> = (0..6).map(|_| place(&workers).unwrap().0).collect();
        let taken = |places: &[Place]| places.iter().map(Place::worker).collect::<Vec<_>>();
        assert_eq!(taken(&places), [0, 1, 2, 0, 1, 2]);
        places.remove(1);
        assert_eq!(place(&workers).unwrap().0.worker(), 1);
    }
}
