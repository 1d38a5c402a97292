//! Where a cluster lives: everything that it uses follows from its name, so that several run side by side.

use crate::cli;
use anyhow::{Context, Result, bail};
use ipnet::Ipv4Net;
use proa_operator_load_balancer::Pool;
use proa_operator_node_ipam::PodNetwork;
use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// The cluster that is meant when none is named.
pub(crate) const DEFAULT_NAME: &str = "proa";
/// Most nodes of one cluster on one machine.
pub(crate) const MOST_NODES: u32 = 32;
/// Prefix length of a node's share of the pods' network, as upstream.
const NODE_PODS_BITS: u8 = 24;

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// First address.
    pub(crate) address: Ipv4Addr,
    /// Prefix length.
    pub(crate) bits: u8,
}

impl Network {
    /// From `ADDRESS/LENGTH`.
    ///
    /// # Errors
    /// It is no such network, or the address has bits behind the prefix.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let (address, bits) = text.split_once('/').context("has no prefix length")?;
        let (address, bits): (Ipv4Addr, u8) = (address.parse()?, bits.parse()?);
        if !(8..=30).contains(&bits) {
            bail!("the prefix length must be between 8 and 30");
        }
        let network = Self { address, bits };
        if u32::from(address) & !network.mask() != 0 {
            bail!("{address} has bits set behind the prefix");
        }
        Ok(network)
    }
    /// The nth address of the network.
    pub(crate) fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) + n)
    }
    /// How many addresses it has.
    pub(crate) fn size(self) -> u32 {
        1 << (32 - u32::from(self.bits))
    }
    fn mask(self) -> u32 {
        u32::MAX << (32 - u32::from(self.bits))
    }
    /// Whether the two have addresses in common.
    pub(crate) fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        u32::from(self.address) & mask == u32::from(other.address) & mask
    }
    /// Whether all of the other's addresses are its own.
    pub(crate) fn contains(self, other: Self) -> bool {
        self.bits <= other.bits && self.overlaps(other)
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

/// All settings of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) name: String,
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: IpAddr,
    /// Where the endpoints of the Service `kubernetes` point; never a loopback address, which upstream refuses there.
    pub(crate) advertise: IpAddr,
    /// Where the kubeconfig points.
    pub(crate) reached_at: IpAddr,
    pub(crate) port: u16,
    pub(crate) tls_san: Vec<String>,
    pub(crate) services: Network,
    pub(crate) pods: Network,
    /// Addresses that join the nodes of this machine behind the first.
    pub(crate) links: Network,
    pub(crate) node_ports: RangeInclusive<u16>,
    /// Where nodes serve ingresses: HTTP, HTTPS.
    pub(crate) ingress_ports: [u16; 2],
    pub(crate) domain: String,
}

/// What a node of a cluster puts on the machine besides its data. It follows from the cluster's name and the node's
/// number alone, so that `down` finds it again, whatever became of the processes that made it (N4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// `proa`, or `proa-NAME`; of further nodes with `.NUMBER`, which no cluster's name can have.
    pub(crate) instance: String,
    /// Bridge of the pods, in the node's network.
    pub(crate) bridge: String,
    /// The machine's end of the link to a further node.
    pub(crate) link: String,
    /// Cgroup above those of all pods.
    pub(crate) cgroup: String,
    /// Sockets and what else need not survive a restart of the machine.
    pub(crate) run: PathBuf,
}

impl Footprint {
    /// Of a cluster's node on this machine; the first one has number 1.
    pub(crate) fn of(cluster: &str, number: u32) -> Self {
        let first = instance(cluster);
        let instance = if number == 1 { first } else { format!("{first}.{number}") };
        let bridge = if cluster == DEFAULT_NAME { "proa0".to_owned() } else { link(cluster, 10) };
        Self {
            cgroup: format!("/{instance}"),
            run: Path::new("/run").join(&instance),
            link: format!("{}.{number}", link(cluster, 8)),
            bridge,
            instance,
        }
    }
}

/// `proa`, or `proa-NAME`.
pub(crate) fn instance(cluster: &str) -> String {
    if cluster == DEFAULT_NAME { DEFAULT_NAME.to_owned() } else { format!("{DEFAULT_NAME}-{cluster}") }
}

