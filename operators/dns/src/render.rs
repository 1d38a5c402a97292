//! Rows of the index into entries of the table. Pure.

use crate::index::{Index, Row, Slices};
use hickory_server::proto::rr::Name;
use proa_kit::{
    Key,
    project::Dirty,
    views::{
        EndpointSliceView, ServiceView,
        endpoint_slice::{Endpoint, EndpointPort},
        service::ServicePort,
    },
};
use std::{net::IpAddr, sync::Arc};

/// What brings the table up to date.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Whether rows that are not named are gone.
    pub(crate) whole: bool,
    /// Namespaces and whether they exist.
    pub(crate) namespaces: Vec<(Box<str>, bool)>,
    /// Services and what their names stand for; nothing when they have none.
    pub(crate) services: Vec<(Key, Option<Entry>)>,
}

/// What the name of a service stands for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Another name.
    External(Name),
    /// Addresses of the service itself.
    Cluster {
        /// One of each family.
        ips: Box<[IpAddr]>,
        /// Its ports.
        ports: Box<[Port]>,
        /// Its endpoints, which have names too.
        hosts: Box<[Host]>,
    },
    /// Its endpoints.
    Headless {
        /// In order of label and address.
        hosts: Box<[Host]>,
    },
}

impl Entry {
    /// Endpoints, in order of label and address.
    pub(crate) fn hosts(&self) -> &[Host] {
        match self {
            Self::External(_) => &[],
            Self::Cluster { hosts, .. } | Self::Headless { hosts } => hosts,
        }
    }
    /// Addresses of the service itself.
    pub(crate) fn ips(&self) -> &[IpAddr] {
        match self {
            Self::Cluster { ips, .. } => ips,
            Self::External(_) | Self::Headless { .. } => &[],
        }
    }
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    /// Name; empty when it has none.
    pub(crate) name: Box<str>,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: Box<str>,
    /// Number.
    pub(crate) number: u16,
}

/// One address of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Host {
    /// Host name, or the address with dashes.
    pub(crate) label: Box<str>,
    /// Address.
    pub(crate) ip: IpAddr,
    /// Whether the label is a host name, so that the address has a reverse name.
    pub(crate) is_named: bool,
    /// Ports.
    pub(crate) ports: Arc<[Port]>,
}

/// The change for what is marked.
pub(crate) fn change(index: &Index, dirty: &Dirty<Row>) -> Change {
    let mut change = Change { whole: matches!(dirty, Dirty::All), ..Change::default() };
    match dirty {
        Dirty::All => index.rows().for_each(|row| change.add(index, row)),
        Dirty::Keys(rows) => rows.iter().cloned().for_each(|row| change.add(index, row)),
    }
    change
}

impl Change {
    fn add(&mut self, index: &Index, row: Row) {
        match row {
            Row::Namespace(name) => {
                let exists = index.has_namespace(&name);
                self.namespaces.push((name, exists));
            }
            Row::Service(key) => {
                let entry = index.of(&key).and_then(|(service, slices)| entry(service, slices));
                self.services.push((key, entry));
            }
        }
    }
}

/// What the name of a service stands for.
fn entry(service: &ServiceView, slices: Option<&Slices>) -> Option<Entry> {
    let spec = &service.spec;
    if &*spec.kind == "ExternalName" {
        return external(&spec.external_name);
    }
    let hosts = hosts(slices, spec.publish_not_ready_addresses);
    if spec.is_headless() {
        return Some(Entry::Headless { hosts });
    }
    let given =
        if spec.cluster_ips.is_empty() { std::slice::from_ref(&spec.cluster_ip) } else { &*spec.cluster_ips };
    let ips: Box<[IpAddr]> = given.iter().filter_map(|ip| ip.parse().ok()).collect();
    (!ips.is_empty()).then(|| Entry::Cluster {
        ips,
        ports: spec.ports.iter().filter_map(service_port).collect(),
        hosts,
    })
}

/// An address is no name, so it makes no alias.
fn external(name: &str) -> Option<Entry> {
    if name.parse::<IpAddr>().is_ok() {
        return None;
    }
    let mut name = Name::from_ascii(name).ok()?.to_lowercase();
    name.set_fqdn(true);
    Some(Entry::External(name))
}

fn hosts(slices: Option<&Slices>, with_unready: bool) -> Box<[Host]> {
    let mut hosts: Vec<Host> = Vec::new();
    for slice in slices.into_iter().flat_map(|slices| slices.values()) {
        add_hosts(slice, with_unready, &mut hosts);
    }
    hosts.sort_by(|a, b| (&a.label, a.ip).cmp(&(&b.label, b.ip)));
    // Ports with several sets of target numbers put an endpoint into several slices.
    hosts.dedup_by(|next, kept| {
        let is_same = next.label == kept.label && next.ip == kept.ip;
        if is_same {
            let more = next.ports.iter().filter(|port| !kept.ports.contains(port));
            kept.ports = kept.ports.iter().chain(more).cloned().collect();
        }
        is_same
    });
    hosts.into()
}

fn add_hosts(slice: &EndpointSliceView, with_unready: bool, hosts: &mut Vec<Host>) {
    let ports: Arc<[Port]> = slice.ports.iter().filter_map(endpoint_port).collect();
    for endpoint in slice.endpoints.iter().filter(|e| with_unready || e.conditions.ready.unwrap_or(true)) {
        for ip in endpoint.addresses.iter().filter_map(|address| address.parse().ok()) {
            let (label, is_named) = label(endpoint, ip);
            hosts.push(Host { label, ip, is_named, ports: ports.clone() });
        }
    }
}

fn label(endpoint: &Endpoint, ip: IpAddr) -> (Box<str>, bool) {
    match endpoint.hostname.as_deref().filter(|name| !name.is_empty()) {
        Some(name) => (name.to_ascii_lowercase().into(), true),
        None => (dashed(ip).into(), false),
    }
}

/// An address as a label.
fn dashed(ip: IpAddr) -> String {
    let mut text = ip.to_string().replace(['.', ':'], "-");
    if text.ends_with('-') {
        text.push('0');
    }
    text
}

fn service_port(port: &ServicePort) -> Option<Port> {
    let number = u16::try_from(port.port).ok()?;
    Some(named_port(&port.name, &port.protocol, number))
}

fn endpoint_port(port: &EndpointPort) -> Option<Port> {
    let number = u16::try_from(port.port?).ok()?;
    Some(named_port(port.name.as_deref().unwrap_or(""), port.protocol.as_deref().unwrap_or(""), number))
}

fn named_port(name: &str, protocol: &str, number: u16) -> Port {
    let protocol = if protocol.is_empty() { "tcp".to_owned() } else { protocol.to_ascii_lowercase() };
    Port { name: name.to_ascii_lowercase().into(), protocol: protocol.into(), number }
}
