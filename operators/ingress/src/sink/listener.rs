//! The ports: taken when there is something to serve, given back when there is not.
//!
//! Invariants: a port that another process has is asked for again, and what is served on the other port goes on. Ending
//! takes no new connections and lets those that are there finish within [`DRAIN`].

use super::{
    headers::Arrival,
    proxy::Proxy,
    tunnel::Bounds,
    workers::{self, Worker, Workers},
};
use futures::FutureExt;
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use proa_kit::backoff;
use rustls::ServerConfig;
use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// Connections at once, by port.
const MOST_CONNECTIONS: usize = 16_384;
/// How long the head of a request may take, and how long a connection may have none.
const HEAD: Duration = Duration::from_secs(60);
/// How long TLS may take to begin.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// How long a client may take no byte of an answer.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);
/// How long connections may go on when their port is given back.
pub(super) const DRAIN: Duration = Duration::from_secs(30);
/// How long a tunnel may go on of which one side has ended.
pub(super) const LINGER: Duration = Duration::from_secs(30);
/// How long when the process ends.
const LAST_DRAIN: Duration = Duration::from_secs(3);
/// Longest pause between attempts to have a port.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Largest head of a request.
const HEAD_SIZE: usize = 32 << 10;
const MOST_STREAMS: u32 = 128;
const WAITING: u32 = 1024;

/// What became of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PortState {
    /// Not asked for, or not yet had.
    #[default]
    Closed,
    /// Served.
    Open(SocketAddr),
    /// Cannot be had.
    Failed(Arc<str>),
}

/// One port.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    pub(crate) proxy: Arc<Proxy>,
    pub(crate) workers: Arc<Workers>,
    /// Only of the port for HTTPS.
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// Whether it is to be served.
    pub(crate) wanted: watch::Receiver<bool>,
    pub(crate) state: watch::Sender<PortState>,
    pub(crate) shutdown: CancellationToken,
}

