//! Real containers on a node of this machine: from nothing to a running pod, pods beside the same calls made to
//! containerd directly (the floor under every agent), exec, DNS, and what thirty idle pods cost.
//!
//! Needs root. The cluster has a name of its own and is taken off the machine at the end, also after an error.

mod dns;
mod floor;

use crate::{median, row, server::Server, start::node_ready};
use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client,
    api::{DeleteParams, PostParams},
    runtime::{WatchStreamExt as _, watcher},
};
use proa_runtime_shim::hosts;
use proa_test_images::Registry;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Has a shell and `sleep`.
const IMAGE: &str = "proa/shell:1";
const COMMAND: [&str; 2] = ["sleep", "36000"];
const STARTS: usize = 5;
const PODS: usize = 50;
const AT_A_TIME: usize = 10;
const EXECS: usize = 20;
const IDLE_PODS: usize = 30;
const IDLE: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(120);

/// A cluster with one real node; nothing of it is left on the machine when this is dropped.
struct Node {
    server: Server,
    binary: PathBuf,
    registry: Registry,
}

impl Node {
    fn start(binary: &Path) -> Result<Self> {
        let registry = Registry::start([127, 0, 0, 1].into()).context("serve the images of the tests")?;
        let server = Server::fresh(binary, &["--nodes", "1", "--node-ip", "127.0.0.1"])?;
        Ok(Self { server, binary: binary.to_owned(), registry })
    }
    /// containerd reads the folder at each pull.
    fn use_registry(&self) -> Result<()> {
        let mirror = format!("http://{}", self.registry.address());
        let registry =
            hosts::Registry { host: hosts::DEFAULT.to_owned(), mirrors: vec![mirror], fall_back: false };
        Ok(hosts::write(&self.server.dir.join("node/registries"), &registry)?)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Whatever goes wrong here, `proa down --name bench` can still be typed.
        drop(self.server.stop());
        let mut down = Command::new(&self.binary);
        drop(down.args(["down", "--name", "bench", "--data-dir"]).arg(&self.server.dir).output());
    }
}

pub(crate) async fn measure(binary: &Path) -> Result<()> {
    start(binary).await?;
    let mut node = Node::start(binary)?;
    let client = node.server.client().await?;
    node_ready(&client).await?;
    node.use_registry()?;
    // Pulls the image, so that what follows is about pods.
    running(&client, &pod("first"), Instant::now()).await?;

    let one = pods(&client, "one", 1).await?;
    let ten = pods(&client, "ten", AT_A_TIME).await?;
    let floor_one = floor::pods(PODS, 1).await?;
    let floor_ten = floor::pods(PODS, AT_A_TIME).await?;
    compare("pod start, one by one", one, floor_one)?;
    compare("pod start, 10 at a time", ten, floor_ten)?;

    let kubeconfig = node.server.dir.join("admin.kubeconfig");
    let exec = kubectl(&kubeconfig, &["exec", "first", "--", "true"])?;
    let get = kubectl(&kubeconfig, &["get", "pod", "first", "-o", "name"])?;
    row(
        "`kubectl exec POD -- true`, beside `kubectl get pod` (medians of 20)",
        &format!("{exec:.0} / {get:.0} ms"),
    )?;
    let rate = dns::rate(&client).await?;
    row("DNS queries per second, 64 under way", &format!("{rate:.0}"))?;
    idle(&mut node, &client).await
}

async fn start(binary: &Path) -> Result<()> {
    let (mut ready, mut first) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let begun = Instant::now();
        let mut node = Node::start(binary)?;
        let client = node.server.client().await?;
        node_ready(&client).await?;
        ready.push(milliseconds(begun.elapsed()));
        node.use_registry()?;
        running(&client, &pod("first"), begun).await?;
        first.push(milliseconds(begun.elapsed()));
    }
    row(
        "start to a ready node with containerd, new data directory (median of 5)",
        &format!("{:.0} ms", median(ready)),
    )?;
    row("start to the first pod running, its image pulled from loopback", &format!("{:.0} ms", median(first)))
}

fn pod(name: &str) -> Pod {
    let manifest = serde_json::json!({
        "metadata": {"name": name, "labels": {"bench": "pods"}},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "main", "image": IMAGE, "command": COMMAND}],
        },
    });
    serde_json::from_value(manifest).unwrap_or_default()
}

