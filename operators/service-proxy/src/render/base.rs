//! The fixed part of the table: maps, hooks, and what is masqueraded. Pure.
//!
//! Order of a packet: what a guard keeps away is dropped before addresses are changed; then services, host ports and node
//! ports give it a new destination; what still bears the address of a service afterwards is refused; when it leaves, its
//! source is masqueraded if the answer would not come back otherwise:
//! - a pod that reached itself, - loopback addresses of the node, - what [`MASQUERADE`] marked, - pods that leave the cluster.
//!
//! Upstream: pkg/proxy/nftables/proxier.go (setupNFTables).

use super::part::{
    GUARDED, HAIRPIN, HOST_PORTS, HOST_PORTS_AT, NODE_PORTS, REFUSED, REFUSED_NODE_PORTS, SERVICES,
};
use crate::ProxyConfig;

/// Marks a packet whose source is to be masqueraded, with the bit that Kubernetes uses for it everywhere.
pub(crate) const MASQUERADE: &str = "meta mark set meta mark or 0x4000";

/// Maps and sets that parts share, and their types.
const SHARED: [(&str, &str, &str); 8] = [
    ("map", SERVICES, "ipv4_addr . inet_proto . inet_service : verdict"),
    ("map", NODE_PORTS, "inet_proto . inet_service : verdict"),
    ("map", REFUSED, "ipv4_addr . inet_proto . inet_service : verdict"),
    ("map", REFUSED_NODE_PORTS, "inet_proto . inet_service : verdict"),
    ("map", GUARDED, "ipv4_addr . inet_proto . inet_service : verdict"),
    ("map", HOST_PORTS, "inet_proto . inet_service : ipv4_addr . inet_service"),
    ("map", HOST_PORTS_AT, "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service"),
    ("set", HAIRPIN, "ipv4_addr . ipv4_addr"),
];

/// A chain: its hook, if any, and its rules.
type Chain = (&'static str, &'static str, Vec<String>);

const BY_ADDRESS: &str = "ip daddr . meta l4proto . th dport";
const BY_PORT: &str = "meta l4proto . th dport";

/// Shared maps and sets: `map` or `set`, and the name.
pub fn shared() -> impl Iterator<Item = (&'static str, &'static str)> {
    SHARED.iter().map(|(what, name, _)| (*what, *name))
}

/// Commands that make the fixed part in a table whose rules were flushed. `bridge_is_filtered` tells whether packets
/// inside the bridge pass the hooks; if not, answers inside it would bypass them, so clients in it are masqueraded.
pub fn commands(config: &ProxyConfig, bridge_is_filtered: bool) -> Vec<String> {
    let table = config.table();
    let chains = chains(config, bridge_is_filtered);
    let shared =
        SHARED.iter().map(|(what, name, kind)| format!("add {what} ip {table} {name} {{ type {kind} ; }}"));
    let hooks = chains.iter().map(|(name, hook, _)| match *hook {
        "" => format!("add chain ip {table} {name}"),
        hook => format!("add chain ip {table} {name} {{ type {hook} ; policy accept ; }}"),
    });
    let rules = chains.iter().flat_map(|(name, _, rules)| rules.iter().map(move |rule| (name, rule)));
    let rules = rules.map(|(name, rule)| format!("add rule ip {table} {name} {rule}"));
    shared.chain(hooks).chain(rules).collect()
}

/// Names of the fixed chains.
pub fn names(config: &ProxyConfig) -> Vec<&'static str> {
    chains(config, true).into_iter().map(|(name, _, _)| name).collect()
}

fn chains(config: &ProxyConfig, bridge_is_filtered: bool) -> Vec<Chain> {
    let to_services = || vec!["jump destinations".to_owned()];
    vec![
        ("refuse", "", vec!["meta l4proto tcp reject with tcp reset".to_owned(), "reject".to_owned()]),
        ("destinations", "", destinations(config)),
        ("filter-prerouting", "filter hook prerouting priority -110", before(config)),
        ("filter-output", "filter hook output priority -110", vec![guard()]),
        ("nat-prerouting", "nat hook prerouting priority -100", to_services()),
        ("nat-output", "nat hook output priority -100", to_services()),
        ("refuse-prerouting", "filter hook prerouting priority -90", refused(config)),
        ("refuse-output", "filter hook output priority -90", refused(config)),
        ("nat-postrouting", "nat hook postrouting priority 100", sources(config, bridge_is_filtered)),
    ]
}

fn guard() -> String {
    format!("ct state new {BY_ADDRESS} vmap @{GUARDED}")
}

/// `route_localnet` lets loopback addresses through the bridge for answers, whose addresses are changed back later. What
/// bears one already when it arrives is forged.
fn before(config: &ProxyConfig) -> Vec<String> {
    let forged = |side| format!("iifname \"{}\" ip {side} 127.0.0.0/8 drop", config.bridge);
    vec![forged("daddr"), forged("saddr"), guard()]
}

fn destinations(config: &ProxyConfig) -> Vec<String> {
    let (services, pods) = (config.service_cidr, config.pod_cidr);
    let with_ports = "meta l4proto { tcp, udp, sctp }";
    vec![
        format!("ip daddr {services} ip saddr != {pods} {MASQUERADE}"),
        format!("{BY_ADDRESS} vmap @{SERVICES}"),
        "fib daddr type != local return".to_owned(),
        format!("{with_ports} dnat ip to {BY_ADDRESS} map @{HOST_PORTS_AT}"),
        format!("{with_ports} dnat ip to {BY_PORT} map @{HOST_PORTS}"),
        format!("{BY_PORT} vmap @{NODE_PORTS}"),
    ]
}

/// Before routing: a forwarded packet that leaves by the bridge it came from makes the kernel send a redirect, and that
/// uses up the rate at which it would send the refusal of a datagram.
fn refused(config: &ProxyConfig) -> Vec<String> {
    vec![
        format!("ct state new {BY_ADDRESS} vmap @{REFUSED}"),
        format!("ct state new ip daddr {} goto refuse", config.service_cidr),
        format!("ct state new fib daddr type local {BY_PORT} vmap @{REFUSED_NODE_PORTS}"),
    ]
}

fn sources(config: &ProxyConfig, bridge_is_filtered: bool) -> Vec<String> {
    let ProxyConfig { pod_cidr, node_pod_cidr, bridge, .. } = config;
    let mut rules = vec![
        format!("ip saddr . ip daddr @{HAIRPIN} masquerade fully-random"),
        format!("oifname \"{bridge}\" ip saddr 127.0.0.0/8 masquerade fully-random"),
        "ct status dnat meta mark & 0x4000 == 0x4000 meta mark set meta mark xor 0x4000 masquerade fully-random"
            .to_owned(),
        // 224.0.0.0/3 is multicast and broadcast, which no one answers.
        format!("ip saddr {node_pod_cidr} ip daddr != {{ {pod_cidr}, 224.0.0.0/3 }} masquerade fully-random"),
    ];
    if !bridge_is_filtered {
        rules.push(format!(
            "oifname \"{bridge}\" ip saddr {node_pod_cidr} ct status dnat masquerade fully-random"
        ));
    }
    rules
}
