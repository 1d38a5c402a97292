//! The listener: accepts connections, remembers their client certificates, hands requests to `exchange`.

use crate::{GRACE, KEEP_ALIVE, exchange};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{App, HttpServer, dev::Extensions, dev::ServerHandle, rt::net::TcpStream, web};
use bytes::Bytes;
use proa_server::{Api, Peer};
use rustls::ServerConfig;
use std::{any::Any, io, net::SocketAddr};
use tokio::sync::watch;

pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) tls: ServerConfig,
    pub(crate) api: Api,
    pub(crate) stopped: watch::Receiver<bool>,
    pub(crate) workers: usize,
}

impl Listener {
    /// Serves until it is stopped; `ready` is called once it listens.
    pub(crate) async fn run(self, ready: impl FnOnce(SocketAddr, ServerHandle)) -> io::Result<()> {
        let Self { address, tls, api, stopped, workers } = self;
        let carrier = web::Data::new(exchange::Carrier { api, stopped });
        let server = HttpServer::new(move || {
            App::new().app_data(carrier.clone()).default_service(web::to(exchange::carry))
        })
        .workers(workers)
        // Without it HTTP/2 answers wait for the client's delayed acknowledgement: 40 ms each.
        .tcp_nodelay(true)
        .keep_alive(KEEP_ALIVE)
        // A client that closes its side is gone: its watch must end now, not with the next event.
        .h1_allow_half_closed(false)
        .shutdown_timeout(GRACE.as_secs())
        .disable_signals()
        .on_connect(remember_peer)
        .bind_rustls_0_23(address, tls)?;
        let bound = server.addrs().first().copied().unwrap_or(address);
        let server = server.run();
        ready(bound, server.handle());
        server.await
    }
}

fn remember_peer(connection: &dyn Any, extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TlsStream<TcpStream>>() else { return };
    let (socket, session) = stream.get_ref();
    let Ok(address) = socket.peer_addr() else { return };
    let chain = session.peer_certificates().unwrap_or_default();
    let chain = chain.iter().map(|c| Bytes::copy_from_slice(c)).collect();
    extensions.insert(Peer::new(address, chain));
}
