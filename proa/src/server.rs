//! `proa server`: the core API with all operators in one foreground process.

use crate::{
    agent, certificates, cli, cluster_info,
    node::{self, Clients, Node, NodeSettings},
    nodes, operators,
    settings::Settings,
};
use anyhow::{Context, Result};
use proa_assembly::{Core, Encryption, Serving};
use proa_edge::EdgeConfig;
use proa_kit::{CachePool, RunConfig};
use proa_policy::bootstrap;
use proa_store::{Engine, Log, LogOptions, Memory};
use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Instant,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};

/// Fills the caches that the operators of the process share, under an identity of its own.
const CACHE: &str = "cache";

/// Runs until interrupted.
pub(crate) async fn run(args: &cli::Server) -> Result<()> {
    let started = Instant::now();
    let settings = Settings::new(args)?;
    let dir = &settings.data_dir;
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    let nodes = args.nodes.unwrap_or(0);
    let pki = certificates::Pki::load_or_create(&dir.join("pki"), &subject(&settings, nodes))?;
    let operators = operators::enabled(&args.disable)?;
    let node = match nodes {
        0 => None,
        _ => Some(Node::new(NodeSettings::of_server(args, &settings, &pki)?)?),
    };
    let further = nodes::further(args, &settings, &pki)?;
    // containerd starts while the core opens its store.
    let preparing =
        node.map(|node| tokio::spawn(async move { node.prepare().await.map(|daemon| (node, daemon)) }));
    let client_ca = pki.client_ca_der();
    let front_proxy_ca = args.access.front_proxy_ca(&client_ca)?;
    let access = args.access.access(&issuer(&settings))?;
    let serving = Serving { access, ..args.serving.start()? };
    let core_settings = core_settings(&settings, args, &pki, &operators)?;
    let core = match args.store {
        cli::StoreKind::Memory => start(Memory::new(), core_settings, serving).await?,
        cli::StoreKind::Embedded => start(open(&dir.join("store"))?, core_settings, serving).await?,
    };
    let edge = proa_edge::serve(EdgeConfig {
        address: SocketAddr::new(settings.listen, settings.port),
        tls: pki.serving()?,
        client_ca,
        front_proxy_ca,
        api: core.api.clone(),
        workers: 2,
    })?;
    pki.write_admin_kubeconfig(&dir.join("admin.kubeconfig"), &settings.url(), &settings.name)?;
    let joined_at = format!("https://{}", SocketAddr::new(settings.advertise, settings.port));
    let shutdown = tokio_util::sync::CancellationToken::new();
    let mut tasks = JoinSet::new();
    let (admin, authority) = (core.admin(), pki.client_ca_pem().to_owned());
    tasks.spawn(async move {
        // A user's webhook may refuse it, which is no reason not to serve.
        if let Err(error) = cluster_info::publish(&admin, &joined_at, &authority).await {
            tracing::warn!("nodes of other machines are not told how to join: {error:#}");
        }
    });
    let caches = CachePool::shared(core.operator(CACHE));
    let settings_of_operators = operators::Settings {
        authority: Some(pki.signing_authority()?),
        pod_network: Some(settings.pod_network()),
        load_balancer_addresses: args.load_balancer_addresses.clone(),
    };
    let identity = if args.leader_elect { operators::identity() } else { settings.name.clone() };
    for operator in operators {
        let config = RunConfig {
            caches: Some(caches.clone()),
            shutdown: shutdown.clone(),
            identity: identity.as_str().into(),
            ..RunConfig::default()
        };
        tasks.spawn(operator.start(
            core.operator(operator.name),
            config,
            &settings_of_operators,
            args.leader_elect,
        ));
    }
    if args.simulate > 0 {
        let simulation = agent::in_process(args.simulate, settings.pods);
        tasks.spawn(proa_node_simulator::simulate(core.admin(), simulation, shutdown.clone()));
    }
    tracing::info!(url = %settings.url(), after = ?started.elapsed(), "serving");
    if let Some(preparing) = preparing {
        let (node, daemon) = preparing.await.context("prepare the node")??;
        let clients = Clients {
            agent: core.node(node.name()),
            proxy: core.operator(node::PROXY),
            dns: core.operator(node::DNS),
            local_path: core.operator(node::LOCAL_PATH),
            ingress: operators::serves_ingress(&args.disable).then(|| core.operator(node::INGRESS)),
        };
        let running = node.run(daemon, clients, Some(caches.clone()), shutdown.clone());
        tasks.spawn(async move {
            if let Err(error) = running.await {
                tracing::error!("the node ended: {error:#}");
            }
        });
    }
    tasks.spawn(nodes::keep(further, args.cluster.clone(), settings.data_dir.clone(), shutdown.clone()));
    interrupted().await;
    tracing::info!("stopping");
    core.api.health().stop();
    // Whoever balances load sees that and sends no more. Who asks twice means now.
    tokio::select! {
        () = tokio::time::sleep(args.serving.shutdown_delay_duration) => {}
        () = interrupted() => {}
    }
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    edge.stop();
    core.stop().await;
    Ok(())
}

