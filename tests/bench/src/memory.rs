//! 150,000 pods: how fast they load, and what they cost in the core and in the operators' caches.

use crate::{load::Call, row, server::Server, views};
use anyhow::Result;
use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

const PODS: u64 = 150_000;
const NODES: u64 = 5_000;
const WRITERS: usize = 64;

fn pod(n: u64) -> Call {
    let node = format!("node-{}", n % NODES);
    let name = format!("web-5d8f7c9b6d-{n:06}");
    let env: Vec<_> = (0..8)
        .map(
            |i| serde_json::json!({"name": format!("SETTING_{i}"), "value": format!("value of setting {i}")}),
        )
        .collect();
    let resources = serde_json::json!({"cpu": "100m", "memory": "128Mi"});
    let container = |name: &str| {
        serde_json::json!({
            "name": name, "image": "registry.example/team/web:1.2.3", "env": env,
            "ports": [{"containerPort": 8080, "name": "http"}],
            "resources": {"requests": resources, "limits": resources},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
        })
    };
    let pod = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "web", "pod-template-hash": "5d8f7c9b6d", "tier": "front"}},
        "spec": {"nodeName": node, "containers": [container("web"), container("sidecar")]},
    });
    Call::post("/api/v1/namespaces/default/pods", pod.to_string())
}

pub(crate) async fn measure(binary: &Path) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::in_dir(binary, dir.path(), &["--disable", "all"])?;
    let client = server.client().await?;
    service_account(&client).await?;
    let empty = server.memory_mib()?;
    let seconds = load(&client).await?;
    let rate = u32::try_from(PODS).map_or(f64::INFINITY, f64::from) / seconds;
    row("150,000 pods created, 64 writers, per second", &format!("{rate:.0}"))?;
    let size =
        Call::get(format!("/api/v1/namespaces/default/pods/web-5d8f7c9b6d-{:06}", 7)).send(&client).await?;
    row("bytes of one such pod as JSON", &size.to_string())?;
    row(
        "memory, empty / after loading, no operators",
        &format!("{empty:.0} / {:.0} MiB", server.memory_mib()?),
    )?;
    row("of that: entries (objects and their keys)", &format!("{} MiB", entry_bytes(&client).await? >> 20))?;
    drop(client);
    server.stop()?;

    let begun = Instant::now();
    let mut server = Server::in_dir(binary, dir.path(), &["--disable", "all"])?;
    drop(server.client().await?);
    row("start with 150,000 pods stored", &format!("{:.1} s", begun.elapsed().as_secs_f64()))?;
    row("memory after that start, no operators", &format!("{:.0} MiB", server.memory_mib()?))?;
    for view in views::VIEWS {
        let cost = views::measure(view, &dir.path().join("admin.kubeconfig"))?;
        row(&format!("one cache of them as {view}"), &format!("{cost:.0} MiB"))?;
    }
    server.stop()?;

    // Pod deletion by node-lifecycle would be right (the nodes do not exist), and is not what is measured here.
    let mut server = Server::in_dir(binary, dir.path(), &["--disable", "node-lifecycle"])?;
    drop(server.client().await?);
    tokio::time::sleep(std::time::Duration::from_secs(20)).await;
    row("memory with the operators' caches", &format!("{:.0} MiB", server.memory_mib()?))?;
    let files: u64 = std::fs::read_dir(dir.path().join("store"))?
        .filter_map(|entry| entry.ok()?.metadata().ok().map(|m| m.len()))
        .sum();
    row("store files", &format!("{} MiB", files >> 20))
}

/// What the server counts for all stored objects.
async fn entry_bytes(client: &kube::Client) -> Result<u64> {
    let text = client.request_text(http::Request::get("/metrics").body(Vec::new())?).await?;
    let counted = text.lines().filter(|line| line.starts_with("proa_entry_bytes{"));
    Ok(counted.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum())
}

async fn service_account(client: &kube::Client) -> Result<()> {
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
    Call::post("/api/v1/namespaces/default/serviceaccounts", account.to_owned()).send(client).await.map(drop)
}

async fn load(client: &kube::Client) -> Result<f64> {
    let begun = Instant::now();
    let next = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (client, next) = (client.clone(), next.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= PODS {
                        return anyhow::Ok(());
                    }
                    pod(n).send(&client).await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(begun.elapsed().as_secs_f64())
}