/// Makes a pod and waits until it runs; how long that took since `begun`.
async fn running(client: &Client, pod: &Pod, begun: Instant) -> Result<Duration> {
    let pods = Api::<Pod>::default_namespaced(client.clone());
    let name = pod.metadata.name.as_deref().context("a pod without a name")?;
    // The default service account comes a moment after the namespace.
    while let Err(error) = pods.create(&PostParams::default(), pod).await {
        ensure!(error.to_string().contains("serviceaccount"), "make pod {name}: {error}");
        ensure!(begun.elapsed() < PATIENCE, "the default service account does not come");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let of_name = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = std::pin::pin!(watcher(pods, of_name).applied_objects());
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone());
    let wait = async {
        while let Some(pod) = changes.try_next().await? {
            match phase(&pod).as_deref() {
                Some("Running") => return Ok(()),
                Some("Failed") => anyhow::bail!("pod {name} failed: {:?}", pod.status),
                _ => {}
            }
        }
        anyhow::bail!("the watch of pod {name} ended")
    };
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| format!("pod {name} does not run"))??;
    Ok(begun.elapsed())
}

/// Starts pods, some at a time, and removes them; how long each took to run.
async fn pods(client: &Client, prefix: &str, at_a_time: usize) -> Result<Vec<Duration>> {
    let one =
        |at: usize| async move { running(client, &pod(&format!("{prefix}-{at}")), Instant::now()).await };
    let times = stream::iter((0..PODS).map(one)).buffer_unordered(at_a_time).try_collect().await?;
    remove(client, |name| name.starts_with(prefix)).await?;
    Ok(times)
}

/// Deletes pods and waits until they are gone.
async fn remove(client: &Client, which: impl Fn(&str) -> bool) -> Result<()> {
    let pods = Api::<Pod>::default_namespaced(client.clone());
    for pod in pods.list(&Default::default()).await? {
        let name = pod.metadata.name.unwrap_or_default();
        if which(&name) {
            pods.delete(&name, &DeleteParams::default()).await?;
        }
    }
    let begun = Instant::now();
    while pods
        .list_metadata(&Default::default())
        .await?
        .iter()
        .any(|pod| which(pod.metadata.name.as_deref().unwrap_or_default()))
    {
        ensure!(begun.elapsed() < PATIENCE, "pods do not go");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

fn compare(what: &str, ours: Vec<Duration>, floor: Vec<Duration>) -> Result<()> {
    let (ours, floor) = (percentiles(ours), percentiles(floor));
    let figure = |[half, most]: [f64; 2]| format!("{half:.0} / {most:.0} ms");
    row(&format!("{what}: p50 / p99 of {PODS}"), &figure(ours))?;
    let ratio = ours[0] / floor[0];
    row(
        &format!("{what}: the floor by direct CRI calls, and our p50 to it"),
        &format!("{}, {ratio:.2}x", figure(floor)),
    )
}

fn percentiles(mut times: Vec<Duration>) -> [f64; 2] {
    times.sort_unstable();
    [50, 99].map(|share| milliseconds(times.get(times.len() * share / 100).copied().unwrap_or_default()))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// How long a command of kubectl takes, its own start included.
fn kubectl(kubeconfig: &Path, arguments: &[&str]) -> Result<f64> {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/kubectl");
    let mut times = Vec::new();
    for _ in 0..EXECS {
        let begun = Instant::now();
        let output = Command::new(&program).arg("--kubeconfig").arg(kubeconfig).args(arguments).output()?;
        ensure!(
            output.status.success(),
            "kubectl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        times.push(milliseconds(begun.elapsed()));
    }
    Ok(median(times))
}

async fn idle(node: &mut Node, client: &Client) -> Result<()> {
    for at in 0..IDLE_PODS {
        running(client, &pod(&format!("idle-{at}")), Instant::now()).await?;
    }
    let before = node.server.cpu_seconds()?;
    tokio::time::sleep(IDLE).await;
    let share = (node.server.cpu_seconds()? - before) / IDLE.as_secs_f64() * 100.0;
    row("idle with 30 pods: memory of the one process", &format!("{:.0} MiB", node.server.memory_mib()?))?;
    row("idle with 30 pods: CPU over a minute", &format!("{share:.2} % of a core"))
}
