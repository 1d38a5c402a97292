//! The edge: a listener with TLS that carries requests to [`proa_server::Api`]. The only crate that names actix.
//!
//! Owns: TLS and client certificates, HTTP/1.1 and HTTP/2, the bound on bodies, the translation between actix's
//! `http` 0.2 and the core's `http` 1, streaming with one flush per piece, connections that leave HTTP, graceful
//! shutdown. Invariants: a request's body is bounded before the core sees it; a connection that breaks drops its
//! streams, which ends their watches. Deliberately absent: any meaning of a request, and what is spoken on a connection
//! that has left HTTP.

mod acceptor;
mod connection;
mod exchange;
mod tls;
mod upgrade;

pub use tls::{Identity, TlsError, certificates_from_pem};

use proa_server::Api;
use rustls::pki_types::CertificateDer;
use std::{io, net::SocketAddr, sync::mpsc, thread, time::Duration};
use tokio::sync::watch;

/// How long open requests may go on after [`Running::stop`].
const GRACE: Duration = Duration::from_secs(15);
/// How long an idle connection is kept: longer than clients' own pools.
const KEEP_ALIVE: Duration = Duration::from_secs(180);

/// What a listener is made of.
pub struct EdgeConfig {
    /// Where to listen; port 0 picks one.
    pub address: SocketAddr,
    /// The serving certificate.
    pub tls: Identity,
    /// Who signs client certificates; empty: none are accepted.
    pub client_ca: Vec<CertificateDer<'static>>,
    /// Who signs the certificates of front proxies; empty: there are none.
    pub front_proxy_ca: Vec<CertificateDer<'static>>,
    /// Where requests go.
    pub api: Api,
    /// Worker threads.
    pub workers: usize,
}

/// Why a listener does not start.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The thread ended before it listened.
    #[error("the listener's thread ended before it was ready")]
    Thread,
}

/// A listener at work.
pub struct Running {
    addr: SocketAddr,
    api: Api,
    server: actix_server::ServerHandle,
    stopping: watch::Sender<bool>,
    thread: thread::JoinHandle<()>,
}

impl Running {
    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
    /// Reports not ready, ends watches and tunnels, lets requests finish, closes. Blocks until the thread has ended.
    pub fn stop(self) {
        self.api.health().stop();
        self.stopping.send_replace(true);
        // The command is sent when the call is made; the future only waits for its end, which joining does, too.
        drop(self.server.stop(true));
        if self.thread.join().is_err() {
            tracing::error!("the listener's thread panicked");
        }
    }
}

/// Listens on a thread of its own.
///
/// # Errors
/// The certificates cannot be used or the address is taken.
pub fn serve(config: EdgeConfig) -> Result<Running, EdgeError> {
    let EdgeConfig { address, tls, client_ca, front_proxy_ca, api, workers } = config;
    let tls = tls::acceptor(tls, &client_ca, &front_proxy_ca)?;
    let (stopping, stopped) = watch::channel(false);
    let (ready, started) = mpsc::channel();
    let served = api.clone();
    let thread = thread::Builder::new()
        .name("edge".to_owned())
        .spawn(move || {
            let carrier = exchange::Carrier { api: served, stopped };
            let listener = acceptor::Listener { address, tls, carrier, workers };
            let failed = ready.clone();
            let run = listener.run(move |addr, handle| {
                let _ = ready.send(Ok((addr, handle)));
            });
            if let Err(source) = actix_web::rt::System::new().block_on(run) {
                let _ = failed.send(Err(source));
            }
        })
        .map_err(|source| EdgeError::Listen { address, source })?;
    let (addr, server) = match started.recv() {
        Ok(Ok(started)) => started,
        Ok(Err(source)) => return Err(EdgeError::Listen { address, source }),
        Err(mpsc::RecvError) => return Err(EdgeError::Thread),
    };
    Ok(Running { addr, api, server, stopping, thread })
}
