//! The command line.

use clap::{Args, Parser, Subcommand};
use proa_node_agent::EvictionHard;
use proa_operator_load_balancer::Pool;
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// A Kubernetes-compatible cluster in one binary.
#[derive(Parser)]
#[command(name = "proa", version = crate::VERSION, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start a cluster in the background and wait until its nodes are ready.
    Up(Up),
    /// Stop a cluster that runs in the background. Its data stays.
    Down(Named),
    /// Show whether a cluster runs, and what it holds.
    Status(Named),
    /// Run the core API with all operators in the foreground.
    Server(Server),
    /// Join a node to a cluster: containerd, agent, service proxy and DNS in the foreground.
    Node(Node),
    /// Run simulated nodes: their pods run without containers.
    Agent(Agent),
    /// Bring images to all nodes of a cluster on this machine, or list those that are there.
    #[command(subcommand)]
    Image(Image),
    /// Run one operator by itself, against any Kubernetes.
    Operator(Operator),
    /// Print a kubeconfig with a client certificate of its own.
    Kubeconfig(Kubeconfig),
    /// Print the version.
    Version,
}

/// Which cluster.
#[derive(Args, Clone, Debug)]
pub(crate) struct Named {
    /// Name of the cluster; several run side by side.
    #[arg(long, default_value = crate::settings::DEFAULT_NAME)]
    pub(crate) name: String,
    /// Where the cluster keeps everything [default: /var/lib/proa, or /var/lib/proa-NAME].
    #[arg(long)]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) server: Server,
    /// Seconds to wait for the nodes.
    #[arg(long, default_value_t = 60)]
    pub(crate) wait: u64,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Server {
    #[command(flatten)]
    pub(crate) cluster: Named,
    /// Port of the API [default: 6443, or one made from the name].
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Address to listen on.
    #[arg(long, default_value = "0.0.0.0")]
    pub(crate) listen: IpAddr,
    /// Address under which other machines reach the API; goes into the kubeconfig and into the endpoints of the
    /// Service `kubernetes` [default: the machine's own for endpoints, 127.0.0.1 in the kubeconfig].
    #[arg(long)]
    pub(crate) advertise: Option<IpAddr>,
    /// Further names and addresses of the serving certificate.
    #[arg(long)]
    pub(crate) tls_san: Vec<String>,
    /// Addresses of Services [default: 10.96.0.0/12, or a network made from the name].
    #[arg(long)]
    pub(crate) service_cidr: Option<String>,
    /// File with an EncryptionConfiguration: which objects are encrypted at rest, and with which keys.
    #[arg(long)]
    pub(crate) encryption_provider_config: Option<PathBuf>,
    /// Addresses of pods [default: 10.244.0.0/16, or a network made from the name].
    #[arg(long)]
    pub(crate) pod_cidr: Option<String>,
    /// Ports of NodePort Services [default: 30000-32767, or a range made from the name].
    #[arg(long)]
    pub(crate) node_ports: Option<String>,
    /// DNS domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Where objects are kept.
    #[arg(long, default_value = "embedded")]
    pub(crate) store: StoreKind,
    /// Operators to leave out, separated by commas; `all` leaves out every one.
    #[arg(long, value_delimiter = ',')]
    pub(crate) disable: Vec<String>,
    /// Each operator takes part in an election with replicas elsewhere (`proa operator NAME --leader-elect`): only the
    /// holder of its Lease acts.
    #[arg(long)]
    pub(crate) leader_elect: bool,
    /// Also run this many simulated nodes in the process.
    #[arg(long, default_value_t = 0)]
    pub(crate) simulate: u32,
    /// Nodes of this machine, with containerd and real containers. The first runs in the server's process and has the
    /// machine's network, each further one has a network namespace and a process of its own [default: 1 for `up`, 0 for
    /// `server`].
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=i64::from(crate::settings::MOST_NODES)))]
    pub(crate) nodes: Option<u32>,
    /// Name of the first node; the second appends `-2`, and so on [default: the machine's host name].
    #[arg(long)]
    pub(crate) node_name: Option<String>,
    /// Address of the first node [default: the address of the machine's default route].
    #[arg(long)]
    pub(crate) node_ip: Option<IpAddr>,
    /// Port of the first node's agent [default: 10250, or any free port for clusters of another name].
    #[arg(long)]
    pub(crate) agent_port: Option<u16>,
    /// Addresses of the further nodes; the first one is the machine's towards them [default: 10.245.0.0/24, or a network
    /// made from the name].
    #[arg(long)]
    pub(crate) node_link_cidr: Option<String>,
    /// When pods are evicted because a node runs short, as a kubelet's evictionHard, such as
    /// memory.available<100Mi,nodefs.available<5% [default: memory 100Mi, disks 5%].
    #[arg(long, value_name = "SIGNAL<VALUE,...")]
    pub(crate) eviction_hard: Option<EvictionHard>,
    /// Port on which nodes serve the HTTP of ingresses [default: 80, or one made from the name].
    #[arg(long)]
    pub(crate) ingress_http_port: Option<u16>,
    /// Port on which nodes serve the HTTPS of ingresses [default: 443, or one made from the name].
    #[arg(long)]
    pub(crate) ingress_https_port: Option<u16>,
    /// Addresses that Services of type LoadBalancer get, one of each family: networks, ranges and addresses, such as
    /// 192.0.2.0/28,2001:db8::/124,192.0.2.50-192.0.2.60, which the network routes to the nodes [default: the nodes'
    /// own addresses, shared by services with different ports].
    #[arg(long, value_name = "NETWORK,FIRST-LAST,...")]
    pub(crate) load_balancer_addresses: Option<Pool>,
    /// How long events are kept, in seconds.
    #[arg(long, default_value_t = 3600)]
    pub(crate) event_ttl: u64,
    #[command(flatten)]
    pub(crate) serving: crate::serving::Options,
    #[command(flatten)]
    pub(crate) access: crate::access::Options,
}