impl Port {
    /// Serves the port whenever it is wanted, until shutdown.
    pub(crate) async fn keep(mut self) {
        let shutdown = self.shutdown.clone();
        let mut failures = 0;
        while self.becomes_wanted().await {
            let opened = bind(self.address).and_then(|listener| Ok((listener, self.workers.started()?)));
            match opened {
                Ok((listener, workers)) => {
                    failures = 0;
                    self.serve(listener, &workers).await;
                    self.state.send_replace(PortState::Closed);
                }
                Err(error) => {
                    failures += 1;
                    self.fails(&error);
                    tokio::select! {
                        () = tokio::time::sleep(backoff::delay(failures + 6).min(LONGEST_PAUSE)) => {}
                        _ = becomes(&mut self.wanted, false) => drop(self.state.send_replace(PortState::Closed)),
                        () = shutdown.cancelled() => {}
                    }
                }
            }
        }
    }
    /// False when there is no more to do.
    async fn becomes_wanted(&mut self) -> bool {
        let shutdown = self.shutdown.clone();
        if shutdown.is_cancelled() {
            return false;
        }
        tokio::select! {
            lives = becomes(&mut self.wanted, true) => lives,
            () = shutdown.cancelled() => false,
        }
    }
    /// Says once that the port cannot be had.
    fn fails(&self, error: &io::Error) {
        let why: Arc<str> = format!("port {} cannot be listened on: {error}", self.address.port()).into();
        let failed = PortState::Failed(why.clone());
        if self.state.send_if_modified(|state| std::mem::replace(state, failed.clone()) != failed) {
            tracing::warn!("ingress: {why}; does another web server have it? It is tried again");
        }
    }
    async fn serve(&mut self, listener: TcpListener, workers: &[Worker]) {
        let Ok(address) = listener.local_addr() else { return };
        tracing::info!(%address, tls = self.tls.is_some(), "ingress: listening");
        self.state.send_replace(PortState::Open(address));
        let closing = CancellationToken::new();
        let mut connections = JoinSet::new();
        let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let permit = room.clone().acquire_owned().await.ok();
                (permit, listener.accept().await)
            };
            tokio::select! {
                (permit, accepted) = accepted => match accepted.and_then(leave_runtime) {
                    Ok((stream, client)) => {
                        let Some((place, runtime)) = workers::place(workers) else { continue };
                        let arrival = Arc::new(Arrival::new(client, self.tls.is_some(), address.port()));
                        let bounds = Arc::new(Bounds { place, _permit: permit, closing: closing.clone() });
                        let connection = Connection { proxy: self.proxy.clone(), arrival, bounds };
                        connections.spawn_on(connection.accept(stream, self.tls.clone()), runtime);
                    }
                    Err(error) => {
                        tracing::warn!(%error, "ingress: accept a connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(_) = connections.join_next() => {}
                _ = becomes(&mut self.wanted, false) => break,
                () = self.shutdown.cancelled() => break,
            }
        }
        drop(listener);
        tracing::info!(%address, "ingress: no longer listening");
        closing.cancel();
        // When the process ends, it waits.
        let patience = if self.shutdown.is_cancelled() { LAST_DRAIN } else { DRAIN };
        let drained = tokio::spawn(async move {
            let ended = async { while connections.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(patience, ended).await;
        });
        if self.shutdown.is_cancelled() {
            let _ = drained.await;
        }
    }
}

/// Waits until the ports are wanted, or are not; false when nobody will tell any more.
async fn becomes(wanted: &mut watch::Receiver<bool>, is: bool) -> bool {
    wanted.wait_for(|wanted| *wanted == is).await.is_ok()
}

/// A connection belongs to the runtime that accepted it; it is served by another.
fn leave_runtime<T>((stream, client): (TcpStream, T)) -> io::Result<(std::net::TcpStream, T)> {
    Ok((stream.into_std()?, client))
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

/// One connection of a client.
struct Connection {
    proxy: Arc<Proxy>,
    arrival: Arc<Arrival>,
    bounds: Arc<Bounds>,
}

impl Connection {
    async fn accept(self, stream: std::net::TcpStream, tls: Option<Arc<ServerConfig>>) {
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!(%error, "ingress: take a connection over"),
        };
        let socket = socket2::SockRef::from(&stream);
        let _ = stream.set_nodelay(true);
        let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
        let keepalive = socket2::TcpKeepalive::new().with_time(UNACKNOWLEDGED);
        let _ = socket.set_tcp_keepalive(&keepalive);
        let Some(tls) = tls else { return self.http1(stream).await };
        match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(b"h2") => self.http2(stream).await,
            Ok(Ok(stream)) => self.http1(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, client = %self.arrival.client, "ingress: TLS"),
            Err(_) => tracing::debug!(client = %self.arrival.client, "ingress: TLS took too long"),
        }
    }
    async fn http1<S>(self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let Self { proxy, arrival, bounds } = self;
        let closing = bounds.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, arrival, bounds) = (proxy.clone(), arrival.clone(), bounds.clone());
            async move { Ok::<_, Infallible>(proxy.serve(request, &arrival, &bounds).await) }
        });
        let mut builder = http1::Builder::new();
        // At most 100 headers, hyper's own bound: room for more would be taken from the heap for every request.
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_SIZE);
        let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
        let mut connection = pin!(connection);
        let closing = closing.closing.cancelled();
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = closing => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended_with(ended);
    }
    async fn http2<S>(self, stream: S)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let Self { proxy, arrival, bounds } = self;
        let closing = bounds.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, arrival, bounds) = (proxy.clone(), arrival.clone(), bounds.clone());
            async move { Ok::<_, Infallible>(proxy.serve(request, &arrival, &bounds).await) }.boxed()
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        let head = u32::try_from(HEAD_SIZE).unwrap_or(u32::MAX);
        builder.timer(TokioTimer::new()).max_concurrent_streams(MOST_STREAMS).max_header_list_size(head);
        builder.keep_alive_interval(HEAD).keep_alive_timeout(HEAD);
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = closing.closing.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        ended_with(ended);
    }
}

fn ended_with(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "ingress: connection of a client");
    }
}
