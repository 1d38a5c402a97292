//! The lease that keeps the node alive: renewed every quarter of its duration.
//!
//! Upstream: component-helpers `apimachinery/lease` (KEP-589).

use super::MANAGER;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const NAMESPACE: &str = "kube-node-lease";
const SECONDS: u64 = 40;
const RENEW: Duration = Duration::from_secs(SECONDS / 4);
/// Wait before a renewal that failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Renews the node's lease for ever.
pub(super) async fn keep(client: Client, node: &str, uid: &str) {
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    loop {
        let started = Instant::now();
        let wait = match renew(&leases, node, uid).await {
            Ok(()) => RENEW,
            Err(error) => {
                tracing::warn!(%error, "the node's lease was not renewed");
                AGAIN
            }
        };
        sleep_until(started + wait).await;
    }
}

async fn renew(leases: &Api<Lease>, node: &str, uid: &str) -> kube::Result<()> {
    let lease = lease(node, uid);
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match leases.patch_metadata(node, &params, &Patch::Merge(&lease)).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let lease: Lease = serde_json::from_value(lease).map_err(kube::Error::SerdeError)?;
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            leases.create(&params, &lease).await.map(drop)
        }
        result => result.map(drop),
    }
}

fn lease(node: &str, uid: &str) -> Value {
    let now = proa_meta::time::MicroTime::new(jiff::Timestamp::now()).to_string();
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": node, "namespace": NAMESPACE, "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": node, "uid": uid}]},
        "spec": {"holderIdentity": node, "leaseDurationSeconds": SECONDS, "renewTime": now},
    })
}
