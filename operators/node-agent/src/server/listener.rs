//! Accepts connections and serves each.

use super::{PodLookup, State, authentication::certificate_user};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use proa_meta::User;
use proa_runtime_shim::Runtime;
use socket2::{SockRef, TcpKeepalive};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// How long a client may take to introduce itself.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long an idle connection is kept: longer than clients' own pools.
const IDLE: Duration = Duration::from_secs(180);
/// How often a silent client is asked whether it is still there: streams may be silent for hours.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long to wait when no connection can be accepted, which is when there are too many.
const PAUSE: Duration = Duration::from_millis(200);

/// Accepts connections until shutdown.
pub(super) async fn accept<R: Runtime, P: PodLookup>(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    state: Arc<State<R, P>>,
) {
    let acceptor = TlsAcceptor::from(tls);
    loop {
        let accepted = tokio::select! {
            () = state.shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(stream, acceptor.clone(), state.clone());
                let stopped = state.shutdown.clone().cancelled_owned();
                state.tasks.spawn(async move {
                    tokio::select! { () = connection => {} () = stopped => {} }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn serve<R: Runtime, P: PodLookup>(stream: TcpStream, acceptor: TlsAcceptor, state: Arc<State<R, P>>) {
    // Without it a keystroke waits for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&keep_alive);
    let stream = match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => return,
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let holder = chain.first().and_then(|certificate| certificate_user(certificate));
    let service = service_fn(move |request: Request<Incoming>| {
        let (state, holder): (_, Option<User>) = (state.clone(), holder.clone());
        async move { Ok::<_, Infallible>(state.answer(request, holder).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}
