//! Requests per second over TLS, by number of clients.

use crate::{
    load::{Call, rate},
    row,
    server::Server,
};
use anyhow::Result;
use std::{
    path::Path,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

const TIME: Duration = Duration::from_secs(5);
const CLIENTS: [usize; 3] = [1, 16, 64];
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Objects that are read and updated in turn.
const OBJECTS: u64 = 500;

/// Makes the nth request.
type Make = fn(u64) -> Call;

fn body(name: &str) -> String {
    let data = "x".repeat(1024);
    serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": data}})
        .to_string()
}

fn create(n: u64) -> Call {
    Call::post(MAPS, body(&format!("c{n}")))
}

fn get(n: u64) -> Call {
    Call::get(format!("{MAPS}/o{}", n % OBJECTS))
}

fn update(n: u64) -> Call {
    let patch = serde_json::json!({"data": {"b": n.to_string()}}).to_string();
    Call::merge(format!("{MAPS}/o{}", n % OBJECTS), patch)
}

fn list(_: u64) -> Call {
    Call::get("/api/v1/namespaces/kube-public/configmaps".to_owned())
}

pub(crate) async fn measure(binary: &Path) -> Result<()> {
    let mut server = Server::fresh(binary, &["--simulate", "1"])?;
    let client = server.client().await?;
    for n in 0..OBJECTS {
        Call::post(MAPS, body(&format!("o{n}"))).send(&client).await?;
        if n < 100 {
            let public = "/api/v1/namespaces/kube-public/configmaps";
            Call::post(public, body(&format!("o{n}"))).send(&client).await?;
        }
    }
    let kinds: [(&str, Make); 4] = [
        ("get (1 KiB ConfigMap)", get),
        ("create", create),
        ("update (merge patch)", update),
        ("list (100 objects of 1 KiB)", list),
    ];
    let next = Arc::new(AtomicU64::new(0));
    for (name, make) in kinds {
        let mut figures = Vec::new();
        for clients in CLIENTS {
            figures.push(format!("{:.0}", rate(&client, clients, TIME, &next, make).await?));
        }
        row(&format!("{name} per second at 1 / 16 / 64 clients"), &figures.join(" / "))?;
    }
    Ok(())
}
