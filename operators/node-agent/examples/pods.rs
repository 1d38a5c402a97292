//! How long pods take on a node of its own, from their creation in the API until the API shows them running, and from
//! their deletion until they are gone; beside it the runtime's own calls, the floor under every agent.
//!
//! `cargo run --release -p proa-node-agent --example pods [PODS]`, as root. Prints milliseconds.

use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, PostParams},
    runtime::watcher::{Config, Event, watcher},
};
use proa_node_agent::{AgentConfig, ServerConfig};
use proa_runtime_shim::{
    ContainerConfig, Containerd, Runtime as _, SandboxConfig, cni,
    daemon::{Daemon, DaemonConfig},
    pause,
};
use proa_test_cluster::Cluster;
use serde_json::json;
use std::{
    error::Error,
    fs,
    path::Path,
    pin::pin,
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const NODE: &str = "node";

#[tokio::main]
async fn main() -> Result<()> {
    let pods = std::env::args().nth(1).map_or(Ok(20), |count| count.parse())?;
    let dir = std::env::temp_dir().join(format!("proa-pods-{}", std::process::id()));
    let daemon = node(&dir)?;
    let result = match Daemon::start_or_adopt(daemon.clone()).await {
        Ok(_) => measure(&dir, &daemon, pods).await,
        Err(error) => Err(error.into()),
    };
    Daemon::stop(daemon).await?;
    fs::remove_dir_all(dir)?;
    result
}

fn subnet() -> String {
    let pid = std::process::id();
    format!("10.{}.{}.0/24", 208 + pid % 16, pid / 16 % 256)
}

fn node(dir: &Path) -> Result<DaemonConfig> {
    let name = format!("pods{:x}", std::process::id());
    let network = cni::conflist(&name, &name, cni::Subnet::parse(&subnet())?, &dir.join("addresses"), 0);
    fs::create_dir_all(dir.join("cni"))?;
    fs::write(dir.join("cni/10-pods.conflist"), network)?;
    Ok(DaemonConfig {
        root: dir.join("root"),
        state: format!("/run/{name}").into(),
        shared: dir.join("agent"),
        cni_conf: dir.join("cni"),
        addresses: dir.join("addresses"),
        registries: dir.join("registries"),
        cgroup_parent: format!("/{name}"),
        links: vec![name],
    })
}

fn agent(dir: &Path, daemon: &DaemonConfig) -> Result<AgentConfig> {
    let certificate = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()])?;
    Ok(AgentConfig {
        node: NODE.to_owned(),
        address: [127, 0, 0, 1].into(),
        labels: Vec::new(),
        root: daemon.shared.clone(),
        pod_logs: dir.join("logs"),
        pod_cidr: subnet(),
        cluster_dns: Vec::new(),
        cluster_domain: "cluster.local".to_owned(),
        resolv_conf: "/etc/resolv.conf".into(),
        cgroup_parent: daemon.cgroup_parent.clone(),
        max_pods: 110,
        eviction_hard: proa_node_agent::EvictionHard::default(),
        server: ServerConfig {
            listen: ([127, 0, 0, 1], 0).into(),
            certificate: certificate.cert.pem().into_bytes(),
            key: certificate.signing_key.serialize_pem().into_bytes(),
            client_ca: certificate.cert.pem().into_bytes(),
        },
    })
}

async fn measure(dir: &Path, daemon: &DaemonConfig, count: usize) -> Result<()> {
    let runtime = Containerd::connect(&daemon.socket()).await?;
    floor(dir, &runtime, daemon, count).await?;
    let cluster = Cluster::start().await?;
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin(), "default");
    accounts
        .create(&PostParams::default(), &serde_json::from_value(json!({"metadata": {"name": "default"}}))?)
        .await?;
    let client = cluster.client(&format!("system:node:{NODE}"), &["system:nodes", "system:authenticated"]);
    let shutdown = CancellationToken::new();
    let agent =
        tokio::spawn(proa_node_agent::run(client, runtime.clone(), agent(dir, daemon)?, shutdown.clone()));
    let result = pods(&Api::namespaced(cluster.admin(), "default"), count).await;
    shutdown.cancel();
    agent.await??;
    cluster.stop().await;
    result
}

/// Pods one after the other.
async fn pods(api: &Api<Pod>, count: usize) -> Result<()> {
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for at in 0..count {
        let name = format!("pod-{at}");
        let pod = json!({"metadata": {"name": name}, "spec": {
            "nodeName": NODE, "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "main", "image": pause::IMAGE.name, "imagePullPolicy": "Never"}]}});
        let mut events = pin!(watcher(api.clone(), Config::default()));
        let since = Instant::now();
        api.create(&PostParams::default(), &serde_json::from_value(pod)?).await?;
        while let Some(event) = events.try_next().await? {
            let (Event::Apply(pod) | Event::InitApply(pod)) = event else { continue };
            let status = pod.status.clone().unwrap_or_default();
            match status.phase.as_deref() {
                Some("Running") if pod.name_any() == name => break,
                Some("Failed") => {
                    return Err(format!("{name}: {:?} {:?}", status.reason, status.message).into());
                }
                _ => {}
            }
        }
        starts.push(since.elapsed());
        let since = Instant::now();
        api.delete(&name, &DeleteParams::default()).await?;
        while let Some(event) = events.try_next().await? {
            if let Event::Delete(pod) = event
                && pod.name_any() == name
            {
                break;
            }
        }
        stops.push(since.elapsed());
    }
    print("pod running", starts);
    print("pod gone", stops);
    Ok(())
}

/// The runtime's own calls.
async fn floor(dir: &Path, runtime: &Containerd, daemon: &DaemonConfig, count: usize) -> Result<()> {
    let image = runtime.image(&pause::IMAGE.name).await?.map(|image| image.id).unwrap_or_default();
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for at in 0..count {
        let name = format!("floor-{at}");
        let of = SandboxConfig {
            namespace: "default".to_owned(),
            uid: name.clone(),
            hostname: name.clone(),
            log_directory: dir.join(&name),
            cgroup_parent: format!("{}/{name}", daemon.cgroup_parent),
            name,
            ..SandboxConfig::default()
        };
        let main = ContainerConfig {
            name: "main".to_owned(),
            image: image.clone(),
            log_path: "main.log".to_owned(),
            ..ContainerConfig::default()
        };
        let since = Instant::now();
        let sandbox = runtime.run_sandbox(&of).await?;
        let id = runtime.create_container(&sandbox, &main, &of).await?;
        runtime.start_container(&id).await?;
        starts.push(since.elapsed());
        let since = Instant::now();
        runtime.stop_container(&id, Duration::from_secs(5)).await?;
        runtime.stop_sandbox(&sandbox).await?;
        stops.push(since.elapsed());
        runtime.remove_sandbox(&sandbox).await?;
    }
    print("floor of running", starts);
    print("floor of gone", stops);
    Ok(())
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let most = times.last().copied().unwrap_or_default();
    let middle = times.get(times.len() / 2).copied().unwrap_or_default();
    println!("{what}: p50 {:.1} ms, most {:.1} ms", milliseconds(middle), milliseconds(most));
}
