//! What one cache of one view costs: a process of its own fills it and compares its memory before and after.

use anyhow::{Context, Result, bail};
use kube::{
    Client,
    config::{KubeConfigOptions, Kubeconfig},
};
use proa_kit::{
    CachePool, Filter, Typed as _, View,
    views::{ObjectView, PodView},
};
use std::{path::Path, process::Command};

/// The argument that makes this program fill a cache instead of measuring a server.
pub(crate) const FILL: &str = "--fill-cache";
/// Views of pods that operators share: as workloads, scheduler and services see them; metadata, as the collector does.
pub(crate) const VIEWS: [&str; 2] = ["PodView", "ObjectView"];

/// MiB that a cache of all pods costs in a process of its own.
pub(crate) fn measure(view: &str, kubeconfig: &Path) -> Result<f64> {
    let output = Command::new(std::env::current_exe()?).args([FILL, view]).arg(kubeconfig).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("filling a cache of {view} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    text.trim().parse().with_context(|| format!("read {text:?}"))
}

/// Fills a cache and prints what it cost.
pub(crate) async fn fill(view: &str, kubeconfig: &str) -> Result<()> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    let client = Client::try_from(config)?;
    client.apiserver_version().await?;
    let before = memory_mib()?;
    let pool = CachePool::own(client);
    match view {
        "PodView" => filled::<PodView>(&pool).await,
        "ObjectView" => filled::<ObjectView>(&pool).await,
        _ => bail!("there is no view {view:?}"),
    }
    crate::say(&format!("{:.1}", memory_mib()? - before))
}

async fn filled<V: View>(pool: &CachePool) {
    pool.cache::<V>(&PodView::KIND, &Filter::default()).ready().await;
}

/// Resident memory of this process.
fn memory_mib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kib / 1024.0)
}
