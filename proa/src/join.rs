//! `proa node`: a node that joins a cluster over the network, in the foreground.

use crate::{
    cli,
    node::{self, Clients, Node, NodeSettings, Place},
    operators,
    settings::{self, Network},
};
use anyhow::{Context, Result, bail};
use proa_node_agent::ServerConfig;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use tokio_util::sync::CancellationToken;

/// File name of the kubeconfig of the node's agent; those of its operators are named after them.
pub(crate) const AGENT: &str = "agent";

/// Runs until interrupted; containers go on.
pub(crate) async fn run(args: &cli::Node) -> Result<()> {
    let node = Node::new(settings(args)?)?;
    let serves_ingress = operators::serves_ingress(&args.disable);
    let clients = Clients {
        agent: client(&args.credentials, AGENT).await?,
        proxy: client(&args.credentials, node::PROXY).await?,
        dns: client(&args.credentials, node::DNS).await?,
        local_path: client(&args.credentials, node::LOCAL_PATH).await?,
        ingress: match serves_ingress {
            true => Some(client(&args.credentials, node::INGRESS).await?),
            false => None,
        },
    };
    let daemon = node.prepare().await?;
    tracing::info!(node = node.name(), "joining");
    let shutdown = CancellationToken::new();
    let mut running = std::pin::pin!(node.run(daemon, clients, None, shutdown.clone()));
    tokio::select! {
        ended = &mut running => return ended,
        () = crate::server::interrupted() => shutdown.cancel(),
    }
    running.await
}

async fn client(credentials: &Path, name: &str) -> Result<kube::Client> {
    crate::kubeconfig::client(&kubeconfig(credentials, name)).await
}

fn kubeconfig(credentials: &Path, name: &str) -> PathBuf {
    credentials.join(format!("{name}.kubeconfig"))
}

fn settings(args: &cli::Node) -> Result<NodeSettings> {
    let network = |text: &str, flag: &str| Network::parse(text).with_context(|| format!("{flag} {text:?}"));
    let (own_pods, pods) =
        (network(&args.node_pod_cidr, "--node-pod-cidr")?, network(&args.pod_cidr, "--pod-cidr")?);
    if !pods.contains(own_pods) {
        bail!("--node-pod-cidr {own_pods} is no part of --pod-cidr {pods}");
    }
    if let Some(problem) = proa_meta::names::is_dns1123_subdomain(&args.node_name).first() {
        bail!("--node-name {:?}: {problem}", args.node_name);
    }
    let read = |name: &str| {
        let path = args.credentials.join(name);
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))
    };
    Ok(NodeSettings {
        place: Place::new(&args.cluster.name, &settings::data_dir(&args.cluster)?, args.number),
        cluster: args.cluster.name.clone(),
        name: args.node_name.clone(),
        address: args.node_ip,
        own_pods,
        pods,
        services: network(&args.service_cidr, "--service-cidr")?,
        domain: args.cluster_domain.clone(),
        resolv_conf: args.resolv_conf.clone().unwrap_or_else(node::resolv_conf),
        eviction_hard: args.eviction_hard.clone().unwrap_or_default(),
        ingress: operators::serves_ingress(&args.disable).then(|| {
            [args.ingress_http_port, args.ingress_https_port].map(|port| SocketAddr::new(args.listen, port))
        }),
        server: ServerConfig {
            listen: SocketAddr::new(args.listen, args.agent_port),
            certificate: read("agent.crt")?,
            key: read("agent.key")?,
            client_ca: read("ca.crt")?,
        },
    })
}
