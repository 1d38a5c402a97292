//! A node: containerd, the agent, the service proxy, DNS and the provisioner of its directories, wired together in one
//! process.
//!
//! Owns: where all of it lives. Invariant: everything that a node puts on the machine besides its data follows from the
//! cluster's name and the node's number ([`Footprint`]), so that it is found again whatever happened (N4).
//! A process that ends, in order or not, leaves containers running; the next one adopts them (N3).

use crate::{
    certificates::Pki,
    cli, operators,
    settings::{Footprint, Network, Settings},
};
use anyhow::{Context, Result};
use kube::Client;
use proa_kit::{CachePool, RunConfig};
use proa_node_agent::{AgentConfig, EvictionHard, ServerConfig};
use proa_operator_dns::DnsConfig;
use proa_operator_ingress::{Ingress, IngressConfig};
use proa_operator_local_path::LocalPathConfig;
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
pub(crate) const LOCAL_PATH: &str = "local-path";
pub(crate) const INGRESS: &str = "ingress-proxy";
/// Pods that a node takes, as upstream.
const MAX_PODS: u32 = 110;
/// Default port of an agent, as upstream.
pub(crate) const AGENT_PORT: u16 = 10_250;
const DNS_PORT: u16 = 53;
/// Which service address DNS has.
pub(crate) const DNS_SERVICE: u32 = 10;

/// Where a cluster's node on this machine lives.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// What it puts on the machine.
    pub(crate) footprint: Footprint,
    /// What it keeps.
    pub(crate) dir: PathBuf,
    /// Where its images come from; the same for all nodes of the machine.
    registries: PathBuf,
    /// Links that go with it.
    links: Vec<String>,
}

impl Place {
    /// Of the first node, which has the machine's network, or of a further one.
    pub(crate) fn new(cluster: &str, data: &Path, number: u32) -> Self {
        let footprint = Footprint::of(cluster, number);
        let first = data.join("node");
        let registries = first.join("registries");
        if number == 1 {
            let links = vec![footprint.bridge.clone()];
            return Self { footprint, dir: first, registries, links };
        }
        // The links of a further node go with its network namespace.
        Self { footprint, dir: data.join("nodes").join(number.to_string()), registries, links: Vec::new() }
    }
    /// containerd's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.daemon().socket()
    }
    pub(crate) fn daemon(&self) -> DaemonConfig {
        DaemonConfig {
            root: self.dir.join("containerd"),
            state: self.footprint.run.clone(),
            shared: self.dir.join("pods"),
            cni_conf: self.dir.join("cni"),
            addresses: self.dir.join("addresses"),
            registries: self.registries.clone(),
            cgroup_parent: self.footprint.cgroup.clone(),
            links: self.links.clone(),
        }
    }
}

/// A node, ready to be run.
pub(crate) struct Node {
    place: Place,
    agent: AgentConfig,
    proxy: ProxyConfig,
    dns: DnsConfig,
    local_path: LocalPathConfig,
    ingress: Option<IngressConfig>,
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
    /// The provisioner.
    pub(crate) local_path: Client,
    /// What serves ingresses, where it does.
    pub(crate) ingress: Option<Client>,
}

/// RBAC rules of the node's operators.
pub(crate) fn rules() -> Vec<(&'static str, Value)> {
    vec![
        (PROXY, proa_operator_service_proxy::rules()),
        (DNS, proa_operator_dns::rules()),
        (LOCAL_PATH, proa_operator_local_path::rules()),
        (INGRESS, proa_operator_ingress::node_rules()),
    ]
}

/// What a node is told about itself and its cluster.
pub(crate) struct NodeSettings {
    pub(crate) place: Place,
    /// Name of the cluster.
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    /// Addresses of its own pods, of all pods, of services.
    pub(crate) own_pods: Network,
    pub(crate) pods: Network,
    pub(crate) services: Network,
    pub(crate) domain: String,
    /// Names the servers for names outside the cluster.
    pub(crate) resolv_conf: PathBuf,
    pub(crate) eviction_hard: EvictionHard,
    /// Where ingresses are served: HTTP, HTTPS.
    pub(crate) ingress: Option<[SocketAddr; 2]>,
    /// How the agent serves.
    pub(crate) server: ServerConfig,
}

