//! Node objects of the simulated nodes, and the leases that keep them alive.
//!
//! Upstream: `pkg/kubelet/kubelet_node_status.go`, component-helpers `apimachinery/lease` (KEP-589): the lease is
//! renewed every quarter of its duration; the status is reported again every few minutes although nothing in it
//! changes, so that a node that was taken for lost becomes ready again.

use futures::{StreamExt as _, stream};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Node};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

const MANAGER: &str = "node-agent";
const LEASES: &str = "kube-node-lease";
const LEASE_SECONDS: u64 = 40;
const RENEW: Duration = Duration::from_secs(LEASE_SECONDS / 4);
/// Renewals between two reports of the status.
const REPORT_EVERY: u32 = 30;
/// Nodes that are registered or renewed at once.
const AT_ONCE: usize = 32;
/// Wait before a registration that failed is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// Registers the nodes and renews their leases until shutdown.
pub(crate) async fn keep(client: Client, names: Arc<[String]>, shutdown: CancellationToken) {
    let work = async move {
        each(client.clone(), names.clone(), register).await;
        each(client.clone(), names.clone(), renew).await;
        let mut ticks = interval_at(Instant::now() + RENEW, RENEW);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for tick in 1_u32.. {
            ticks.tick().await;
            each(client.clone(), names.clone(), renew).await;
            if tick.is_multiple_of(REPORT_EVERY) {
                each(client.clone(), names.clone(), register).await;
            }
        }
    };
    tokio::select! {
        () = work => {}
        () = shutdown.cancelled() => {}
    }
}

async fn each<F: Future<Output = ()>>(client: Client, names: Arc<[String]>, act: fn(Client, String) -> F) {
    let acts: Vec<F> = names.iter().map(|name| act(client.clone(), name.clone())).collect();
    stream::iter(acts).buffer_unordered(AT_ONCE).collect::<()>().await;
}

async fn register(client: Client, name: String) {
    let nodes: Api<Node> = Api::all(client);
    while let Err(error) = try_register(&nodes, &name).await {
        tracing::warn!(node = name, %error, "node not registered yet");
        tokio::time::sleep(AGAIN).await;
    }
}

async fn try_register(nodes: &Api<Node>, name: &str) -> kube::Result<()> {
    let object: Node = serde_json::from_value(node(name)).map_err(kube::Error::SerdeError)?;
    match nodes
        .create(&PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }, &object)
        .await
    {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {}
        Err(error) => return Err(error),
    }
    let patch = Patch::Strategic(json!({"status": status()}));
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    nodes.patch_status(name, &params, &patch).await.map(drop)
}

async fn renew(client: Client, name: String) {
    let leases: Api<Lease> = Api::namespaced(client, LEASES);
    let now = proa_meta::time::MicroTime::new(jiff::Timestamp::now()).to_string();
    let lease = json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": LEASES},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    });
    let params = PatchParams::apply(MANAGER).force();
    if let Err(error) = leases.patch(&name, &params, &Patch::Apply(lease)).await {
        tracing::warn!(node = name, %error, "lease not renewed");
    }
}

fn node(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {
            "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
            "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64",
        }},
        "spec": {"providerID": format!("simulated://{name}")},
    })
}

fn status() -> Value {
    let now = proa_meta::time::Time::new(jiff::Timestamp::now()).to_string();
    let condition = |kind: &str, status: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now})
    };
    let resources = json!({"cpu": "32", "memory": "128Gi", "ephemeral-storage": "512Gi", "pods": "110"});
    json!({
        "capacity": resources, "allocatable": resources,
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "conditions": [
            condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
            condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        "nodeInfo": {
            "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "simulated",
            "osImage": "simulated", "containerRuntimeVersion": "simulated://1", "kubeletVersion": "v1.37.2+proa.simulated",
            "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
        },
    })
}