/// First part of the names of links, which have at most 15 characters: `proa`, with so many digits made from the name of
/// a cluster that is not the default one.
fn link(cluster: &str, digits: usize) -> String {
    let name = format!("{:016x}", hash(cluster));
    let digits = if cluster == DEFAULT_NAME { "" } else { &name[..digits] };
    format!("{DEFAULT_NAME}{digits}")
}

impl Settings {
    /// Completes what the command line leaves open from the cluster's name.
    pub(crate) fn new(server: &cli::Server) -> Result<Self> {
        let name = &server.cluster.name;
        check_name(name)?;
        let derived = Derived::of(name);
        let network = |given: &Option<String>, flag: &str, derived: Network| match given {
            Some(text) => Network::parse(text).with_context(|| format!("{flag} {text:?}")),
            None => Ok(derived),
        };
        let pods = network(&server.pod_cidr, "--pod-cidr", derived.pods)?;
        let settings = Self {
            name: name.clone(),
            data_dir: data_dir(&server.cluster)?,
            listen: server.listen,
            advertise: server.advertise.or_else(own_address).unwrap_or_else(|| IpAddr::V4(pods.nth(1))),
            reached_at: server.advertise.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: server.port.unwrap_or(derived.port),
            tls_san: server.tls_san.clone(),
            services: network(&server.service_cidr, "--service-cidr", derived.services)?,
            pods,
            links: network(&server.node_link_cidr, "--node-link-cidr", derived.links)?,
            node_ports: match &server.node_ports {
                Some(text) => ports(text).with_context(|| format!("--node-ports {text:?}"))?,
                None => derived.node_ports,
            },
            ingress_ports: [
                server.ingress_http_port.unwrap_or(derived.ingress_ports[0]),
                server.ingress_https_port.unwrap_or(derived.ingress_ports[1]),
            ],
            domain: server.cluster_domain.clone(),
        };
        if settings.ingress_ports[0] == settings.ingress_ports[1] {
            bail!("--ingress-http-port and --ingress-https-port are both {}", settings.ingress_ports[0]);
        }
        let nodes = server.nodes.unwrap_or(0);
        settings.check(nodes)?;
        if let Some(pool) = &server.load_balancer_addresses {
            settings.check_pool(pool, nodes)?;
        }
        if nodes > 1
            && let Some(address) = server.node_ip.filter(IpAddr::is_loopback)
        {
            bail!(
                "--node-ip {address}: with --nodes {nodes} the other nodes must reach the first one's address"
            );
        }
        Ok(settings)
    }

    /// Whether so many nodes can be on this machine.
    fn check(&self, nodes: u32) -> Result<()> {
        if nodes > 0 {
            self.pods_of(nodes)?;
        }
        if nodes < 2 {
            return Ok(());
        }
        let Self { links, pods, services, listen, .. } = self;
        for (network, flag) in [(pods, "--pod-cidr"), (services, "--service-cidr")] {
            if links.overlaps(*network) {
                bail!("--node-link-cidr {links} overlaps {flag} {network}");
            }
        }
        // The first address is the machine's, the last one that of a broadcast.
        if links.size() < nodes + 2 {
            bail!("--node-link-cidr {links} has room for {} nodes, not for {nodes}", links.size() - 2);
        }
        if listen.is_loopback() || listen.is_ipv6() && !listen.is_unspecified() {
            bail!(
                "--listen {listen}: with --nodes {nodes} the API must be reached by IPv4 from outside the machine's loopback"
            );
        }
        Ok(())
    }

    /// Whether services outside get no addresses that mean something inside.
    fn check_pool(&self, pool: &Pool, nodes: u32) -> Result<()> {
        let links = (nodes > 1).then_some((self.links, "--node-link-cidr"));
        for (network, flag) in
            [(self.services, "--service-cidr"), (self.pods, "--pod-cidr")].into_iter().chain(links)
        {
            if pool.overlaps(&(network.nth(0).into()..=network.nth(network.size() - 1).into())) {
                bail!("--load-balancer-addresses overlap {flag} {network}");
            }
        }
        Ok(())
    }

