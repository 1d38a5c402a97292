//! One query to one name server: UDP, then TCP when the reply was cut.
//!
//! Invariant: a reply counts only if it comes from the asked address and repeats id and question (RFC 5452).

use super::Asked;
use hickory_server::proto::{
    op::{Edns, Message, MessageType, Query as Asking},
    rr::LowerName,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

/// Payload that fits every path (DNS flag day 2020).
pub(crate) const PAYLOAD: u16 = 1232;

/// A query of its own id.
pub(super) struct Query(Message);

impl Query {
    /// For what a client asked.
    pub(super) fn new(asked: &Asked) -> Self {
        let mut message = Message::query();
        let mut asking = Asking::query(asked.name.clone(), asked.question.kind);
        asking.set_query_class(asked.question.class);
        message.add_query(asking);
        message.metadata.recursion_desired = asked.recursion;
        message.metadata.checking_disabled = asked.question.unchecked;
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD).set_dnssec_ok(asked.question.signed);
        message.set_edns(edns);
        Self(message)
    }
    /// The server's reply.
    pub(super) async fn ask(&self, server: SocketAddr) -> io::Result<Message> {
        let packet = self.0.to_vec().map_err(io::Error::other)?;
        match self.by_udp(server, &packet).await? {
            Some(message) => Ok(message),
            None => self.by_tcp(server, &packet).await,
        }
    }
    /// The reply; `None` when it was cut.
    async fn by_udp(&self, server: SocketAddr, packet: &[u8]) -> io::Result<Option<Message>> {
        let any = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        // Connected: the kernel drops what comes from elsewhere, and says when nobody listens.
        socket.connect(server).await?;
        socket.send(packet).await?;
        let mut buffer = [0; 4096];
        loop {
            let length = socket.recv(&mut buffer).await?;
            match Message::from_vec(&buffer[..length]) {
                Ok(message) if !self.is_answered_by(&message) => {}
                Ok(message) if message.metadata.truncation => return Ok(None),
                Ok(message) => return Ok(Some(message)),
                // A reply cut inside a record cannot be read.
                Err(_) if self.is_cut(&buffer[..length]) => return Ok(None),
                Err(_) => {}
            }
        }
    }
    async fn by_tcp(&self, server: SocketAddr, packet: &[u8]) -> io::Result<Message> {
        let mut stream = TcpStream::connect(server).await?;
        let length = u16::try_from(packet.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), packet].concat()).await?;
        let mut reply = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut reply).await?;
        let message = Message::from_vec(&reply).map_err(io::Error::other)?;
        if self.is_answered_by(&message) {
            Ok(message)
        } else {
            Err(io::Error::other("the reply is to another question"))
        }
    }
    fn is_answered_by(&self, reply: &Message) -> bool {
        let is_same = |(asked, repeated): (&Asking, &Asking)| {
            LowerName::new(asked.name()) == LowerName::new(repeated.name())
                && asked.query_type() == repeated.query_type()
                && asked.query_class() == repeated.query_class()
        };
        reply.metadata.id == self.0.metadata.id
            && reply.metadata.message_type == MessageType::Response
            && reply.queries.len() == 1
            && self.0.queries.iter().zip(&reply.queries).all(is_same)
    }
    /// Whether the header alone says that this is the reply and that it was cut.
    fn is_cut(&self, packet: &[u8]) -> bool {
        const CUT: u8 = 0b0000_0010;
        packet.get(..2) == Some(&self.0.metadata.id.to_be_bytes())
            && packet.get(2).is_some_and(|b| b & CUT != 0)
    }
}
