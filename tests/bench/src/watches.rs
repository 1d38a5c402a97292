//! One stream of writes, a thousand watchers: events delivered per second, and how late they are.

use crate::{load::Call, row, server::Server};
use anyhow::Result;
use futures::{AsyncBufReadExt as _, StreamExt as _};
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::Semaphore;

const WATCHERS: usize = 1000;
const WRITES: u64 = 300;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

pub(crate) async fn measure(binary: &Path) -> Result<()> {
    let mut server = Server::fresh(binary, &["--disable", "all"])?;
    let client = server.client().await?;
    Call::post(MAPS, r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"w"}}"#.to_owned())
        .send(&client)
        .await?;
    let delivered = Arc::new(AtomicU64::new(0));
    let opened = Arc::new(Semaphore::new(0));
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|_| tokio::spawn(watch(client.clone(), delivered.clone(), opened.clone())))
        .collect();
    opened.acquire_many(u32::try_from(WATCHERS)?).await?.forget();
    delivered.store(0, Ordering::Relaxed);
    let begun = Instant::now();
    for _ in 0..WRITES {
        let patch = serde_json::json!({"data": {"at": now_us().to_string()}}).to_string();
        Call::merge(format!("{MAPS}/w"), patch).send(&client).await?;
    }
    let all = WRITES * WATCHERS as u64;
    while delivered.load(Ordering::Relaxed) < all {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(120), "events are missing");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let seconds = begun.elapsed().as_secs_f64();
    let mut late = Vec::new();
    for watcher in watchers {
        if let Ok(Ok(mut own)) = watcher.await {
            late.append(&mut own);
        }
    }
    let rate = u32::try_from(all).map_or(f64::INFINITY, f64::from) / seconds;
    row("watch events per second, 1,000 watchers", &format!("{rate:.0}"))?;
    late.sort_unstable();
    let at = |share: usize| late.get(late.len() * share / 100).copied().unwrap_or(0) / 1000;
    row("from write to event, median / p99", &format!("{} / {} ms", at(50), at(99)))?;
    let memory = server.memory_mib()?;
    row("memory with 1,000 watchers", &format!("{memory:.0} MiB"))
}

/// Reads events until `WRITES` have come; their delays in microseconds.
async fn watch(client: kube::Client, delivered: Arc<AtomicU64>, opened: Arc<Semaphore>) -> Result<Vec<u64>> {
    let request =
        http::Request::get(format!("{MAPS}?watch=true&fieldSelector=metadata.name=w")).body(Vec::new())?;
    let mut lines = client.request_stream(request).await?.lines();
    let mut late = Vec::new();
    let mut first = true;
    while let Some(line) = lines.next().await {
        let line = line?;
        if first {
            first = false;
            opened.add_permits(1);
            continue;
        }
        delivered.fetch_add(1, Ordering::Relaxed);
        let event: serde_json::Value = serde_json::from_str(&line)?;
        let sent = event["object"]["data"]["at"].as_str().and_then(|t| t.parse::<u64>().ok());
        late.push(now_us().saturating_sub(sent.unwrap_or(0)));
        if late.len() as u64 == WRITES {
            break;
        }
    }
    Ok(late)
}
