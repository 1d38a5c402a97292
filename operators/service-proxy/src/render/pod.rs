//! What a pod of this node has in the table: its host ports, and that it may reach itself through a service. Pure.
//!
//! Upstream: the CNI plugin `portmap`; pkg/proxy/nftables (hairpin connections).

use super::part::{Destination, HAIRPIN, HOST_PORTS, HOST_PORTS_AT, Part, Protocol, at, on, port};
use proa_kit::views::{
    PodView,
    pod_spec::{Container, ContainerPort},
};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddrV4},
};

/// The part of a pod.
pub(super) fn part(pod: &PodView) -> Part {
    let mut part = Part::default();
    let Some(address) = address(pod).filter(|_| !pod.spec.host_network && !pod.is_terminal()) else {
        return part;
    };
    part.element(HAIRPIN, format!("{address} . {address}"), "");
    let sidecars = pod.spec.init_containers.iter().filter(is_sidecar);
    for own in sidecars.chain(&pod.spec.containers).flat_map(|container| &container.ports) {
        host_port(&mut part, address, own);
    }
    part
}

fn is_sidecar(container: &&Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn address(pod: &PodView) -> Option<Ipv4Addr> {
    let listed = pod.status.pod_ips.iter().map(|ip| &ip.ip);
    listed.chain([&pod.status.pod_ip]).find_map(|ip| ip.parse().ok())
}

fn host_port(part: &mut Part, address: Ipv4Addr, own: &ContainerPort) {
    let (Some(outside), Some(inside)) = (port(own.host_port), port(own.container_port)) else { return };
    let Some(protocol) = Protocol::of(&own.protocol) else { return };
    let destination = match own.host_ip.parse::<Ipv4Addr>() {
        Ok(ip) if !ip.is_unspecified() => {
            part.element(HOST_PORTS_AT, at(ip, protocol, outside), format!("{address} . {inside}"));
            Destination::At(SocketAddrV4::new(ip, outside))
        }
        // An address of the other family alone asks for nothing that this table has.
        Err(_) if !own.host_ip.is_empty() => return,
        _ => {
            part.element(HOST_PORTS, on(protocol, outside), format!("{address} . {inside}"));
            Destination::Node(outside)
        }
    };
    if protocol == Protocol::Udp {
        part.datagrams.insert(destination, BTreeSet::from([SocketAddrV4::new(address, inside)]));
    }
}
