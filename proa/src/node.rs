//! A node of this machine: containerd, the agent, the service proxy and DNS, wired together.
//!
//! Owns: where all of it lives, and its removal by `down`. Invariant: everything that a node puts on the machine besides
//! its data follows from the cluster's name ([`Footprint`]), so that it is found again whatever happened (N4).
//! A process that ends, in order or not, leaves containers running; the next one adopts them (N3).

use crate::{
    certificates::Pki,
    cli,
    settings::{Footprint, Network, Settings},
};
use anyhow::{Context, Result};
use kube::Client;
use proa_kit::{CachePool, RunConfig};
use proa_node_agent::{AgentConfig, ServerConfig};
use proa_operator_dns::DnsConfig;
use proa_operator_service_proxy::ProxyConfig;
use proa_runtime_shim::{
    Containerd,
    cni::{self, Subnet},
    daemon::{Daemon, DaemonConfig},
};
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Identities of the node's operators, besides the agent's own.
pub(crate) const PROXY: &str = "service-proxy";
pub(crate) const DNS: &str = "dns";
/// Pods that a node takes, as upstream.
const MAX_PODS: u32 = 110;
/// Default port of an agent, as upstream.
const AGENT_PORT: u16 = 10_250;
/// Prefix length of a node's share of the pods' network, as upstream.
const NODE_PODS_BITS: u8 = 24;
const DNS_PORT: u16 = 53;
/// Which service address DNS has.
pub(crate) const DNS_SERVICE: u32 = 10;

/// Where a cluster's node on this machine lives.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// What it puts on the machine.
    pub(crate) footprint: Footprint,
    dir: PathBuf,
}

impl Place {
    pub(crate) fn new(cluster: &cli::Named, data: &Path) -> Self {
        Self { footprint: Footprint::of(&cluster.name), dir: data.join("node") }
    }
    /// containerd's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.daemon().socket()
    }
    fn daemon(&self) -> DaemonConfig {
        DaemonConfig {
            root: self.dir.join("containerd"),
            state: self.footprint.run.clone(),
            shared: self.dir.join("pods"),
            cni_conf: self.dir.join("cni"),
            registries: self.dir.join("registries"),
            cgroup_parent: self.footprint.cgroup.clone(),
            links: vec![self.footprint.bridge.clone()],
        }
    }
}

/// A node, ready to be run.
pub(crate) struct Node {
    place: Place,
    agent: AgentConfig,
    proxy: ProxyConfig,
    dns: DnsConfig,
    /// Addresses of the node's pods.
    pods: Subnet,
}

/// Who the parts of a node are to the API.
pub(crate) struct Clients {
    /// `system:node:NAME`.
    pub(crate) agent: Client,
    /// The service proxy.
    pub(crate) proxy: Client,
    /// DNS.
    pub(crate) dns: Client,
}

/// RBAC rules of the node's operators.
pub(crate) fn rules() -> Vec<(&'static str, Value)> {
    vec![(PROXY, proa_operator_service_proxy::rules()), (DNS, proa_operator_dns::rules())]
}

impl Node {
    /// Completes what the command line leaves open.
    ///
    /// # Errors
    /// A certificate cannot be made.
    pub(crate) fn new(args: &cli::Server, settings: &Settings, pki: &Pki) -> Result<Self> {
        let place = Place::new(&args.cluster, &settings.data_dir);
        let name = args.node_name.clone().unwrap_or_else(host_name);
        let address = args.node_ip.unwrap_or(settings.advertise);
        let (certificate, key) = pki.agent_serving(&name, address)?;
        let own = Network { bits: settings.pods.bits.max(NODE_PODS_BITS), ..settings.pods };
        let pods = Subnet::parse(&own.to_string())?;
        let default_port = if settings.name == crate::settings::DEFAULT_NAME { AGENT_PORT } else { 0 };
        let agent = AgentConfig {
            node: name.clone(),
            address,
            labels: Vec::new(),
            root: place.dir.join("pods"),
            pod_logs: place.dir.join("logs"),
            pod_cidr: own.to_string(),
            cluster_dns: vec![IpAddr::V4(settings.services.nth(DNS_SERVICE))],
            cluster_domain: settings.domain.clone(),
            resolv_conf: resolv_conf(),
            cgroup_parent: place.footprint.cgroup.clone(),
            max_pods: MAX_PODS,
            server: ServerConfig {
                listen: SocketAddr::new(settings.listen_of_agent(), args.agent_port.unwrap_or(default_port)),
                certificate,
                key,
                client_ca: pki.client_ca_pem().as_bytes().to_vec(),
            },
        };
        let proxy = ProxyConfig {
            cluster: settings.name.clone(),
            node: name.clone(),
            pod_cidr: settings.pods.to_string().parse()?,
            node_pod_cidr: own.to_string().parse()?,
            service_cidr: settings.services.to_string().parse()?,
            bridge: place.footprint.bridge.clone(),
        };
        let network = |network: Network| (IpAddr::V4(network.address), network.bits);
        let dns = DnsConfig {
            domain: settings.domain.clone(),
            service_ip: IpAddr::V4(settings.services.nth(DNS_SERVICE)),
            reverse: vec![network(settings.services), network(settings.pods)],
            resolv_conf: resolv_conf(),
            ..DnsConfig::new(&name, vec![SocketAddr::new(IpAddr::V4(pods.gateway()), DNS_PORT)])
        };
        Ok(Self { place, agent, proxy, dns, pods })
    }

