//! The names that are answered here: the domain of the cluster and the reverse names of its networks.
//!
//! `place` says what a name means by its form alone; whether that exists is the table's to say.

use crate::{DnsConfig, Error};
use hickory_server::proto::rr::{
    Name, RData, Record,
    rdata::{NS, SOA},
};
use smallvec::SmallVec;
use std::net::IpAddr;

/// Timers of the zone that secondaries would use.
const REFRESH: i32 = 7200;
const RETRY: i32 = 1800;
const EXPIRE: i32 = 86_400;

/// What a name of the domain means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'q> {
    /// The domain itself.
    Apex,
    /// `ns.dns`: the server.
    NameServer,
    /// `dns-version`.
    Version,
    /// A name that only has names below it.
    Branch,
    /// A namespace below `svc` or `pod`.
    Namespace(&'q str),
    /// A pod by its address with dashes.
    Pod(&'q str, &'q str),
    /// Namespace and name of a service.
    Service(&'q str, &'q str),
    /// An endpoint of a service.
    Endpoint(&'q str, &'q str, &'q str),
    /// A protocol of a service.
    Protocol(&'q str, &'q str, &'q str),
    /// A port of a service: namespace, name, protocol, port.
    Port(&'q str, &'q str, &'q str, &'q str),
    /// Nothing that could exist.
    Nothing,
}

/// What is answered here.
#[derive(Debug)]
pub(crate) struct Zone {
    name: Name,
    labels: usize,
    server: Name,
    contact: Name,
    networks: Vec<(IpAddr, u8)>,
    /// Address of the server.
    pub(crate) server_ip: IpAddr,
    /// Seconds that answers may be kept.
    pub(crate) ttl: u32,
}

/// A reverse name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reverse {
    /// The address; none for a name above the addresses.
    pub(crate) ip: Option<IpAddr>,
    /// Where the zone begins.
    pub(crate) zone: Name,
}

impl Zone {
    /// The zone of a configuration.
    pub(crate) fn new(config: &DnsConfig) -> Result<Self, Error> {
        let refuse = |why: String| Error::Domain { domain: config.domain.clone(), why };
        let mut name = Name::from_ascii(&config.domain).map_err(|error| refuse(error.to_string()))?;
        name.set_fqdn(true);
        let name = name.to_lowercase();
        if name.is_root() {
            return Err(refuse("it would hold every name there is".to_owned()));
        }
        for (address, prefix) in config.reverse.iter().copied() {
            if u32::from(prefix) > bits(address) {
                return Err(Error::Network { address, prefix });
            }
        }
        let below = |label: &str, of: &Name| of.prepend_label(label).map_err(|e| refuse(e.to_string()));
        Ok(Self {
            labels: name.iter().count(),
            server: below("ns", &below("dns", &name)?)?,
            contact: below("hostmaster", &name)?,
            name,
            networks: config.reverse.clone(),
            server_ip: config.service_ip,
            ttl: config.ttl,
        })
    }
    /// The domain.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }
    /// What a name in lower case means; `None` when it is not of this domain.
    pub(crate) fn place<'q>(&self, name: &'q Name) -> Option<Place<'q>> {
        if !self.name.zone_of_case(name) {
            return None;
        }
        let labels = name.iter().rev().skip(self.labels).take(6).map(std::str::from_utf8);
        let labels = labels.collect::<Result<SmallVec<[&str; 6]>, _>>();
        Some(labels.map_or(Place::Nothing, |labels| place(&labels)))
    }
    /// The reverse name in lower case, if it is of one of the networks.
    pub(crate) fn reverse(&self, name: &Name) -> Option<Reverse> {
        if name.iter().next_back() != Some(b"arpa") {
            return None;
        }
        let asked = name.parse_arpa_name().ok()?;
        let (ip, prefix) = (asked.addr(), asked.prefix_len());
        let network = self.networks.iter().find(|network| prefix >= network.1 && contains(network, ip))?;
        let each = if ip.is_ipv4() { 8 } else { 4 };
        let zone = name.trim_to(2 + usize::from(network.1).div_ceil(each).max(1));
        Some(Reverse { ip: (u32::from(prefix) == bits(ip)).then_some(ip), zone })
    }
    /// Name of a service.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<Name> {
        let labels = [name.as_bytes(), namespace.as_bytes(), b"svc"];
        Name::from_labels(labels.into_iter().chain(self.name.iter())).ok()
    }
    /// The record that says whose zone it is and how long nothing may be remembered.
    pub(crate) fn soa(&self, owner: &Name, serial: u32) -> Record {
        let (server, contact) = (self.server.clone(), self.contact.clone());
        let soa = SOA::new(server, contact, serial, REFRESH, RETRY, EXPIRE, self.ttl);
        self.record(owner, RData::SOA(soa))
    }
    /// The record that names the server.
    pub(crate) fn ns(&self, owner: &Name) -> Record {
        self.record(owner, RData::NS(NS(self.server.clone())))
    }
    /// A record with the zone's TTL.
    pub(crate) fn record(&self, owner: &Name, data: RData) -> Record {
        Record::from_rdata(owner.clone(), self.ttl, data)
    }
    /// The name of the server.
    pub(crate) fn server(&self) -> &Name {
        &self.server
    }
}

/// Labels from the domain downwards.
fn place<'q>(labels: &[&'q str]) -> Place<'q> {
    match *labels {
        [] => Place::Apex,
        ["dns", "ns"] => Place::NameServer,
        ["dns-version"] => Place::Version,
        ["dns" | "svc" | "pod"] => Place::Branch,
        ["svc" | "pod", namespace] => Place::Namespace(namespace),
        ["pod", namespace, pod] => Place::Pod(namespace, pod),
        ["svc", namespace, service] => Place::Service(namespace, service),
        ["svc", namespace, service, label] => match label.strip_prefix('_') {
            Some(protocol) => Place::Protocol(namespace, service, protocol),
            None => Place::Endpoint(namespace, service, label),
        },
        ["svc", namespace, service, protocol, port] => {
            match (protocol.strip_prefix('_'), port.strip_prefix('_')) {
                (Some(protocol), Some(port)) => Place::Port(namespace, service, protocol, port),
                _ => Place::Nothing,
            }
        }
        _ => Place::Nothing,
    }
}

fn bits(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn contains(&(network, prefix): &(IpAddr, u8), ip: IpAddr) -> bool {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => u128::from(ip.to_bits()) << 96,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
    network.is_ipv4() == ip.is_ipv4() && (number(network) ^ number(ip)) & mask == 0
}
