//! The server: sockets, a thread of its own, and the handling of one request.
//!
//! Invariants: nothing that the rest of the process does delays an answer, because the thread runs nothing else; sockets
//! may be bound to addresses that are not there yet (the bridge of a node comes with its first pod); a reply over UDP is
//! never larger than the client said, nor than what fits every path.
//! Deliberately absent: updates, transfers, classes other than IN; they are refused.

use super::{
    Names, Upstreams, Zone,
    answer::{Lookup, Reply, look_up},
    kept::Question,
    upstream::{Asked, PAYLOAD},
};
use crate::Error;
use async_trait::async_trait;
use hickory_server::{
    net::runtime::Time,
    proto::{
        op::{Edns, Header, HeaderCounts, Metadata, OpCode, ResponseCode},
        rr::{DNSClass, RecordType},
    },
    server::{Request, RequestHandler, ResponseHandler, ResponseInfo},
    zone_handler::MessageResponseBuilder,
};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long a TCP connection may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// Replies that wait in a TCP connection.
const WAITING: usize = 32;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;
/// Room for queries that arrive in a burst.
const BURST: usize = 1 << 20;
/// Attempts to find one port that is free for both protocols.
const ATTEMPTS: usize = 16;

/// The running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    addresses: Vec<SocketAddr>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens and answers.
    pub(crate) fn start(
        listen: &[SocketAddr],
        zone: Arc<Zone>,
        names: Names,
        upstreams: Upstreams,
    ) -> Result<Self, Error> {
        if listen.is_empty() {
            return Err(Error::NoAddress);
        }
        let sockets = listen
            .iter()
            .map(|address| bind(*address).map_err(|source| Error::Listen { address: *address, source }));
        let sockets = sockets.collect::<Result<Vec<_>, _>>()?;
        let addresses = sockets.iter().map(|(address, ..)| *address).collect();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Start)?;
        let handler = Handler { zone, names, upstreams, turn: AtomicUsize::new(0) };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let serving = move || runtime.block_on(serve(sockets, handler, stopped));
        let thread =
            std::thread::Builder::new().name("dns".to_owned()).spawn(serving).map_err(Error::Start)?;
        Ok(Self { addresses, stop, thread: Some(thread) })
    }
    /// What is served.
    pub(crate) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        // The sockets are free when this returns, so that a successor can have them.
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the DNS server had failed");
        }
    }
}

type Bound = (SocketAddr, UdpSocket, TcpListener);

/// Both sockets of an address; an open port becomes the same for both.
fn bind(address: SocketAddr) -> io::Result<Bound> {
    let mut attempt = 0;
    loop {
        let udp: UdpSocket = socket(address, Type::DGRAM, Protocol::UDP)?.into();
        let bound = udp.local_addr()?;
        match socket(bound, Type::STREAM, Protocol::TCP) {
            Ok(tcp) => {
                tcp.listen(BACKLOG)?;
                return Ok((bound, udp, tcp.into()));
            }
            Err(_) if address.port() == 0 && attempt < ATTEMPTS => attempt += 1,
            Err(error) => return Err(error),
        }
    }
}

fn socket(address: SocketAddr, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    match address {
        SocketAddr::V4(_) => socket.set_freebind_v4(true)?,
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            socket.set_freebind_v6(true)?;
        }
    }
    if kind == Type::STREAM {
        socket.set_reuse_address(true)?;
    } else {
        socket.set_recv_buffer_size(BURST)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn serve(sockets: Vec<Bound>, handler: Handler, stop: CancellationToken) {
    let mut server = hickory_server::Server::new(handler);
    for (address, udp, tcp) in sockets {
        match (tokio::net::UdpSocket::from_std(udp), tokio::net::TcpListener::from_std(tcp)) {
            (Ok(udp), Ok(tcp)) => {
                server.register_socket(udp);
                server.register_listener(tcp, IDLE, WAITING);
            }
            (udp, tcp) => tracing::error!(%address, udp = ?udp.err(), tcp = ?tcp.err(), "DNS is not served"),
        }
    }
    tokio::select! {
        ended = server.block_until_done() => tracing::error!(?ended, "the DNS server ended"),
        () = stop.cancelled() => drop(server.shutdown_gracefully().await),
    }
}

struct Handler {
    zone: Arc<Zone>,
    names: Names,
    upstreams: Upstreams,
    turn: AtomicUsize,
}

#[async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, to: R) -> ResponseInfo {
        let reply = match refusal(request) {
            Some(code) => Reply::code(code),
            None => self.reply(request).await,
        };
        send(request, &reply, to).await
    }
}

impl Handler {
    async fn reply(&self, request: &Request) -> Reply {
        match self.look_up(request) {
            Lookup::Ready(reply) => reply,
            Lookup::Elsewhere => self.upstreams.resolve(&asked(request)).await,
            Lookup::Follow(mut reply, target) => {
                let mut asked = asked(request);
                asked.question.name = (&target).into();
                asked.name = target;
                let found = self.upstreams.resolve(&asked).await;
                reply.code = found.code;
                reply.answers.extend(found.answers);
                reply.authorities = found.authorities;
                reply
            }
        }
    }
    fn look_up(&self, request: &Request) -> Lookup {
        let Some(query) = request.queries.queries().first() else { return Lookup::Elsewhere };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let table = self.names.0.load();
        let question = (query.name(), query.original().name(), query.query_type());
        look_up(&self.zone, table.as_deref(), question, turn)
    }
}

/// Why a request is not even looked at.
fn refusal(request: &Request) -> Option<ResponseCode> {
    if request.metadata.op_code != OpCode::Query {
        return Some(ResponseCode::NotImp);
    }
    if request.version() > 0 {
        return Some(ResponseCode::BADVERS);
    }
    let [query] = request.queries.queries() else { return Some(ResponseCode::FormErr) };
    let is_served = query.query_class() == DNSClass::IN
        && !matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR);
    (!is_served).then_some(ResponseCode::Refused)
}

/// What the name servers outside are to be asked.
fn asked(request: &Request) -> Asked {
    // `refusal` has seen that there is one.
    let query = &request.queries.queries()[0];
    let signed = request.edns.as_ref().is_some_and(|edns| edns.flags().dnssec_ok);
    Asked {
        question: Question {
            name: query.name().clone(),
            kind: query.query_type(),
            class: query.query_class(),
            signed,
            unchecked: request.metadata.checking_disabled,
        },
        name: query.original().name().clone(),
        recursion: request.metadata.recursion_desired,
    }
}

async fn send<R: ResponseHandler>(request: &Request, reply: &Reply, mut to: R) -> ResponseInfo {
    let mut metadata = Metadata::response_from_request(&request.metadata);
    metadata.authoritative = reply.authoritative;
    metadata.authentic_data = reply.authentic;
    metadata.recursion_available = true;
    metadata.response_code = reply.code;
    let edns = request.edns.as_ref().map(|asked| edns(asked, request.max_payload()));
    let builder = MessageResponseBuilder::new(&request.queries, edns.as_ref());
    let response = builder.build(metadata, &reply.answers, &reply.authorities, [], &reply.additionals);
    match to.send_response(response).await {
        Ok(sent) => sent,
        Err(error) => {
            tracing::debug!(client = %request.src(), %error, "a reply was not sent");
            Header { metadata, counts: HeaderCounts::default() }.into()
        }
    }
}

/// The reply's own extension record, which also bounds its size.
fn edns(asked: &Edns, payload: u16) -> Edns {
    let mut edns = Edns::new();
    edns.set_max_payload(payload.min(PAYLOAD)).set_dnssec_ok(asked.flags().dnssec_ok);
    edns
}
