//! Forgets UDP flows that lead to endpoints that are gone, or past a service that now has endpoints.
//!
//! The kernel remembers where a flow was sent as long as datagrams come, so a client that keeps its port would never
//! reach another endpoint. TCP needs none of this: its connections end with their endpoints.
//! Upstream: pkg/proxy/conntrack/cleanup.go.

use super::{Error, table::Datagrams};
use crate::render::part::Destination;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_netfilter::{
    NetfilterHeader, NetfilterMessage, NetfilterMessageInner, NetfilterProtoFamily,
    conntrack::{ConntrackAttribute, ConntrackMessage, IPTuple, ProtoTuple, Protocol, Tuple},
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4, UdpSocket},
};

/// What a kernel without connections of this name answers.
const GONE: i32 = -2;

/// A UDP flow: where its client sent to, and who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    to: SocketAddrV4,
    answers: SocketAddrV4,
}

/// Forgets the flows to these destinations that others answer.
pub(super) async fn forget(datagrams: Datagrams) -> Result<(), Error> {
    let forgotten = tokio::task::spawn_blocking(move || forget_now(&datagrams)).await;
    let count = forgotten.map_err(io::Error::other).flatten().map_err(Error::Connections)?;
    if count > 0 {
        tracing::debug!(count, "UDP flows of endpoints that are gone were forgotten");
    }
    Ok(())
}

fn forget_now(datagrams: &Datagrams) -> io::Result<usize> {
    let mut socket = Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let stale = dump(&socket)?.into_iter().filter(|(flow, _)| is_stale(*flow, datagrams, &is_local));
    let mut count = 0;
    for (_, tuple) in stale {
        count += usize::from(delete(&socket, tuple)?);
    }
    Ok(count)
}

/// Whether a flow must be forgotten. Without endpoints only those are that were led to one: others have nowhere to go.
fn is_stale(flow: Flow, datagrams: &Datagrams, is_local: &dyn Fn(Ipv4Addr) -> bool) -> bool {
    let endpoints = match datagrams.get(&Destination::At(flow.to)) {
        Some(endpoints) => endpoints,
        None => match datagrams.get(&Destination::Node(flow.to.port())) {
            Some(endpoints) if is_local(*flow.to.ip()) => endpoints,
            _ => return false,
        },
    };
    !endpoints.contains(&flow.answers) && (!endpoints.is_empty() || flow.answers != flow.to)
}

