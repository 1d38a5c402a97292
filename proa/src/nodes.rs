//! Further nodes of a cluster on this machine: each is `proa node` in a network namespace of its own.
//!
//! The server gives each its credentials, its addresses and its share of the pods' network, starts it, and starts it
//! again when it ends. A node that was left by a server that was killed is ended first: its containers go on and the
//! new process takes them over (N3). `down` finds everything by name, without a server (N4).

mod namespace;

use crate::{
    certificates::Pki,
    cli, join,
    node::{self, Place},
    operators, process,
    settings::{Footprint, MOST_NODES, Network, Settings},
};
use anyhow::{Context, Result};
use namespace::{Addresses, Namespace};
use proa_policy::bootstrap::operator_name;
use proa_runtime_shim::daemon::Daemon;
use std::{
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{process::Child, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

/// How long a node may take to end; its containers stay.
const END_WITHIN: Duration = Duration::from_secs(10);
/// Waits between starts that fail.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// A node that ran this long failed for a new reason.
const STEADY: Duration = Duration::from_secs(60);

/// One further node.
#[derive(Clone, Debug)]
pub(crate) struct Further {
    number: u32,
    name: String,
    data: PathBuf,
    dir: PathBuf,
    namespace: Namespace,
    addresses: Addresses,
    /// What nodes of the cluster share.
    cluster: String,
    links: Network,
    pods: Network,
    arguments: Vec<String>,
}

/// The further nodes that the command line asks for, with their credentials in place.
///
/// # Errors
/// A certificate or a file cannot be made.
pub(crate) fn further(args: &cli::Server, settings: &Settings, pki: &Pki) -> Result<Vec<Further>> {
    let first = args.node_name.clone().unwrap_or_else(node::host_name);
    let count = args.nodes.unwrap_or(0);
    (2..=count).map(|number| Further::new(number, format!("{first}-{number}"), args, settings, pki)).collect()
}

impl Further {
    fn new(number: u32, name: String, args: &cli::Server, settings: &Settings, pki: &Pki) -> Result<Self> {
        let place = Place::new(&settings.name, &settings.data_dir, number);
        let addresses = Addresses {
            machine: settings.links.nth(1),
            node: settings.links.nth(number),
            pods: settings.pods_of(number)?,
        };
        let credentials = place.dir.join("credentials");
        let api =
            if settings.listen.is_unspecified() { IpAddr::V4(addresses.machine) } else { settings.listen };
        let server = format!("https://{api}:{}", settings.port);
        let operator = |name: &'static str| (name, operator_name(name), Vec::new());
        let users = [
            (join::AGENT, format!("system:node:{name}"), vec!["system:nodes".to_owned()]),
            operator(node::PROXY),
            operator(node::DNS),
            operator(node::LOCAL_PATH),
            operator(node::INGRESS),
        ];
        let address = IpAddr::V4(addresses.node);
        pki.write_node_credentials(&credentials, &name, address, &server, &settings.name, &users)?;
        let resolv_conf = place.dir.join("resolv.conf");
        let of_machine = node::resolv_conf();
        let text = fs::read_to_string(&of_machine).unwrap_or_default();
        fs::write(&resolv_conf, reachable_servers(&text, settings.pods.nth(1)))
            .with_context(|| format!("write {}", resolv_conf.display()))?;
        let options = [
            ("--name", settings.name.clone()),
            ("--data-dir", settings.data_dir.display().to_string()),
            ("--number", number.to_string()),
            ("--credentials", credentials.display().to_string()),
            ("--node-name", name.clone()),
            ("--node-ip", address.to_string()),
            ("--node-pod-cidr", addresses.pods.to_string()),
            ("--pod-cidr", settings.pods.to_string()),
            ("--service-cidr", settings.services.to_string()),
            ("--cluster-domain", settings.domain.clone()),
            ("--resolv-conf", resolv_conf.display().to_string()),
            ("--ingress-http-port", settings.ingress_ports[0].to_string()),
            ("--ingress-https-port", settings.ingress_ports[1].to_string()),
        ];
        let serves = operators::serves_ingress(&args.disable);
        let without = (!serves).then(|| ("--disable", "ingress".to_owned()));
        let hard = args.eviction_hard.as_ref().map(|hard| ("--eviction-hard", hard.to_string()));
        Ok(Self {
            number,
            name,
            data: settings.data_dir.clone(),
            dir: place.dir,
            namespace: Namespace::of(&place.footprint),
            addresses,
            cluster: settings.name.clone(),
            links: settings.links,
            pods: settings.pods,
            arguments: options
                .into_iter()
                .chain(hard)
                .chain(without)
                .flat_map(|(option, value)| [option.to_owned(), value])
                .collect(),
        })
    }

    fn log(&self) -> PathBuf {
        self.dir.join("proa.log")
    }

    /// Ends a process that an earlier server left, makes the network, and starts the node.
    async fn start(&self) -> Result<Child> {
        let node = self.clone();
        let runtime = tokio::runtime::Handle::current();
        let started = tokio::task::spawn_blocking(move || {
            end(&node.data, node.number);
            node.namespace.ensure(&node.addresses)?;
            namespace::open_to_outside(&node.cluster, node.links, node.pods)?;
            let log = File::options().create(true).append(true).open(node.log())?;
            // The file that this process was started from may have been replaced.
            let mut command = tokio::process::Command::new("/proc/self/exe");
            command.arg0("proa").arg("node").args(&node.arguments).stdin(Stdio::null());
            command.stdout(log.try_clone()?).stderr(log).process_group(0);
            node.namespace.enter(&node.name, move || {
                let _inside = runtime.enter();
                command.spawn()
            })
        });
        started.await.context("start a node")?
    }

    /// Keeps the node running until shutdown; then it ends, and its containers stay.
    async fn keep(self, shutdown: CancellationToken) {
        let mut backoff = BACKOFF.0;
        while !shutdown.is_cancelled() {
            let begun = Instant::now();
            match self.start().await {
                Err(error) => tracing::error!(node = self.name, "a node cannot be started: {error:#}"),
                Ok(mut child) => {
                    tracing::info!(node = self.name, address = %self.addresses.node, log = %self.log().display(), "started");
                    tokio::select! {
                        () = shutdown.cancelled() => return self.stop(child).await,
                        status = child.wait() => {
                            tracing::warn!(node = self.name, ?status, log = %self.log().display(), "a node ended; it is started again");
                        }
                    }
                }
            }
            if begun.elapsed() > STEADY {
                backoff = BACKOFF.0;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (2 * backoff).min(BACKOFF.1);
        }
    }

    async fn stop(&self, mut child: Child) {
        let (data, number) = (self.data.clone(), self.number);
        // The child is buried at the same time.
        let _ = tokio::join!(tokio::task::spawn_blocking(move || end(&data, number)), child.wait());
    }
}

/// Keeps the nodes running until shutdown. Those that an earlier server had beyond them are taken off the machine.
pub(crate) async fn keep(
    nodes: Vec<Further>,
    cluster: cli::Named,
    data: PathBuf,
    shutdown: CancellationToken,
) {
    let last = nodes.iter().map(|node| node.number).max().unwrap_or(1);
    let mut tasks = JoinSet::new();
    for node in nodes {
        tasks.spawn(node.keep(shutdown.clone()));
    }
    for number in last + 1..=MOST_NODES {
        if is_on_machine(&cluster.name, number) {
            tracing::info!(number, "removing a node of an earlier run");
            if let Err(error) = clear_further(&cluster.name, &data, number).await {
                tracing::error!(number, "a node of an earlier run is left: {error:#}");
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Takes everything of the cluster's nodes off the machine but their data: processes, containers, mounts, networks, rules,
/// cgroups. May be called whatever is left of them.
///
/// # Errors
/// Something is left.
pub(crate) async fn clear(cluster: &cli::Named, data: &Path) -> Result<()> {
    for number in (2..=MOST_NODES).filter(|number| is_on_machine(&cluster.name, *number)) {
        clear_further(&cluster.name, data, number).await.with_context(|| format!("clear node {number}"))?;
    }
    namespace::close_to_outside(&cluster.name)?;
    let place = Place::new(&cluster.name, data, 1);
    Daemon::stop(place.daemon()).await.context("stop containerd and its containers")?;
    proa_operator_service_proxy::sweep(&cluster.name).await.context("remove the rules of services")
}

/// Numbers of the cluster's nodes that are on this machine.
pub(crate) fn places(cluster: &str, data: &Path) -> Vec<(u32, Place)> {
    let numbers = [1].into_iter().chain((2..=MOST_NODES).filter(|number| is_on_machine(cluster, *number)));
    numbers.map(|number| (number, Place::new(cluster, data, number))).collect()
}

/// Whether a further node of this number was started and not cleared. The order of clearing keeps this true to the end.
fn is_on_machine(cluster: &str, number: u32) -> bool {
    let footprint = Footprint::of(cluster, number);
    footprint.run.exists() || Namespace::of(&footprint).exists()
}

async fn clear_further(cluster: &str, data: &Path, number: u32) -> Result<()> {
    let place = Place::new(cluster, data, number);
    end(data, number);
    Daemon::stop(place.daemon()).await.context("stop containerd and its containers")?;
    Namespace::of(&place.footprint).remove().context("remove the node's network")
}

/// Ends the processes of a node.
fn end(data: &Path, number: u32) {
    let (data, number) = (data.display().to_string(), number.to_string());
    for process in process::find("node", &[("--data-dir", &data), ("--number", &number)]) {
        tracing::debug!(process = process.pid(), "ending a node");
        process.end(END_WITHIN);
    }
}

/// The machine's name servers as a node in another network can use them: those on loopback addresses, which only the
/// machine reaches, are replaced by the DNS of the first node, which passes questions on to them.
fn reachable_servers(resolv_conf: &str, instead: Ipv4Addr) -> String {
    let is_server = |line: &str| line.split_whitespace().next() == Some("nameserver");
    let is_reachable = |line: &str| {
        let address = line.split_whitespace().nth(1).and_then(|address| address.parse().ok());
        matches!(address, Some(IpAddr::V4(address)) if !address.is_loopback())
    };
    let mut lines: Vec<String> = resolv_conf
        .lines()
        .filter(|line| !is_server(line) || is_reachable(line))
        .map(str::to_owned)
        .collect();
    if !lines.iter().any(|line| is_server(line)) {
        lines.push(format!("nameserver {instead}"));
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_on_loopback_addresses_are_replaced() {
        let instead = Ipv4Addr::new(10, 244, 0, 1);
        let text = "search example.com\nnameserver 192.0.2.53\nnameserver 127.0.0.53\n";
        assert_eq!(reachable_servers(text, instead), "search example.com\nnameserver 192.0.2.53\n");
        let text = "nameserver 127.0.0.1\nnameserver ::1\noptions ndots:2\n";
        assert_eq!(reachable_servers(text, instead), "options ndots:2\nnameserver 10.244.0.1\n");
    }
}
