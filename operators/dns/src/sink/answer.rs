//! A question to a reply, from the zone and one state of the table. Pure.
//!
//! Rules: a name that exists without the asked type has an empty answer, one that does not is `NXDOMAIN`, both with the
//! zone's SOA; aliases inside the zone are followed here, others are left to the caller; addresses take turns.
//! A headless service without ready endpoints does not exist (specification 2.4.1).
//! Upstream: CoreDNS plugin/kubernetes/kubernetes.go (findServices, findPods), plugin/backend_lookup.go.

use super::{
    table::Table,
    zone::{Place, Reverse, Zone},
};
use crate::render::{Entry, Host, Port};
use hickory_server::proto::{
    op::ResponseCode,
    rr::{
        LowerName, Name, RData, Record, RecordType,
        rdata::{A, AAAA, CNAME, PTR, SRV, TXT},
    },
};
use std::net::IpAddr;

/// Version of the specification.
const SCHEMA: &str = "1.1.0";
/// It never changes while the server runs.
const SCHEMA_TTL: u32 = 28_800;
/// Aliases that are followed.
const MOST_ALIASES: usize = 8;

/// What is sent back.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    /// Code.
    pub(crate) code: ResponseCode,
    /// Whether it is from the zone itself.
    pub(crate) authoritative: bool,
    /// Whether the name server outside vouches for it.
    pub(crate) authentic: bool,
    /// Answers.
    pub(crate) answers: Vec<Record>,
    /// Authorities.
    pub(crate) authorities: Vec<Record>,
    /// Addresses of what the answers name.
    pub(crate) additionals: Vec<Record>,
}

