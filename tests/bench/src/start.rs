//! From the start of the process to a ready node, and what an idle cluster costs.

use crate::{median, row, server::Server};
use anyhow::Result;
use std::{
    path::Path,
    time::{Duration, Instant},
};

const STARTS: usize = 9;
const IDLE: Duration = Duration::from_secs(60);

pub(crate) async fn start(binary: &Path) -> Result<()> {
    let (mut serving, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let begun = Instant::now();
        let mut server = Server::fresh(binary, &["--simulate", "1"])?;
        let client = server.client().await?;
        serving.push(begun.elapsed().as_secs_f64() * 1000.0);
        node_ready(&client).await?;
        ready.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    row("start to first answer, new data directory (median of 9)", &format!("{:.0} ms", median(serving)))?;
    row("start to a ready (simulated) node", &format!("{:.0} ms", median(ready)))
}

/// Waits until a node is ready.
pub(crate) async fn node_ready(client: &kube::Client) -> Result<()> {
    use futures::TryStreamExt as _;
    use k8s_openapi::api::core::v1::Node;
    use kube::runtime::{WatchStreamExt as _, watcher};
    let nodes = watcher(kube::Api::<Node>::all(client.clone()), watcher::Config::default()).applied_objects();
    let mut nodes = std::pin::pin!(nodes);
    while let Some(node) = nodes.try_next().await? {
        let conditions = node.status.and_then(|s| s.conditions).unwrap_or_default();
        if conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True") {
            return Ok(());
        }
    }
    anyhow::bail!("the watch of nodes ended")
}

pub(crate) async fn idle(binary: &Path) -> Result<()> {
    let mut server = Server::fresh(binary, &["--simulate", "1"])?;
    let client = server.client().await?;
    node_ready(&client).await?;
    drop(client);
    let before = server.cpu_seconds()?;
    tokio::time::sleep(IDLE).await;
    let share = (server.cpu_seconds()? - before) / IDLE.as_secs_f64() * 100.0;
    row("idle memory, all operators and one node", &format!("{:.0} MiB", server.memory_mib()?))?;
    row("idle CPU over a minute", &format!("{share:.2} % of a core"))
}
