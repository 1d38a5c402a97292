//! `proa up`, `down` and `status`: a server in the background, found again by its pid file.
//!
//! The background process is `proa server` with the same options. A pid counts only while the process's command line
//! is that of this cluster's server, so a reused pid is never signalled.

use crate::{cli, node, nodes, print, process, settings::Settings};
use anyhow::{Context, Result, bail};
use std::{
    fs::{self, File},
    io::{Read, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// How often a starting or stopping process is looked at. There is no event to wait for across processes.
pub(crate) const LOOK: Duration = Duration::from_millis(20);
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Starts the cluster unless it runs, waits until its nodes are ready and its DNS answers, says what to do next.
pub(crate) fn up(args: &cli::Up) -> Result<()> {
    let started = Instant::now();
    let server = cli::Server { nodes: Some(nodes_of(args)), ..args.server.clone() };
    let settings = Settings::new(&server)?;
    let dir = settings.data_dir.clone();
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    if let Some(pid) = running(&dir) {
        let (data, nodes) = (dir.display().to_string(), nodes_of(args).to_string());
        if process::find("server", &[("--data-dir", &data), ("--nodes", &nodes)]).is_empty() {
            bail!(
                "cluster {:?} runs with another number of nodes (process {pid}): stop it with `proa down` first",
                settings.name
            );
        }
        print(format!("cluster {:?} is already running (process {pid})", settings.name))?;
    } else {
        progress(&format!("starting cluster {:?} on {} ...", settings.name, settings.url()))?;
        start(args, &dir)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let wait = Duration::from_secs(args.wait);
    let mut waiting_for = "the API";
    let ready = ready(args, &settings, started, &mut waiting_for);
    match runtime.block_on(async { tokio::time::timeout(wait, ready).await }) {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(error.context(last_words(&dir))),
        Err(_) => bail!("{waiting_for} is not there after {wait:?}\n{}", last_words(&dir)),
    }
    print(format!(
        "cluster {:?} is ready after {:.1} s\n\n\
         \x20 export KUBECONFIG={}\n\x20 kubectl get nodes\n",
        settings.name,
        started.elapsed().as_secs_f64(),
        kubeconfig(&dir).display()
    ))
}

/// Follows the start, step by step.
async fn ready(
    args: &cli::Up,
    settings: &Settings,
    started: Instant,
    waiting_for: &mut &'static str,
) -> Result<()> {
    let reached = |what: &str| progress(&format!("{:5.1} s  {what}", started.elapsed().as_secs_f64()));
    let client = api_answers(settings).await?;
    reached("the API answers")?;
    *waiting_for = "a ready node";
    nodes_ready(client, nodes_of(args) + args.server.simulate).await?;
    reached("nodes are ready")?;
    if nodes_of(args) > 0 {
        *waiting_for = "an answer of the cluster's DNS";
        node::dns_answers(settings.services.nth(node::DNS_SERVICE), &settings.domain).await;
        for number in 2..=nodes_of(args) {
            node::dns_answers(settings.pods_of(number)?.nth(1), &settings.domain).await;
        }
        reached("DNS answers")?;
    }
    Ok(())
}

/// Real nodes of a cluster in the background.
fn nodes_of(args: &cli::Up) -> u32 {
    args.server.nodes.unwrap_or(1)
}

fn progress(text: &str) -> Result<()> {
    writeln!(std::io::stderr(), "{text}")?;
    Ok(())
}

/// Where a cluster's administrator finds the kubeconfig.
fn kubeconfig(dir: &Path) -> PathBuf {
    dir.join("admin.kubeconfig")
}

fn start(args: &cli::Up, dir: &Path) -> Result<()> {
    let log_path = dir.join("proa.log");
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .with_context(|| format!("open {}", log_path.display()))?;
    let program = std::env::current_exe().context("find the program's own path")?;
    let mut command = Command::new(program);
    command.arg("server").args(server_args(args, dir)).stdin(Stdio::null());
    command.stdout(log.try_clone()?).stderr(log).process_group(0);
    let mut child = command.spawn().context("start the server")?;
    fs::write(dir.join("proa.pid"), child.id().to_string())?;
    // An immediate end (port taken, store damaged) is told at once.
    sleep(LOOK);
    if let Some(status) = child.try_wait()? {
        bail!("the server ended with {status}\n{}", last_words(dir));
    }
    Ok(())
}

/// The options of `up` as options of `server`.
fn server_args(args: &cli::Up, dir: &Path) -> Vec<String> {
    let server = &args.server;
    let mut list = vec![
        "--name".to_owned(),
        server.cluster.name.clone(),
        "--data-dir".to_owned(),
        dir.display().to_string(),
        "--listen".to_owned(),
        server.listen.to_string(),
        "--cluster-domain".to_owned(),
        server.cluster_domain.clone(),
        "--event-ttl".to_owned(),
        server.event_ttl.to_string(),
        "--simulate".to_owned(),
        server.simulate.to_string(),
    ];
    let mut option = |flag: &str, value: Option<String>| {
        if let Some(value) = value {
            list.extend([flag.to_owned(), value]);
        }
    };
    option("--advertise", server.advertise.map(|a| a.to_string()));
    option("--port", server.port.map(|p| p.to_string()));
    option("--node-ports", server.node_ports.clone());
    option("--node-name", server.node_name.clone());
    option("--node-ip", server.node_ip.map(|a| a.to_string()));
    option("--nodes", Some(nodes_of(args).to_string()));
    option("--node-link-cidr", server.node_link_cidr.clone());
    option("--agent-port", server.agent_port.map(|p| p.to_string()));
    option("--ingress-http-port", server.ingress_http_port.map(|p| p.to_string()));
    option("--ingress-https-port", server.ingress_https_port.map(|p| p.to_string()));
    option("--eviction-hard", server.eviction_hard.as_ref().map(ToString::to_string));
    option("--service-cidr", server.service_cidr.clone());
    option("--pod-cidr", server.pod_cidr.clone());
    option("--store", (server.store == cli::StoreKind::Memory).then(|| "memory".to_owned()));
    option("--disable", (!server.disable.is_empty()).then(|| server.disable.join(",")));
    if server.leader_elect {
        list.push("--leader-elect".to_owned());
    }
    let mut option = |flag: &str, value: String| list.extend([flag.to_owned(), value]);
    for san in &server.tls_san {
        option("--tls-san", san.clone());
    }
    list.extend(server.serving.to_args());
    list.extend(server.access.to_args());
    list
}

/// Waits until the API answers.
async fn api_answers(settings: &Settings) -> Result<kube::Client> {
    let dir = settings.data_dir.as_path();
    let is_there = async || {
        // The kubeconfig may be that of an earlier run, and clients complain loudly when nobody listens.
        let address = (settings.reached_at, settings.port);
        kubeconfig(dir).exists() && tokio::net::TcpStream::connect(address).await.is_ok()
    };
    while !is_there().await {
        if running(dir).is_none() {
            bail!("the server ended");
        }
        tokio::time::sleep(LOOK).await;
    }
    loop {
        let client = crate::kubeconfig::client(&kubeconfig(dir)).await?;
        match client.apiserver_version().await {
            Ok(_) => return Ok(client),
            Err(_) if running(dir).is_none() => bail!("the server ended"),
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Waits until so many nodes are ready.
async fn nodes_ready(client: kube::Client, count: u32) -> Result<()> {
    use futures::TryStreamExt as _;
    use k8s_openapi::api::core::v1::Node;
    use kube::{
        Api,
        runtime::{WatchStreamExt as _, watcher},
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let is_ready = |node: &Node| {
        let conditions = node.status.as_ref().and_then(|s| s.conditions.as_ref());
        conditions.is_some_and(|c| c.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
    };
    let mut ready = std::collections::HashSet::new();
    let mut nodes =
        std::pin::pin!(watcher(Api::<Node>::all(client), watcher::Config::default()).applied_objects());
    while ready.len() < count {
        let Some(node) = nodes.try_next().await? else { bail!("the watch of nodes ended") };
        if is_ready(&node) {
            ready.insert(node.metadata.name);
        }
    }
    Ok(())
}

/// Stops the cluster and takes everything that it put on the machine away, but its data.
pub(crate) fn down(named: &cli::Named) -> Result<()> {
    let dir = crate::settings::data_dir(named)?;
    let was_running = stop(&dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(nodes::clear(named, &dir))?;
    let state = if was_running { "is stopped" } else { "is not running" };
    print(format!("cluster {:?} {state}; its data stays in {}", named.name, dir.display()))
}

/// Ends the server of this directory; no if there is none.
fn stop(dir: &Path) -> Result<bool> {
    let Some(pid) = running(dir) else { return Ok(false) };
    let status = Command::new("kill").arg(pid.to_string()).status().context("run kill")?;
    if !status.success() {
        bail!("process {pid} cannot be signalled");
    }
    let asked = Instant::now();
    while running(dir).is_some() {
        if asked.elapsed() > STOP_WITHIN {
            bail!("process {pid} did not end within {STOP_WITHIN:?}; see {}", dir.join("proa.log").display());
        }
        sleep(LOOK);
    }
    let _ = fs::remove_file(dir.join("proa.pid"));
    Ok(true)
}

/// Shows whether the cluster runs and what it holds.
pub(crate) async fn status(named: &cli::Named) -> Result<()> {
    let dir = crate::settings::data_dir(named)?;
    let Some(pid) = running(&dir) else {
        bail!("cluster {:?} is not running (data directory {})", named.name, dir.display());
    };
    let client = crate::kubeconfig::client(&kubeconfig(&dir)).await?;
    let version = client.apiserver_version().await.context("ask the API for its version")?;
    let nodes: kube::Api<k8s_openapi::api::core::v1::Node> = kube::Api::all(client.clone());
    let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::all(client);
    let nodes = nodes.list(&kube::api::ListParams::default()).await?.items.len();
    let pods = pods.list(&kube::api::ListParams::default()).await?.items.len();
    let memory = memory_mib(pid).map_or_else(String::new, |mib| format!(", {mib} MiB of memory"));
    print(format!(
        "cluster {:?} runs {} (process {pid}{memory})\nnodes: {nodes}\npods: {pods}\nkubeconfig: {}",
        named.name,
        version.git_version,
        kubeconfig(&dir).display()
    ))
}

fn memory_mib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024)
}

/// The pid of this directory's server, when it runs.
fn running(dir: &Path) -> Option<u32> {
    let pid: u32 = fs::read_to_string(dir.join("proa.pid")).ok()?.trim().parse().ok()?;
    let mut command_line = Vec::new();
    File::open(format!("/proc/{pid}/cmdline")).ok()?.read_to_end(&mut command_line).ok()?;
    let dir = dir.display().to_string();
    let words: Vec<_> = command_line.split(|&b| b == 0).collect();
    let is_ours = words.contains(&b"server".as_slice()) && words.contains(&dir.as_bytes());
    is_ours.then_some(pid)
}

/// The end of the server's log, for an error message.
fn last_words(dir: &Path) -> String {
    let path = dir.join("proa.log");
    let log = fs::read_to_string(&path).unwrap_or_default();
    let lines: Vec<&str> = log.lines().rev().take(8).collect();
    let lines: Vec<&str> = lines.into_iter().rev().collect();
    format!("the end of {}:\n{}", path.display(), lines.join("\n"))
}
