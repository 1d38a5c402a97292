//! The listener: accepts connections, speaks TLS, and gives each connection to what serves it.
//!
//! actix' HTTP dispatcher hands out a connection only for `Upgrade: websocket`. Clients that leave HTTP for SPDY do so
//! with the first request of a new connection, so that head is read here: a connection that starts with an upgrade
//! goes to `upgrade` at once, every other to the dispatcher, which reads the same bytes again. WebSockets that come
//! later on a kept connection reach `upgrade` through the dispatcher.

use crate::{
    GRACE, KEEP_ALIVE,
    connection::Connection,
    exchange::{self, Carrier},
    tls::Vouching,
    upgrade,
};
use actix_codec::Framed;
use actix_http::{
    HttpService, KeepAlive, Protocol, Request, ServiceConfig, ServiceConfigBuilder, error::DispatchError, h1,
};
use actix_server::{GracefulShutdownSignal, Server, ServerHandle};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, boxed, fn_factory, fn_service, map_config};
use actix_web::{App, dev::AppConfig, web};
use bytes::BytesMut;
use socket2::{SockRef, TcpKeepalive};
use std::{convert::Infallible, future::poll_fn, io, net::SocketAddr, rc::Rc, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::Decoder;

/// How long nothing may come before a client is asked whether it is still there.
const SILENCE: Duration = Duration::from_secs(30);
/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long a client may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(3);
/// How long it may take to send a connection's first head.
const FIRST_HEAD: Duration = Duration::from_secs(5);
/// How long a closed connection may stay half open.
const DISCONNECT: Duration = Duration::from_secs(1);
/// Heads above this are left to the dispatcher, which refuses them.
const LONGEST_HEAD: usize = 16 << 10;

pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    pub(crate) tls: (TlsAcceptor, Vouching),
    pub(crate) carrier: Carrier,
    pub(crate) workers: usize,
}

impl Listener {
    /// Serves until it is stopped; `ready` is called once it listens.
    pub(crate) async fn run(self, ready: impl FnOnce(SocketAddr, ServerHandle)) -> io::Result<()> {
        let Self { address, tls, carrier, workers } = self;
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?.into_std()?;
        let bound = socket.local_addr()?;
        let builder = Server::build().workers(workers).shutdown_timeout(GRACE.as_secs()).disable_signals();
        let draining = builder.graceful_shutdown_signal();
        let serve = move || connections(tls.clone(), carrier.clone(), draining.clone());
        let server = builder.listen("edge", socket, serve)?.run();
        ready(bound, server.handle());
        server.await
    }
}

/// What one worker does with each connection.
fn connections(
    tls: (TlsAcceptor, Vouching),
    carrier: Carrier,
    draining: GracefulShutdownSignal,
) -> impl ServiceFactory<TcpStream, Config = (), Response = (), Error = (), InitError = ()> {
    let http = Rc::new(http(&carrier, draining));
    fn_factory(move || {
        let (tls, carrier, http) = (tls.clone(), carrier.clone(), http.new_service(()));
        async move {
            let front = Rc::new(Front { tls, carrier, codec: codec_config(), http: http.await? });
            Ok::<_, ()>(fn_service(move |socket| {
                let front = Rc::clone(&front);
                async move {
                    front.serve(socket).await.map_err(|error| tracing::debug!(%error, "connection lost"))
                }
            }))
        }
    })
}

type ToHttp = (Connection, Protocol, Option<SocketAddr>);
type Http = boxed::BoxService<ToHttp, (), DispatchError>;

/// actix' dispatcher.
fn http(
    carrier: &Carrier,
    draining: GracefulShutdownSignal,
) -> boxed::BoxServiceFactory<(), ToHttp, (), DispatchError, ()> {
    let app = App::new()
        .app_data(web::Data::new(carrier.clone()))
        .default_service(web::to(exchange::carry))
        .into_factory();
    let carrier = carrier.clone();
    let service = HttpService::build()
        .graceful_shutdown_signal(move || {
            let draining = draining.clone();
            async move { draining.notified().await }
        })
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(FIRST_HEAD)
        .client_disconnect_timeout(DISCONNECT)
        // A client that closes its side is gone: its watch must end now, not with the next event.
        .h1_allow_half_closed(false)
        .secure()
        .on_connect_ext(|connection: &Connection, extensions| {
            extensions.insert(connection.peer.clone());
        })
        .upgrade(fn_service(move |(request, framed): (Request, Framed<Connection, h1::Codec>)| {
            let carrier = carrier.clone();
            async move {
                upgrade::carry(&carrier, &request, framed).await;
                Ok::<_, Infallible>(())
            }
        }))
        .finish(map_config(app, |()| AppConfig::default()));
    boxed::factory(service)
}