    /// Name of the node.
    pub(crate) fn name(&self) -> &str {
        &self.agent.node
    }

    /// Starts containerd or finds the one that runs, and makes the pods' bridge.
    ///
    /// # Errors
    /// A program is missing, or the network cannot be set up.
    pub(crate) async fn prepare(&self) -> Result<Daemon> {
        let (bridge, daemon) = (&self.place.footprint.bridge, self.place.daemon());
        cni::ensure_bridge(bridge, self.pods).with_context(|| format!("make the bridge {bridge}"))?;
        let addresses = self.place.dir.join("addresses");
        let network = cni::conflist(&self.place.footprint.instance, bridge, self.pods, &addresses, 0);
        std::fs::create_dir_all(&daemon.cni_conf).context("make the folder of network configurations")?;
        std::fs::write(daemon.cni_conf.join("10-pods.conflist"), network)
            .context("write the pods' network")?;
        Daemon::start_or_adopt(daemon).await.context("start containerd")
    }

    /// Runs everything until shutdown.
    pub(crate) async fn run(
        self,
        daemon: Daemon,
        clients: Clients,
        caches: CachePool,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let runtime = Containerd::connect(&self.place.socket()).await.context("connect to containerd")?;
        let config = RunConfig {
            caches: Some(caches),
            shutdown: shutdown.clone(),
            identity: self.agent.node.as_str().into(),
            ..RunConfig::default()
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(daemon.supervise(shutdown.clone()));
        tasks.spawn(proa_operator_service_proxy::run(clients.proxy, config.clone(), self.proxy));
        let dns = proa_operator_dns::run(clients.dns, config, self.dns);
        tasks.spawn(async move {
            if let Err(error) = dns.await {
                tracing::error!(%error, "the cluster has no DNS on this node");
            }
        });
        let agent = proa_node_agent::run(clients.agent, runtime, self.agent, shutdown.clone()).await;
        shutdown.cancelled().await;
        while tasks.join_next().await.is_some() {}
        agent.context("run the node agent")
    }
}

/// Takes everything of a node off the machine but its data: containers, mounts, network, cgroups. May be called whatever
/// is left of it.
///
/// # Errors
/// Something is left.
pub(crate) async fn clear(cluster: &cli::Named, data: &Path) -> Result<()> {
    let place = Place::new(cluster, data);
    Daemon::stop(place.daemon()).await.context("stop containerd and its containers")?;
    proa_operator_service_proxy::sweep(&cluster.name).await.context("remove the rules of services")
}

/// The machine's name as a node's: lower case, and a valid name.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().to_lowercase();
    let name = name.trim();
    if proa_meta::names::is_dns1123_subdomain(name).is_empty() {
        name.to_owned()
    } else {
        "node-0".to_owned()
    }
}

/// Where name servers of the machine stand. systemd-resolved's stub on 127.0.0.53 cannot be reached by pods.
fn resolv_conf() -> PathBuf {
    let real = Path::new("/run/systemd/resolve/resolv.conf");
    if real.exists() { real.to_owned() } else { PathBuf::from("/etc/resolv.conf") }
}

/// Asks the cluster's DNS for the name of the API until it answers.
pub(crate) async fn dns_answers(server: Ipv4Addr, domain: &str) {
    let question = question(&format!("kubernetes.default.svc.{domain}"));
    while ask(server, &question).await.is_none() {
        tokio::time::sleep(crate::background::LOOK).await;
    }
}

async fn ask(server: Ipv4Addr, question: &[u8]) -> Option<()> {
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect((server, 53)).await.ok()?;
    socket.send(question).await.ok()?;
    let mut answer = [0; 512];
    let patience = std::time::Duration::from_millis(200);
    let size = tokio::time::timeout(patience, socket.recv(&mut answer)).await.ok()?.ok()?;
    // No error, and at least one record.
    let is_answer = size > 12 && answer[..2] == question[..2] && answer[3] & 0xf == 0 && answer[7] > 0;
    is_answer.then_some(())
}

/// A query for the IPv4 address of a name (RFC 1035, section 4.1).
fn question(name: &str) -> Vec<u8> {
    let mut query = vec![0x70, 0x72, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        // Labels of names that were checked are shorter than 64.
        query.push(u8::try_from(label.len()).unwrap_or(63));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_laid_out_as_dns_wants_it() {
        let query = question("a.bc");
        assert_eq!(&query[12..], b"\x01a\x02bc\0\0\x01\0\x01");
    }

    #[test]
    fn the_machines_name_can_name_a_node() {
        assert!(proa_meta::names::is_dns1123_subdomain(&host_name()).is_empty());
    }
}