impl NodeSettings {
    /// Of the node in the server's process; completes what the command line leaves open.
    ///
    /// # Errors
    /// A certificate cannot be made.
    pub(crate) fn of_server(args: &cli::Server, settings: &Settings, pki: &Pki) -> Result<Self> {
        let name = args.node_name.clone().unwrap_or_else(host_name);
        let address = args.node_ip.unwrap_or(settings.advertise);
        let (certificate, key) = pki.agent_serving(&name, address)?;
        let default_port = if settings.name == crate::settings::DEFAULT_NAME { AGENT_PORT } else { 0 };
        let listen = SocketAddr::new(settings.listen_of_agent(), args.agent_port.unwrap_or(default_port));
        Ok(Self {
            place: Place::new(&settings.name, &settings.data_dir, 1),
            cluster: settings.name.clone(),
            name,
            address,
            own_pods: settings.pods_of(1)?,
            pods: settings.pods,
            services: settings.services,
            domain: settings.domain.clone(),
            resolv_conf: resolv_conf(),
            eviction_hard: args.eviction_hard.clone().unwrap_or_default(),
            ingress: operators::serves_ingress(&args.disable)
                .then(|| settings.ingress_ports.map(|port| SocketAddr::new(settings.listen, port))),
            server: ServerConfig {
                listen,
                certificate,
                key,
                client_ca: pki.client_ca_pem().as_bytes().to_vec(),
            },
        })
    }
}

impl Node {
    /// Settles what its parts are told.
    ///
    /// # Errors
    /// The networks are none that pods can have.
    pub(crate) fn new(settings: NodeSettings) -> Result<Self> {
        let NodeSettings {
            place,
            cluster,
            name,
            address,
            own_pods,
            domain,
            resolv_conf,
            eviction_hard,
            ingress,
            server,
            ..
        } = settings;
        let (all_pods, services) = (settings.pods, settings.services);
        let pods = Subnet::parse(&own_pods.to_string())?;
        let agent = AgentConfig {
            node: name.clone(),
            address,
            labels: Vec::new(),
            root: place.dir.join("pods"),
            pod_logs: place.dir.join("logs"),
            pod_cidr: own_pods.to_string(),
            cluster_dns: vec![IpAddr::V4(services.nth(DNS_SERVICE))],
            cluster_domain: domain.clone(),
            resolv_conf: resolv_conf.clone(),
            cgroup_parent: place.footprint.cgroup.clone(),
            max_pods: MAX_PODS,
            eviction_hard,
            server,
        };
        let proxy = ProxyConfig {
            cluster,
            node: name.clone(),
            pod_cidr: all_pods.to_string().parse()?,
            node_pod_cidr: own_pods.to_string().parse()?,
            service_cidr: services.to_string().parse()?,
            bridge: place.footprint.bridge.clone(),
        };
        let network = |network: Network| (IpAddr::V4(network.address), network.bits);
        let dns = DnsConfig {
            domain,
            service_ip: IpAddr::V4(services.nth(DNS_SERVICE)),
            reverse: vec![network(services), network(all_pods)],
            resolv_conf,
            ..DnsConfig::new(&name, vec![SocketAddr::new(IpAddr::V4(pods.gateway()), DNS_PORT)])
        };
        let ingress = ingress.map(|[http, https]| IngressConfig { node: name.clone(), address, http, https });
        let local_path = LocalPathConfig { node: name, root: place.dir.join("volumes") };
        Ok(Self { place, agent, proxy, dns, local_path, ingress, pods })
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
        let network = cni::conflist(&self.place.footprint.instance, bridge, self.pods, &daemon.addresses, 0);
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
        caches: Option<CachePool>,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let runtime = Containerd::connect(&self.place.socket()).await.context("connect to containerd")?;
        let config = RunConfig {
            caches,
            shutdown: shutdown.clone(),
            identity: self.agent.node.as_str().into(),
            ..RunConfig::default()
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(daemon.supervise(shutdown.clone()));
        tasks.spawn(proa_operator_service_proxy::run(clients.proxy, config.clone(), self.proxy));
        if let (Some(ingress), Some(client)) = (self.ingress, clients.ingress) {
            tasks.spawn(serve_ingress(ingress, client, config.clone()));
        }
        tasks.spawn(proa_operator_local_path::run(clients.local_path, config.clone(), self.local_path));
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

/// What cannot be had of it is told by itself; the node goes on.
async fn serve_ingress(ingress: IngressConfig, client: Client, config: RunConfig) {
    match Ingress::new(&ingress, &config) {
        Ok(ingress) => ingress.run(client, config).await,
        Err(error) => tracing::error!(%error, "this node serves no ingress"),
    }
}

/// The machine's name as a node's: lower case, and a valid name.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().to_lowercase();
    let name = name.trim();
    if proa_meta::names::is_dns1123_subdomain(name).is_empty() {
        name.to_owned()
    } else {
        "node-0".to_owned()
    }
}

/// Where name servers of the machine stand. systemd-resolved's stub on 127.0.0.53 cannot be reached by pods.
pub(crate) fn resolv_conf() -> PathBuf {
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