/// Where objects are kept.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreKind {
    /// In a log in the data directory.
    Embedded,
    /// Nowhere: gone when the process ends.
    Memory,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Node {
    #[command(flatten)]
    pub(crate) cluster: Named,
    /// Directory that says how the node reaches the cluster and who it is there: agent.kubeconfig,
    /// service-proxy.kubeconfig, dns.kubeconfig, local-path.kubeconfig, ingress-proxy.kubeconfig, agent.crt and agent.key,
    /// and ca.crt, who signs the clients of the agent.
    #[arg(long)]
    pub(crate) credentials: PathBuf,
    /// Name of the node, which its credentials are for.
    #[arg(long)]
    pub(crate) node_name: String,
    /// Address of the node.
    #[arg(long)]
    pub(crate) node_ip: IpAddr,
    /// Addresses of this node's pods, part of --pod-cidr. No other node may have them, and the other nodes need a route
    /// [default: what the cluster assigns in the Node's podCIDR].
    #[arg(long)]
    pub(crate) node_pod_cidr: Option<String>,
    /// Addresses of all pods.
    #[arg(long)]
    pub(crate) pod_cidr: String,
    /// Addresses of Services.
    #[arg(long)]
    pub(crate) service_cidr: String,
    /// DNS domain of the cluster.
    #[arg(long, default_value = "cluster.local")]
    pub(crate) cluster_domain: String,
    /// Address on which the agent listens.
    #[arg(long, default_value = "0.0.0.0")]
    pub(crate) listen: IpAddr,
    /// Port of the agent.
    #[arg(long, default_value_t = 10_250)]
    pub(crate) agent_port: u16,
    /// File that names the servers for names outside the cluster [default: the machine's].
    #[arg(long)]
    pub(crate) resolv_conf: Option<PathBuf>,
    /// When pods are evicted because the node runs short, as a kubelet's evictionHard, such as
    /// memory.available<100Mi,nodefs.available<5% [default: memory 100Mi, disks 5%].
    #[arg(long, value_name = "SIGNAL<VALUE,...")]
    pub(crate) eviction_hard: Option<EvictionHard>,
    /// Port on which the HTTP of ingresses is served.
    #[arg(long, default_value_t = 80)]
    pub(crate) ingress_http_port: u16,
    /// Port on which the HTTPS of ingresses is served.
    #[arg(long, default_value_t = 443)]
    pub(crate) ingress_https_port: u16,
    /// What the node leaves out; there is only ingress.
    #[arg(long, value_delimiter = ',', value_parser = ["ingress"])]
    pub(crate) disable: Vec<String>,
    /// Which of the cluster's nodes on this machine; what is not the first needs a network namespace of its own.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::settings::MOST_NODES)))]
    pub(crate) number: u32,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Agent {
    /// How many simulated nodes to run.
    #[arg(long)]
    pub(crate) simulate: u32,
    /// First part of the nodes' names.
    #[arg(long, default_value = "sim")]
    pub(crate) name_prefix: String,
    /// How to reach the API.
    #[arg(long, env = "KUBECONFIG")]
    pub(crate) kubeconfig: PathBuf,
    /// Time from a pod's binding until it runs.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub(crate) start_delay: Duration,
    /// Time from a pod's start until it is ready.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub(crate) ready_delay: Duration,
    /// Time from a pod's deletion until it is gone.
    #[arg(long, default_value = "0ms", value_parser = duration)]
    pub(crate) stop_delay: Duration,
    /// Time that the containers of pods that do not restart run.
    #[arg(long, default_value = "100ms", value_parser = duration)]
    pub(crate) run_time: Duration,
}

#[derive(Subcommand, Clone, Debug)]
pub(crate) enum Image {
    /// Load images from a file that `docker save` or `skopeo copy` wrote.
    Load {
        #[command(flatten)]
        cluster: Named,
        /// The file: docker-archive or OCI layout, as tar.
        file: PathBuf,
    },
    /// List the images of each node.
    Ls(Named),
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Operator {
    /// Name of the operator.
    pub(crate) operator: String,
    /// How to reach the API [default: KUBECONFIG, ~/.kube/config, or the pod's service account].
    #[arg(long)]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Print the RBAC rules that the operator needs, as JSON, and end.
    #[arg(long)]
    pub(crate) print_rules: bool,
    /// Take part in an election: only the holder of the operator's Lease acts.
    #[arg(long)]
    pub(crate) leader_elect: bool,
    /// Certificate of the authority that signs CertificateSigningRequests, as PEM; for `certificates`, which otherwise
    /// signs nothing.
    #[arg(long, requires = "cluster_signing_key_file")]
    pub(crate) cluster_signing_cert_file: Option<PathBuf>,
    /// Key of that authority, as PEM.
    #[arg(long, requires = "cluster_signing_cert_file")]
    pub(crate) cluster_signing_key_file: Option<PathBuf>,
    /// Addresses of all pods; for `node-ipam`, which otherwise gives nodes none.
    #[arg(long)]
    pub(crate) cluster_cidr: Option<ipnet::Ipv4Net>,
    /// Addresses that Services of type LoadBalancer get, as for the server; for `load-balancer`, which otherwise gives
    /// those of the nodes.
    #[arg(long, value_name = "NETWORK,FIRST-LAST,...")]
    pub(crate) load_balancer_addresses: Option<Pool>,
    /// Prefix length of a node's share of them.
    #[arg(long, default_value_t = 24)]
    pub(crate) node_cidr_mask_size: u8,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Kubeconfig {
    #[command(flatten)]
    pub(crate) cluster: Named,
    /// User that the certificate names.
    #[arg(long, default_value = "kubernetes-admin")]
    pub(crate) user: String,
    /// Groups that the certificate names; the default user gets system:masters.
    #[arg(long)]
    pub(crate) group: Vec<String>,
    /// Days that the certificate is valid.
    #[arg(long, default_value_t = 365)]
    pub(crate) days: u32,
}

/// `250ms`, `3s` or `2m`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("{text:?} has no number"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err(format!("{text:?} has no unit: ms, s or m")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("5").is_err() && duration("s").is_err());
    }
}
