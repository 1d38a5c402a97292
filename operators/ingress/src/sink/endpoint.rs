//! One address of a backend: its connections, and how many requests it has.
//!
//! Invariants: a connection is used on the thread that it was made on. One of HTTP/1.1 is used by one request at a time and
//! kept when the answer came to its end, at most [`MOST_IDLE`] of them for [`IDLE`]; of HTTP/2 there is one for all of
//! a thread. An endpoint that is replaced by routes of now keeps its connections when it has the same address.

use super::{body::Upload, workers};
use crate::render::options::Protocol;
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};

/// Connections that are kept for later requests, by endpoint, protocol and thread.
const MOST_IDLE: usize = 64;
/// How long one may take to be ready after an answer.
const SETTLES: Duration = Duration::from_millis(100);
/// How long they are kept.
const IDLE: Duration = Duration::from_secs(60);

/// An address of a backend.
#[derive(Debug)]
pub(crate) struct Endpoint {
    /// The address.
    pub(crate) address: SocketAddr,
    /// Requests that it works on.
    active: AtomicUsize,
    /// Without and with TLS; from the first connection.
    pools: [OnceLock<Pools>; 2],
}

/// By thread.
type Pools = Box<[Pool]>;

/// Connections of one thread, which alone uses them: its lock is always free, and no other thread's is beside it.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Pool(Mutex<Connections>);

/// Connections of one sort.
#[derive(Debug, Default)]
struct Connections {
    /// For all requests, of HTTP/2.
    shared: Option<http2::SendRequest<Upload>>,
    /// That nobody uses now, of HTTP/1.1.
    kept: Vec<Idle>,
    /// Whether a task ends those that are too old.
    is_swept: bool,
}

impl Connections {
    /// The youngest, which is the least likely to be closed by the other side; rather one that is ready. Of the others
    /// only those are looked at that come before it: the sweep ends what is too old.
    fn take(&mut self) -> Option<http1::SendRequest<Upload>> {
        let now = Instant::now();
        while self.kept.pop_if(|idle| !idle.is_usable(now)).is_some() {}
        let ready = self.kept.iter().rposition(|idle| idle.sender.is_ready() && idle.is_usable(now));
        let at = ready.or_else(|| self.kept.len().checked_sub(1))?;
        Some(self.kept.remove(at).sender)
    }
}

#[derive(Debug)]
struct Idle {
    sender: http1::SendRequest<Upload>,
    since: Instant,
}

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        !self.sender.is_closed() && now.duration_since(self.since) < IDLE
    }
}

/// Sends one request.
#[derive(Debug)]
pub(crate) enum Sender {
    /// HTTP/1.1.
    One(http1::SendRequest<Upload>),
    /// HTTP/2.
    Many(http2::SendRequest<Upload>),
}

/// A connection to an endpoint, with the request that it is for.
#[derive(Debug)]
pub(crate) struct Held {
    lease: Lease,
    worker: usize,
    protocol: Protocol,
    sender: Sender,
    /// Whether it served earlier requests.
    pub(crate) is_used: bool,
}

