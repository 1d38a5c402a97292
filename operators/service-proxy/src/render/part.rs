//! What one service or pod has in the table, and the names of the maps that parts share.
//!
//! Invariant: all texts come from parsed addresses, numbers, and names that the API has checked to be DNS labels.

use crate::status::Health;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::{Ipv4Addr, SocketAddrV4},
};

/// Addresses of services: `address . protocol . port : verdict`.
pub const SERVICES: &str = "services";
/// Node ports: `protocol . port : verdict`.
pub const NODE_PORTS: &str = "node-ports";
/// Services that are refused: `address . protocol . port : verdict`.
pub const REFUSED: &str = "refused";
/// Node ports that are refused: `protocol . port : verdict`.
pub const REFUSED_NODE_PORTS: &str = "refused-node-ports";
/// Load balancers that only some may use: `address . protocol . port : verdict`.
pub const GUARDED: &str = "guarded";
/// Host ports on every address: `protocol . port : address . port`.
pub const HOST_PORTS: &str = "host-ports";
/// Host ports on one address: `address . protocol . port : address . port`.
pub const HOST_PORTS_AT: &str = "host-ports-at";
/// Pods of this node, as source and destination: what comes back to its sender.
pub const HAIRPIN: &str = "hairpin";

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// From the API's word; empty means TCP.
    pub fn of(text: &str) -> Option<Self> {
        match text {
            "" | "TCP" => Some(Self::Tcp),
            "UDP" => Some(Self::Udp),
            "SCTP" => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// A port number of the API, if it can be one.
pub fn port(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port != 0)
}

/// An element of a map or set that parts share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Element {
    /// Name of the map.
    pub map: &'static str,
    /// Key, as nft writes it.
    pub key: String,
}

/// Where UDP datagrams are sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Destination {
    /// An address and port.
    At(SocketAddrV4),
    /// A port of the node, on any address.
    Node(u16),
}

/// What one service or pod has in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Chains and their rules.
    pub chains: BTreeMap<String, Vec<String>>,
    /// Sets and what they are.
    pub sets: BTreeMap<String, String>,
    /// Elements and their values; sets have empty ones.
    pub elements: BTreeMap<Element, String>,
    /// Who answers UDP clients. What the kernel remembers of others is forgotten.
    pub datagrams: BTreeMap<Destination, BTreeSet<SocketAddrV4>>,
    /// What load balancers are told; not in the table.
    pub health: Option<Health>,
}

impl Part {
    /// Whether it has nothing.
    pub fn is_empty(&self) -> bool {
        self.chains.is_empty()
            && self.sets.is_empty()
            && self.elements.is_empty()
            && self.datagrams.is_empty()
            && self.health.is_none()
    }
    pub(crate) fn element(&mut self, map: &'static str, key: String, value: impl Into<String>) {
        self.elements.insert(Element { map, key }, value.into());
    }
}

/// Key of maps by address, protocol and port.
pub(crate) fn at(address: Ipv4Addr, protocol: Protocol, port: u16) -> String {
    format!("{address} . {protocol} . {port}")
}

/// Key of maps by protocol and port.
pub(crate) fn on(protocol: Protocol, port: u16) -> String {
    format!("{protocol} . {port}")
}