/// Only addresses of this host can be bound.
fn is_local(address: Ipv4Addr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn send(socket: &Socket, flags: u16, message: ConntrackMessage) -> io::Result<()> {
    let mut header = NetlinkHeader::default();
    header.flags = flags;
    let netfilter = NetfilterMessage::new(NetfilterHeader::new(NetfilterProtoFamily::IPv4, 0, 0), message);
    let mut packet = NetlinkMessage::new(header, NetlinkPayload::from(netfilter));
    packet.finalize();
    let mut bytes = vec![0; packet.buffer_len()];
    packet.serialize(&mut bytes);
    socket.send(&bytes, 0).map(drop)
}

/// Hands each message of the answer to `take` until it says that it is the last.
fn receive(
    socket: &Socket,
    mut take: impl FnMut(NetlinkPayload<NetfilterMessage>) -> io::Result<bool>,
) -> io::Result<()> {
    loop {
        let (bytes, _) = socket.recv_from_full()?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<NetfilterMessage>::deserialize(rest).map_err(io::Error::other)?;
            let length = usize::try_from(message.header.length).map_err(io::Error::other)?;
            if !take(message.payload)? {
                return Ok(());
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

fn dump(socket: &Socket) -> io::Result<Vec<(Flow, Vec<Tuple>)>> {
    send(socket, NLM_F_REQUEST | NLM_F_DUMP, ConntrackMessage::Get(Vec::new()))?;
    let mut flows = Vec::new();
    receive(socket, |payload| match payload {
        NetlinkPayload::Done(_) => Ok(false),
        NetlinkPayload::Error(error) => Err(error.to_io()),
        NetlinkPayload::InnerMessage(message) => {
            flows.extend(udp_flow(message.inner));
            Ok(true)
        }
        _ => Ok(true),
    })?;
    Ok(flows)
}

/// Whether there was such a flow.
fn delete(socket: &Socket, original: Vec<Tuple>) -> io::Result<bool> {
    let message = ConntrackMessage::Delete(vec![ConntrackAttribute::CtaTupleOrig(original)]);
    send(socket, NLM_F_REQUEST | NLM_F_ACK, message)?;
    let mut existed = true;
    receive(socket, |payload| match payload {
        NetlinkPayload::Error(error) if error.raw_code() == 0 => Ok(false),
        NetlinkPayload::Error(error) if error.raw_code() == GONE => {
            existed = false;
            Ok(false)
        }
        NetlinkPayload::Error(error) => Err(error.to_io()),
        _ => Ok(true),
    })?;
    Ok(existed)
}

/// The flow of a message with the tuple that names it, if it is a UDP flow.
fn udp_flow(message: NetfilterMessageInner) -> Option<(Flow, Vec<Tuple>)> {
    let NetfilterMessageInner::Conntrack(ConntrackMessage::New(attributes)) = message else { return None };
    let (mut original, mut reply) = (None, None);
    for attribute in attributes {
        match attribute {
            ConntrackAttribute::CtaTupleOrig(tuple) => original = Some(tuple),
            ConntrackAttribute::CtaTupleReply(tuple) => reply = Some(tuple),
            _ => {}
        }
    }
    let (original, reply) = (original?, reply?);
    let flow = Flow { to: side(&original, Side::Destination)?, answers: side(&reply, Side::Source)? };
    Some((flow, original))
}

#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

fn side(tuple: &[Tuple], side: Side) -> Option<SocketAddrV4> {
    let (mut address, mut port, mut is_udp) = (None, None, false);
    for part in tuple {
        match part {
            Tuple::Ip(parts) => address = address.or_else(|| parts.iter().find_map(|part| ip_of(part, side))),
            Tuple::Proto(parts) => {
                is_udp |= parts.contains(&ProtoTuple::Protocol(Protocol::Udp));
                port = port.or_else(|| parts.iter().find_map(|part| port_of(part, side)));
            }
            _ => {}
        }
    }
    Some(SocketAddrV4::new(address?, port?)).filter(|_| is_udp)
}

fn ip_of(part: &IPTuple, side: Side) -> Option<Ipv4Addr> {
    match (part, side) {
        (IPTuple::SourceAddress(IpAddr::V4(ip)), Side::Source) => Some(*ip),
        (IPTuple::DestinationAddress(IpAddr::V4(ip)), Side::Destination) => Some(*ip),
        _ => None,
    }
}

fn port_of(part: &ProtoTuple, side: Side) -> Option<u16> {
    match (part, side) {
        (ProtoTuple::SourcePort(port), Side::Source) => Some(*port),
        (ProtoTuple::DestinationPort(port), Side::Destination) => Some(*port),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn address(text: &str) -> SocketAddrV4 {
        text.parse().expect("an address")
    }

    #[test]
    fn flows_of_endpoints_that_are_gone_are_stale() {
        let endpoints = BTreeSet::from([address("10.244.0.5:53")]);
        let datagrams = Datagrams::from([
            (Destination::At(address("10.96.0.10:53")), endpoints.clone()),
            (Destination::Node(30053), endpoints),
            (Destination::At(address("10.96.0.11:53")), BTreeSet::new()),
        ]);
        let local = |ip: Ipv4Addr| ip.octets() == [192, 0, 2, 1];
        let cases = [
            ("10.96.0.10:53", "10.244.0.5:53", false),
            ("10.96.0.10:53", "10.244.0.9:53", true),
            ("10.96.0.10:53", "10.96.0.10:53", true),
            ("10.96.0.12:53", "10.244.0.9:53", false),
            ("192.0.2.1:30053", "10.244.0.9:53", true),
            ("192.0.2.1:30053", "192.0.2.1:30053", true),
            ("198.51.100.7:30053", "198.51.100.7:30053", false),
            ("10.96.0.11:53", "10.244.0.5:53", true),
            ("10.96.0.11:53", "10.96.0.11:53", false),
        ];
        for (to, answers, stale) in cases {
            let flow = Flow { to: address(to), answers: address(answers) };
            assert_eq!(is_stale(flow, &datagrams, &local), stale, "{to} {answers}");
        }
    }
}
