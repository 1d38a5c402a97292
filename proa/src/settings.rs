//! Where a cluster lives: everything that it uses follows from its name, so that several run side by side.

use crate::cli;
use anyhow::{Context, Result, bail};
use std::{
    net::{IpAddr, Ipv4Addr},
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

/// The cluster that is meant when none is named.
pub(crate) const DEFAULT_NAME: &str = "proa";

/// An IPv4 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    /// First address.
    pub(crate) address: Ipv4Addr,
    /// Prefix length.
    pub(crate) bits: u8,
}

impl Network {
    fn parse(text: &str) -> Result<Self> {
        let (address, bits) = text.split_once('/').context("has no prefix length")?;
        let (address, bits): (Ipv4Addr, u8) = (address.parse()?, bits.parse()?);
        if !(8..=30).contains(&bits) {
            bail!("the prefix length must be between 8 and 30");
        }
        let mask = u32::MAX << (32 - u32::from(bits));
        if u32::from(address) & !mask != 0 {
            bail!("{address} has bits set behind the prefix");
        }
        Ok(Self { address, bits })
    }
    /// The nth address of the network.
    pub(crate) fn nth(self, n: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.address) + n)
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
    pub(crate) node_ports: RangeInclusive<u16>,
    pub(crate) domain: String,
}

/// What a cluster's nodes put on the machine besides their data. It follows from the name alone, so that `down` finds
/// it again, whatever became of the processes that made it (N4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// `proa`, or `proa-NAME`.
    pub(crate) instance: String,
    /// Bridge of the pods.
    pub(crate) bridge: String,
    /// Cgroup above those of all pods.
    pub(crate) cgroup: String,
    /// Sockets and what else need not survive a restart of the machine.
    pub(crate) run: PathBuf,
}

impl Footprint {
    pub(crate) fn of(name: &str) -> Self {
        let is_default = name == DEFAULT_NAME;
        let instance = if is_default { DEFAULT_NAME.to_owned() } else { format!("{DEFAULT_NAME}-{name}") };
        // Names of links have at most 15 characters.
        let bridge = if is_default { "proa0".to_owned() } else { format!("proa{:010x}", hash(name) >> 24) };
        Self { cgroup: format!("/{instance}"), run: Path::new("/run").join(&instance), bridge, instance }
    }
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
        Ok(Self {
            name: name.clone(),
            data_dir: data_dir(&server.cluster)?,
            listen: server.listen,
            advertise: server.advertise.or_else(own_address).unwrap_or_else(|| IpAddr::V4(pods.nth(1))),
            reached_at: server.advertise.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: server.port.unwrap_or(derived.port),
            tls_san: server.tls_san.clone(),
            services: network(&server.service_cidr, "--service-cidr", derived.services)?,
            pods,
            node_ports: match &server.node_ports {
                Some(text) => ports(text).with_context(|| format!("--node-ports {text:?}"))?,
                None => derived.node_ports,
            },
            domain: server.cluster_domain.clone(),
        })
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
    node_ports: RangeInclusive<u16>,
}

impl Derived {
    fn of(name: &str) -> Self {
        let network = |a, b, bits| Network { address: Ipv4Addr::new(10, a, b, 0), bits };
        if name == DEFAULT_NAME {
            return Self {
                port: 6443,
                services: network(96, 0, 12),
                pods: network(244, 0, 16),
                node_ports: 30_000..=32_767,
            };
        }
        let hash = hash(name);
        let [a, b, c, d, e, ..] = hash.to_be_bytes();
        // Services 10.112-127.x.0/20 lie in no default network; pods 10.128-191.0.0/16 neither.
        Self {
            port: 20_000 + u16::from_be_bytes([a, b]) % 10_000,
            services: network(112 + c % 16, d & 0xf0, 20),
            pods: network(128 + d % 64, 0, 16),
            node_ports: first_node_port(e)..=first_node_port(e) + (NODE_PORTS - 1),
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
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            names.into_iter().map(|n| Footprint::of(n).bridge).collect();
        assert_eq!(bridges.len(), names.len());
        assert!(bridges.iter().all(|bridge| bridge.len() <= 15));
        assert_eq!(Footprint::of(DEFAULT_NAME).cgroup, "/proa");
    }
}