    /// Addresses of the pods of a node of this machine.
    ///
    /// # Errors
    /// There are not that many.
    pub(crate) fn pods_of(&self, number: u32) -> Result<Network> {
        let Self { pods, .. } = self;
        let share = Network { bits: pods.bits.max(NODE_PODS_BITS), ..*pods };
        let count = pods.size() / share.size();
        if number > count {
            bail!(
                "--pod-cidr {pods} has room for {count} of {number} nodes, which have {} addresses each",
                share.size()
            );
        }
        Ok(Network { address: pods.nth((number - 1) * share.size()), ..share })
    }
    /// How the pods' network is shared out among nodes that do not choose their share as those of this machine do.
    pub(crate) fn pod_network(&self) -> PodNetwork {
        let Network { address, bits } = self.pods;
        PodNetwork {
            network: Ipv4Net::new_assert(address, bits),
            node_bits: bits.max(NODE_PODS_BITS),
            reserved: MOST_NODES as usize,
        }
    }
    /// Where an agent listens: as widely as the API.
    pub(crate) fn listen_of_agent(&self) -> IpAddr {
        self.listen
    }
    /// `https://ADDRESS:PORT`.
    pub(crate) fn url(&self) -> String {
        match self.reached_at {
            IpAddr::V4(address) => format!("https://{address}:{}", self.port),
            IpAddr::V6(address) => format!("https://[{address}]:{}", self.port),
        }
    }
}

/// The address that the machine's default route uses. Connecting a datagram socket sends nothing.
fn own_address() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    socket.local_addr().ok().map(|a| a.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

fn check_name(name: &str) -> Result<()> {
    match proa_meta::names::is_dns1123_label(name).first() {
        Some(problem) => bail!("--name {name:?}: {problem}"),
        None => Ok(()),
    }
}

/// The cluster's directory, absolute.
pub(crate) fn data_dir(cluster: &cli::Named) -> Result<PathBuf> {
    check_name(&cluster.name)?;
    let dir = match &cluster.data_dir {
        Some(dir) => dir.clone(),
        None if cluster.name == DEFAULT_NAME => Path::new("/var/lib/proa").to_owned(),
        None => PathBuf::from(format!("/var/lib/proa-{}", cluster.name)),
    };
    std::path::absolute(&dir).with_context(|| format!("data directory {}", dir.display()))
}

fn ports(text: &str) -> Result<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').context("is no range such as 30000-32767")?;
    let (first, last): (u16, u16) = (first.parse()?, last.parse()?);
    if first == 0 || first > last {
        bail!("the first port must be at least 1 and at most the last");
    }
    Ok(first..=last)
}

/// What follows from a name.
struct Derived {
    port: u16,
    services: Network,
    pods: Network,
    links: Network,
    node_ports: RangeInclusive<u16>,
    ingress_ports: [u16; 2],
}

impl Derived {
    fn of(name: &str) -> Self {
        let network = |a, b, bits| Network { address: Ipv4Addr::new(10, a, b, 0), bits };
        if name == DEFAULT_NAME {
            return Self {
                port: 6443,
                services: network(96, 0, 12),
                pods: network(244, 0, 16),
                links: network(245, 0, 24),
                node_ports: 30_000..=32_767,
                ingress_ports: [80, 443],
            };
        }
        let hash = hash(name);
        let [a, b, c, d, e, f, g, h] = hash.to_be_bytes();
        // Services 10.112-127.x.0/20 lie in no default network; pods 10.128-191.0.0/16 and links 10.246-253.x.0/24 neither.
        Self {
            port: 20_000 + u16::from_be_bytes([a, b]) % 10_000,
            services: network(112 + c % 16, d & 0xf0, 20),
            pods: network(128 + d % 64, 0, 16),
            links: network(246 + f % 8, g, 24),
            node_ports: first_node_port(e)..=first_node_port(e) + (NODE_PORTS - 1),
            ingress_ports: [0, 1].map(|n| 4_000 + u16::from_be_bytes([g, h]) % 500 * 2 + n),
        }
    }
}

/// Node ports of a cluster that is not the default one.
const NODE_PORTS: u16 = 256;