fn open(dir: &Path) -> Result<Log> {
    Log::open(dir, LogOptions::default()).with_context(|| format!("open the store in {}", dir.display()))
}

async fn start<E: Engine + 'static>(
    engine: E,
    settings: proa_assembly::Settings,
    serving: Serving,
) -> Result<Core> {
    Ok(Core::start_serving(engine, settings, serving).await?)
}

/// What the serving certificate is for.
fn subject(settings: &Settings, nodes: u32) -> certificates::Subject {
    let mut further = settings.tls_san.clone();
    if nodes > 1 {
        further.push(settings.links.nth(1).to_string());
    }
    certificates::Subject {
        service_ip: IpAddr::V4(settings.services.nth(1)),
        advertise: settings.advertise,
        domain: settings.domain.clone(),
        further,
    }
}

fn core_settings(
    settings: &Settings,
    args: &cli::Server,
    pki: &certificates::Pki,
    operators: &[operators::Operator],
) -> Result<proa_assembly::Settings> {
    let mut roles: Vec<_> = operators.iter().map(|o| (o.name.to_owned(), (o.rules)())).collect();
    // Nodes may also join from elsewhere.
    roles.extend(node::rules().into_iter().map(|(name, rules)| (name.to_owned(), rules)));
    roles.push((CACHE.to_owned(), operators::cache_rules(&roles)));
    Ok(proa_assembly::Settings {
        services: (settings.services.address, settings.services.bits),
        encryption: encryption(args.encryption_provider_config.as_deref())?,
        node_ports: settings.node_ports.clone(),
        bootstrap: bootstrap::Settings {
            service_ip: IpAddr::V4(settings.services.nth(1)),
            advertise: settings.advertise,
            port: settings.port,
            client_ca: pki.client_ca_pem().to_owned(),
            front_proxy_ca: pki.front_proxy_ca_pem().to_owned(),
        },
        signing_key: Arc::new(pki.signing_key()?),
        issuer: issuer(settings),
        operators: roles,
        event_ttl: Some(args.event_ttl),
        relay: Some(pki.relay()?),
    })
}

/// Who signs service account tokens.
fn issuer(settings: &Settings) -> String {
    format!("https://kubernetes.default.svc.{}", settings.domain)
}

fn encryption(file: Option<&Path>) -> Result<Encryption> {
    let Some(file) = file else { return Ok(Encryption::default()) };
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("--encryption-provider-config: read {}", file.display()))?;
    Encryption::parse(&text).with_context(|| format!("--encryption-provider-config {}", file.display()))
}

/// Resolves when the process is asked to end.
pub(crate) async fn interrupted() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end the process at once, which the store survives.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
}