/// One request that an endpoint works on.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Endpoint>);

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Endpoint {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, active: AtomicUsize::new(0), pools: Default::default() }
    }
    fn pool(&self, worker: usize, protocol: Protocol) -> &Mutex<Connections> {
        let pools = self.pools[usize::from(protocol.is_tls())].get_or_init(empty);
        &pools[worker].0
    }
    /// Requests that it works on.
    pub(crate) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }
    /// A connection: one that is kept unless `fresh`, or a new one.
    ///
    /// # Errors
    /// It cannot be reached, or not in time.
    pub(crate) async fn hold(
        self: &Arc<Self>,
        worker: usize,
        protocol: Protocol,
        patience: Duration,
        fresh: bool,
    ) -> io::Result<Held> {
        self.active.fetch_add(1, Ordering::Relaxed);
        let lease = Lease(self.clone());
        if !fresh && let Some(sender) = self.kept(worker, protocol).await {
            return Ok(Held { lease, worker, protocol, sender, is_used: true });
        }
        let connecting = connect(self.address, protocol);
        let sender =
            tokio::time::timeout(patience, connecting).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if let Sender::Many(sender) = &sender {
            self.pool(worker, protocol).lock().shared = Some(sender.clone());
        }
        Ok(Held { lease, worker, protocol, sender, is_used: false })
    }
    async fn kept(&self, worker: usize, protocol: Protocol) -> Option<Sender> {
        let pool = self.pool(worker, protocol);
        if protocol.is_h2() {
            let shared = &mut pool.lock().shared;
            *shared = shared.take().filter(|sender| !sender.is_closed());
            return shared.clone().map(Sender::Many);
        }
        let mut sender = pool.lock().take()?;
        // Right after an answer the connection may need a moment.
        let is_ready =
            sender.is_ready() || matches!(tokio::time::timeout(SETTLES, sender.ready()).await, Ok(Ok(())));
        is_ready.then_some(Sender::One(sender))
    }
    fn keep(self: &Arc<Self>, worker: usize, sender: http1::SendRequest<Upload>, protocol: Protocol) {
        let mut idle = self.pool(worker, protocol).lock();
        if idle.kept.len() >= MOST_IDLE {
            idle.kept.retain(|idle| !idle.sender.is_closed());
        }
        if idle.kept.len() >= MOST_IDLE || sender.is_closed() {
            return;
        }
        idle.kept.push(Idle { sender, since: Instant::now() });
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(self), worker, protocol));
        }
    }
}

fn empty() -> Pools {
    (0..workers::count()).map(|_| Pool::default()).collect()
}

/// Ends connections that nobody used for long, as long as there are any.
async fn sweep(endpoint: Weak<Endpoint>, worker: usize, protocol: Protocol) {
    loop {
        tokio::time::sleep(IDLE).await;
        let Some(endpoint) = endpoint.upgrade() else { return };
        let mut idle = endpoint.pool(worker, protocol).lock();
        let now = Instant::now();
        idle.kept.retain(|idle| idle.is_usable(now));
        if idle.kept.is_empty() {
            idle.is_swept = false;
            return;
        }
    }
}

impl Held {
    /// Sends the request. One that was not sent comes back with the error.
    pub(crate) async fn send(
        &mut self,
        request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        match &mut self.sender {
            Sender::One(sender) => sender.try_send_request(request).await,
            Sender::Many(sender) => sender.try_send_request(request).await,
        }
    }
    /// The answer came to its end: the connection may serve another request.
    pub(crate) fn keep(self) {
        let Self { lease, worker, protocol, sender, .. } = self;
        if let Sender::One(sender) = sender {
            lease.0.keep(worker, sender, protocol);
        }
    }
    /// Only the count of the request: its connection no longer speaks HTTP.
    pub(crate) fn into_lease(self) -> Lease {
        self.lease
    }
    /// The endpoint.
    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.lease.0
    }
}

async fn connect(address: SocketAddr, protocol: Protocol) -> io::Result<Sender> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    if protocol.is_tls() {
        let stream = super::tls::to_backend(stream, address.ip(), protocol.is_h2()).await?;
        return handshake(stream, protocol).await.map_err(io::Error::other);
    }
    handshake(stream, protocol).await.map_err(io::Error::other)
}

async fn handshake<S>(stream: S, protocol: Protocol) -> Result<Sender, hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = TokioIo::new(stream);
    if protocol.is_h2() {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).keep_alive_interval(IDLE).keep_alive_while_idle(true);
        let (sender, connection) = builder.handshake(stream).await?;
        tokio::spawn(async move { ended(connection.await) });
        return Ok(Sender::Many(sender));
    }
    let (sender, connection) = http1::handshake(stream).await?;
    tokio::spawn(async move { ended(connection.with_upgrades().await) });
    Ok(Sender::One(sender))
}

fn ended(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection to a backend");
    }
}