/// Below the ports of APIs, in steps.
fn first_node_port(step: u8) -> u16 {
    10_000 + NODE_PORTS * (u16::from(step) % 39)
}

/// A number that stays the same for ever, since data directories outlive binaries: FNV-1a, its bits spread because the
/// hashes of short names differ in few.
fn hash(name: &str) -> u64 {
    let hash = proa_meta::fnv::hash(name.as_bytes());
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn networks_and_ports_are_checked() {
        assert_eq!(
            Network::parse("10.96.0.0/12").map(|n| n.nth(10)).ok(),
            Some(Ipv4Addr::new(10, 96, 0, 10))
        );
        for bad in ["10.96.0.1/12", "10.96.0.0", "x/8", "10.0.0.0/31"] {
            assert!(Network::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ports("30000-32767").ok(), Some(30_000..=32_767));
        for bad in ["0-5", "7-6", "7", "a-b"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }

    fn settings(flags: &[&str]) -> Result<Settings> {
        let words = ["proa", "server"].iter().chain(flags);
        match cli::Cli::try_parse_from(words)?.command {
            cli::Command::Server(server) => Settings::new(&server),
            _ => bail!("not the server"),
        }
    }

    #[test]
    fn each_node_has_pods_of_its_own() {
        let settings = settings(&["--nodes", "3"]).expect("three nodes fit");
        let pods: Vec<_> = (1..=3).map(|n| settings.pods_of(n).expect("a share").to_string()).collect();
        assert_eq!(pods, ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"]);
        assert!(settings.pods_of(257).is_err());
    }

    #[test]
    fn several_nodes_need_room() {
        for (flags, problem) in [
            (
                ["--nodes", "2", "--pod-cidr", "10.1.2.0/24"],
                "--pod-cidr 10.1.2.0/24 has room for 1 of 2 nodes",
            ),
            (["--nodes", "2", "--node-link-cidr", "10.100.0.0/24"], "overlaps --service-cidr 10.96.0.0/12"),
            (["--nodes", "2", "--node-link-cidr", "10.244.0.0/16"], "overlaps --pod-cidr 10.244.0.0/16"),
            (
                ["--nodes", "2", "--load-balancer-addresses", "10.111.0.0/16"],
                "overlap --service-cidr 10.96.0.0/12",
            ),
            (["--nodes", "2", "--load-balancer-addresses", "10.0.0.0-10.244.0.0"], "overlap --"),
            (["--nodes", "3", "--node-link-cidr", "10.1.0.0/30"], "has room for 2 nodes, not for 3"),
            (["--nodes", "2", "--node-link-cidr", "10.1.0.1/24"], "bits set behind the prefix"),
            (["--nodes", "2", "--listen", "127.0.0.1"], "--listen 127.0.0.1"),
            (["--nodes", "2", "--node-ip", "127.0.0.1"], "--node-ip 127.0.0.1"),
            (["--nodes", "33", "--store", "memory"], "33 is not in 0..=32"),
        ] {
            let refused = format!("{:#}", settings(&flags).expect_err(problem));
            assert!(refused.contains(problem), "{refused}");
        }
        let one = settings(&["--nodes", "1", "--listen", "127.0.0.1"]);
        assert!(one.is_ok(), "{one:?}");
    }

    #[test]
    fn names_lead_to_different_places() {
        let names = ["a", "b", "test", "dev", "dev-2", "prod", "proa-1", "proa-2"];
        let all: Vec<_> = names.into_iter().map(Derived::of).collect();
        for (i, one) in all.iter().enumerate() {
            for other in &all[..i] {
                assert_ne!(one.port, other.port);
                assert_ne!(one.services, other.services);
                assert_ne!(one.pods, other.pods);
            }
        }
        assert_eq!(Derived::of(DEFAULT_NAME).port, 6443);
        let bridges: std::collections::BTreeSet<_> =
            names.into_iter().map(|n| Footprint::of(n, 1).bridge).collect();
        assert_eq!(bridges.len(), names.len());
        assert!(bridges.iter().all(|bridge| bridge.len() <= 15));
        assert_eq!(Footprint::of(DEFAULT_NAME, 1).cgroup, "/proa");
        assert_eq!(Footprint::of("a", 2).instance, "proa-a.2");
    }
}