impl Reply {
    /// A reply that is only a code.
    pub(crate) fn code(code: ResponseCode) -> Self {
        Self {
            code,
            authoritative: false,
            authentic: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

/// Who can answer.
#[derive(Debug)]
pub(crate) enum Lookup {
    /// This is the reply.
    Ready(Reply),
    /// The reply ends with an alias of a name outside.
    Follow(Reply, Name),
    /// The name servers outside.
    Elsewhere,
}

/// What there is under one name.
enum Found {
    /// No such name.
    Nothing,
    /// These records; none when the name has other types only.
    Records(Vec<Record>),
    /// Another name.
    Alias(Name),
}

/// Looks a name up. `turn` rotates addresses.
pub(crate) fn look_up(
    zone: &Zone,
    table: Option<&Table>,
    question: (&LowerName, &Name, RecordType),
    turn: usize,
) -> Lookup {
    let (name, original, kind) = question;
    if let Some(reverse) = zone.reverse(name) {
        return Lookup::Ready(match table {
            Some(table) => Search::new(zone, table, kind, turn).reverse(original, &reverse),
            None => Reply::code(ResponseCode::ServFail),
        });
    }
    match (zone.place(name), table) {
        (None, _) => Lookup::Elsewhere,
        (Some(_), None) => Lookup::Ready(Reply::code(ResponseCode::ServFail)),
        (Some(place), Some(table)) => Search::new(zone, table, kind, turn).follow(original, place),
    }
}

struct Search<'a> {
    zone: &'a Zone,
    table: &'a Table,
    kind: RecordType,
    turn: usize,
    reply: Reply,
}

impl<'a> Search<'a> {
    fn new(zone: &'a Zone, table: &'a Table, kind: RecordType, turn: usize) -> Self {
        let reply = Reply { authoritative: true, ..Reply::code(ResponseCode::NoError) };
        Self { zone, table, kind, turn, reply }
    }
    fn follow(mut self, original: &Name, place: Place<'_>) -> Lookup {
        let mut owner = original.clone();
        let mut found = self.find(&owner, place);
        while let Found::Alias(alias) = found {
            self.add_alias(&owner, &alias);
            if self.is_about_alias() {
                return Lookup::Ready(self.reply);
            }
            if self.goes_round(&alias) {
                self.reply.code = ResponseCode::ServFail;
                return Lookup::Ready(self.reply);
            }
            found = match self.zone.place(&alias) {
                Some(place) => self.find(&alias, place),
                None => return Lookup::Follow(self.reply, alias),
            };
            owner = alias;
        }
        let zone = self.zone.name();
        Lookup::Ready(self.close(found, zone))
    }
    fn goes_round(&self, alias: &Name) -> bool {
        let answers = &self.reply.answers;
        answers.len() == MOST_ALIASES || answers.iter().any(|record| record.name == *alias)
    }
    fn is_about_alias(&self) -> bool {
        matches!(self.kind, RecordType::CNAME | RecordType::ANY)
    }
    fn add_alias(&mut self, owner: &Name, alias: &Name) {
        let record = self.zone.record(owner, RData::CNAME(CNAME(alias.clone())));
        self.reply.answers.push(record);
    }
    fn close(mut self, found: Found, soa_owner: &Name) -> Reply {
        let has_records = match found {
            Found::Records(records) => {
                let any = !records.is_empty();
                self.reply.answers.extend(records);
                any
            }
            Found::Nothing | Found::Alias(_) => {
                self.reply.code = ResponseCode::NXDomain;
                false
            }
        };
        if !has_records {
            self.reply.authorities.push(self.zone.soa(soa_owner, self.table.serial()));
        }
        self.reply
    }
    fn find(&mut self, owner: &Name, place: Place<'_>) -> Found {
        match place {
            Place::Apex => self.apex(owner),
            Place::NameServer => Found::Records(self.addresses(owner, [self.zone.server_ip])),
            Place::Version => Found::Records(self.version(owner)),
            Place::Branch => Found::Records(Vec::new()),
            Place::Namespace(namespace) => self.exists(self.table.has_namespace(namespace)),
            Place::Pod(namespace, pod) => {
                match pod_address(pod).filter(|_| self.table.has_namespace(namespace)) {
                    Some(ip) => Found::Records(self.addresses(owner, [ip])),
                    None => Found::Nothing,
                }
            }
            Place::Service(namespace, service) => self.service(owner, namespace, service),
            Place::Endpoint(namespace, service, label) => self.endpoint(owner, namespace, service, label),
            Place::Protocol(namespace, service, protocol) => {
                let speaks = |port: &Port| &*port.protocol == protocol && !port.name.is_empty();
                let entry = self.table.service(namespace, service);
                self.exists(entry.is_some_and(|entry| ports(entry).any(speaks)))
            }
            Place::Port(namespace, service, protocol, port) => {
                let is_it = |own: &Port| &*own.protocol == protocol && &*own.name == port;
                match self.table.service(namespace, service) {
                    Some(entry) if !port.is_empty() => self.port(owner, (namespace, service), entry, is_it),
                    _ => Found::Nothing,
                }
            }
            Place::Nothing => Found::Nothing,
        }
    }
    fn exists(&self, exists: bool) -> Found {
        if exists { Found::Records(Vec::new()) } else { Found::Nothing }
    }
    fn apex(&mut self, owner: &Name) -> Found {
        Found::Records(match self.kind {
            RecordType::SOA => vec![self.zone.soa(owner, self.table.serial())],
            RecordType::NS => {
                let glue = self.address(self.zone.server(), self.zone.server_ip);
                self.reply.additionals.push(glue);
                vec![self.zone.ns(owner)]
            }
            _ => Vec::new(),
        })
    }
    fn version(&self, owner: &Name) -> Vec<Record> {
        let text = || RData::TXT(TXT::new(vec![SCHEMA.to_owned()]));
        let asked = self.kind == RecordType::TXT;
        asked.then(|| Record::from_rdata(owner.clone(), SCHEMA_TTL, text())).into_iter().collect()
    }
    fn service(&mut self, owner: &Name, namespace: &str, service: &str) -> Found {
        match self.table.service(namespace, service) {
            None => Found::Nothing,
            Some(Entry::External(alias)) => Found::Alias(alias.clone()),
            Some(Entry::Headless { hosts }) if hosts.is_empty() => Found::Nothing,
            Some(entry) if self.kind == RecordType::SRV => {
                self.port(owner, (namespace, service), entry, |_| true).or_empty()
            }
            Some(Entry::Cluster { ips, .. }) => Found::Records(self.addresses(owner, ips.iter().copied())),
            Some(Entry::Headless { hosts }) => {
                let mut ips: Vec<IpAddr> = hosts.iter().map(|host| host.ip).collect();
                ips.sort_unstable();
                ips.dedup();
                Found::Records(self.addresses(owner, ips))
            }
        }
    }
    fn endpoint(&self, owner: &Name, namespace: &str, service: &str, label: &str) -> Found {
        let hosts = self.table.service(namespace, service).map_or(&[][..], Entry::hosts);
        let first = hosts.partition_point(|host| &*host.label < label);
        let own = hosts[first..].iter().take_while(|host| &*host.label == label);
        let ips: Vec<IpAddr> = own.map(|host| host.ip).collect();
        if ips.is_empty() { Found::Nothing } else { Found::Records(self.addresses(owner, ips)) }
    }
    /// Where ports are served; the name exists if there is one.
    fn port(
        &mut self,
        owner: &Name,
        (namespace, service): (&str, &str),
        entry: &Entry,
        is_it: impl Fn(&Port) -> bool,
    ) -> Found {
        let Some(target) = self.zone.service(namespace, service) else { return Found::Nothing };
        if !ports(entry).any(&is_it) {
            return Found::Nothing;
        }
        if self.kind != RecordType::SRV {
            return Found::Records(Vec::new());
        }
        let mut records = match entry {
            Entry::Cluster { ips, ports, .. } => self.cluster_port(owner, &target, (ips, ports), is_it),
            Entry::Headless { hosts } => self.host_ports(owner, &target, hosts, is_it),
            Entry::External(_) => Vec::new(),
        };
        self.take_turns(&mut records);
        Found::Records(records)
    }
    fn cluster_port(
        &mut self,
        owner: &Name,
        target: &Name,
        (ips, ports): (&[IpAddr], &[Port]),
        is_it: impl Fn(&Port) -> bool,
    ) -> Vec<Record> {
        let ports: Vec<&Port> = ports.iter().filter(|port| is_it(port)).collect();
        let weight = weight(ports.len() * ips.len());
        self.reply.additionals = ips.iter().map(|ip| self.address(target, *ip)).collect();
        let record = |port: &&Port| self.srv(owner, weight, port.number, target.clone());
        ports.iter().map(record).collect()
    }
    fn host_ports(
        &mut self,
        owner: &Name,
        service: &Name,
        hosts: &[Host],
        is_it: impl Fn(&Port) -> bool,
    ) -> Vec<Record> {
        let own = |host: &Host| host.ports.iter().filter(|port| is_it(port)).count();
        let weight = weight(hosts.iter().map(own).sum());
        let mut records: Vec<Record> = Vec::new();
        for host in hosts.iter().filter(|host| own(host) > 0) {
            let Ok(target) = service.prepend_label(&*host.label) else { continue };
            for port in host.ports.iter().filter(|port| is_it(port)) {
                let record = self.srv(owner, weight, port.number, target.clone());
                // Addresses of one label follow each other; they share the record.
                if !records.iter().rev().take(host.ports.len()).any(|other| *other == record) {
                    records.push(record);
                }
            }
            let address = self.address(&target, host.ip);
            self.reply.additionals.push(address);
        }
        records
    }
    fn srv(&self, owner: &Name, weight: u16, port: u16, target: Name) -> Record {
        self.zone.record(owner, RData::SRV(SRV::new(0, weight, port, target)))
    }
    /// Records of the addresses of the asked family.
    fn addresses(&self, owner: &Name, ips: impl IntoIterator<Item = IpAddr>) -> Vec<Record> {
        let asked = |ip: &IpAddr| match self.kind {
            RecordType::A => ip.is_ipv4(),
            RecordType::AAAA => ip.is_ipv6(),
            _ => false,
        };
        let mut records: Vec<Record> =
            ips.into_iter().filter(asked).map(|ip| self.address(owner, ip)).collect();
        self.take_turns(&mut records);
        records
    }
    fn address(&self, owner: &Name, ip: IpAddr) -> Record {
        let data = match ip {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        };
        self.zone.record(owner, data)
    }
    fn take_turns(&self, records: &mut [Record]) {
        if let Some(first) = self.turn.checked_rem(records.len()) {
            records.rotate_left(first);
        }
    }
    fn reverse(self, owner: &Name, reverse: &Reverse) -> Reply {
        let Some(ip) = reverse.ip else { return self.close(Found::Records(Vec::new()), &reverse.zone) };
        let mut records = Vec::new();
        for (key, label) in self.table.owners(ip) {
            let Some(service) = self.zone.service(key.namespace(), key.name()) else { continue };
            let name = match label {
                Some(label) => service.prepend_label(label).ok(),
                None => Some(service),
            };
            records.extend(name.map(|name| self.zone.record(owner, RData::PTR(PTR(name)))));
        }
        let found = match (records.is_empty(), self.kind) {
            (true, _) => Found::Nothing,
            (false, RecordType::PTR) => Found::Records(records),
            (false, _) => Found::Records(Vec::new()),
        };
        self.close(found, &reverse.zone)
    }
}

impl Found {
    /// The name exists for other reasons.
    fn or_empty(self) -> Self {
        match self {
            Self::Nothing => Self::Records(Vec::new()),
            found => found,
        }
    }
}

/// Ports behind a name.
fn ports(entry: &Entry) -> Box<dyn Iterator<Item = &Port> + '_> {
    match entry {
        Entry::External(_) => Box::new(std::iter::empty()),
        Entry::Cluster { ports, .. } => Box::new(ports.iter()),
        Entry::Headless { hosts } => Box::new(hosts.iter().flat_map(|host| host.ports.iter())),
    }
}

/// Equal shares of 100, at least 1.
fn weight(shares: usize) -> u16 {
    u16::try_from(100 / shares.max(1)).unwrap_or(100).max(1)
}

/// The address behind a pod's label.
fn pod_address(label: &str) -> Option<IpAddr> {
    let is_v4 = label.bytes().filter(|b| *b == b'-').count() == 3 && !label.contains("--");
    label.replace('-', if is_v4 { "." } else { ":" }).parse().ok()
}

#[cfg(test)]
mod tests;
