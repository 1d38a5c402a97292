//! `proa node`: a node that joins a cluster over the network, in the foreground.

use crate::{
    cli,
    node::{self, Clients, Node, NodeSettings, Place},
    operators,
    settings::{self, Network},
};
use anyhow::{Context, Result, bail};
use kube::{Api, api::PostParams, runtime::wait::await_condition};
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
    let own_pods = match &args.node_pod_cidr {
        Some(own) => own.clone(),
        None => tokio::select! {
            assigned = assigned_pods(args) => assigned?,
            () = crate::server::interrupted() => return Ok(()),
        },
    };
    let node = Node::new(settings(args, &own_pods)?)?;
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

/// The pods' addresses that the cluster assigns to the node; the Node is made for that when it does not exist.
async fn assigned_pods(args: &cli::Node) -> Result<String> {
    let name = args.node_name.as_str();
    let nodes: Api<k8s_openapi::api::core::v1::Node> = Api::all(client(&args.credentials, AGENT).await?);
    let mut node = k8s_openapi::api::core::v1::Node::default();
    node.metadata.name = Some(name.to_owned());
    match nodes.create(&PostParams::default(), &node).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        Err(error) => return Err(error).context("register the node"),
    }
    tracing::info!(node = name, "waiting for the cluster to assign addresses of pods (operator node-ipam)");
    let cidr = |node: Option<&k8s_openapi::api::core::v1::Node>| {
        node.and_then(|node| node.spec.as_ref()?.pod_cidr.clone()).filter(|cidr| !cidr.is_empty())
    };
    let assigned = await_condition(nodes, name, move |node: Option<&_>| cidr(node).is_some());
    cidr(assigned.await.context("watch the node")?.as_ref()).context("the node is gone")
}

fn settings(args: &cli::Node, own_pods: &str) -> Result<NodeSettings> {
    let network = |text: &str, flag: &str| Network::parse(text).with_context(|| format!("{flag} {text:?}"));
    let (own_pods, pods) = (network(own_pods, "--node-pod-cidr")?, network(&args.pod_cidr, "--pod-cidr")?);
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