/// How heads are read that the dispatcher does not see.
fn codec_config() -> ServiceConfig {
    ServiceConfigBuilder::new().keep_alive(KeepAlive::Timeout(KEEP_ALIVE)).secure(true).build()
}

/// Everything that a worker needs for a new connection.
struct Front {
    tls: (TlsAcceptor, Vouching),
    carrier: Carrier,
    codec: ServiceConfig,
    http: Http,
}

/// What a connection begins with.
enum First {
    Upgrade(Box<(Request, Framed<Connection, h1::Codec>)>),
    Http(Box<Connection>, Protocol),
}

impl Front {
    async fn serve(&self, socket: TcpStream) -> io::Result<()> {
        let mut stopped = self.carrier.stopped.clone();
        let first = tokio::select! {
            first = self.first(socket) => first?,
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        };
        match first {
            First::Upgrade(upgrade) => {
                let (request, framed) = *upgrade;
                upgrade::carry(&self.carrier, &request, framed).await;
                Ok(())
            }
            First::Http(connection, protocol) => {
                let address = connection.peer.address();
                poll_fn(|cx| self.http.poll_ready(cx)).await.map_err(|error| lost(&error))?;
                let served = self.http.call((*connection, protocol, Some(address)));
                served.await.map_err(|error| lost(&error))
            }
        }
    }

    /// Agrees on TLS and reads the first head.
    async fn first(&self, socket: TcpStream) -> io::Result<First> {
        // Without it HTTP/2 answers wait for the client's delayed acknowledgement: 40 ms each.
        socket.set_nodelay(true)?;
        // A tunnel or watch whose client has vanished without a word would otherwise stay for ever.
        SockRef::from(&socket).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE))?;
        let mut connection = {
            let (tls, vouching) = &self.tls;
            Connection::new(timeout(HANDSHAKE, tls.accept(socket)).await??, vouching)?
        };
        if connection.is_http2() {
            return Ok(First::Http(Box::new(connection), Protocol::Http2));
        }
        let head = timeout(FIRST_HEAD, read_head(&mut connection)).await??;
        if let Some((request, codec, rest)) = self.upgrade(&head) {
            connection.ahead = rest;
            return Ok(First::Upgrade(Box::new((request, Framed::new(connection, codec)))));
        }
        connection.ahead = head.freeze();
        Ok(First::Http(Box::new(connection), Protocol::Http1))
    }

    /// The request, when it asks for an upgrade and has no body; anything odd is left to the dispatcher.
    fn upgrade(&self, head: &BytesMut) -> Option<(Request, h1::Codec, bytes::Bytes)> {
        if !names_upgrade(head) {
            return None;
        }
        let mut codec = h1::Codec::new(self.codec.clone());
        let mut rest = head.clone();
        let Ok(Some(h1::Message::Item(request))) = codec.decode(&mut rest) else { return None };
        let has_body = matches!(codec.message_type(), h1::MessageType::Payload);
        (!has_body && upgrade::is_offered(request.head())).then(|| (request, codec, rest.freeze()))
    }
}

/// What the dispatcher says of a connection that broke, as text: its errors stay on their thread.
fn lost(error: &DispatchError) -> io::Error {
    io::Error::other(error.to_string())
}

/// What the client sends first, up to the end of a head or more.
async fn read_head(connection: &mut Connection) -> io::Result<BytesMut> {
    const END: &[u8] = b"\r\n\r\n";
    let mut head = BytesMut::with_capacity(4096);
    loop {
        // The end may lie across two reads.
        let seen = head.len().saturating_sub(END.len() - 1);
        let read = connection.stream.read_buf(&mut head).await?;
        let ended = head[seen..].windows(END.len()).any(|bytes| bytes == END);
        if read == 0 || ended || head.len() >= LONGEST_HEAD {
            return Ok(head);
        }
    }
}

/// Whether there is a header of that name; cheap, for most connections have none.
fn names_upgrade(head: &[u8]) -> bool {
    const HEADER: &[u8] = b"\nupgrade:";
    head.windows(HEADER.len()).any(|bytes| bytes.eq_ignore_ascii_case(HEADER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upgrade_header_is_found_whatever_its_case() {
        assert!(names_upgrade(b"GET / HTTP/1.1\r\nHost: a\r\nUPGRADE: SPDY/3.1\r\n\r\n"));
        assert!(!names_upgrade(b"GET /upgrade: HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\n\r\n"));
    }
}
