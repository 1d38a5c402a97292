//! Sandboxes.

use super::{
    Containerd,
    client::{REQUEST, call, insist, or_gone},
    convert,
};
use crate::{Error, Result, Sandbox, SandboxConfig, SandboxState};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_cri::v1;
use std::{net::IpAddr, path::PathBuf};

/// Sandboxes whose addresses are read at a time.
const READERS: usize = 16;

pub(super) async fn run(containerd: &Containerd, config: &SandboxConfig) -> Result<String> {
    let request = v1::RunPodSandboxRequest {
        config: Some(convert::sandbox_config(config)),
        runtime_handler: config.runtime_handler.clone(),
    };
    // Twice the time, as upstream: it may have to get the pause image first.
    let said = call("run_sandbox", 2 * REQUEST, containerd.runtime.clone().run_pod_sandbox(request)).await?;
    Ok(said.pod_sandbox_id)
}

pub(super) async fn stop(containerd: &Containerd, id: &str) -> Result<()> {
    insist(|| async {
        let request = v1::StopPodSandboxRequest { pod_sandbox_id: id.to_owned() };
        call("stop_sandbox", REQUEST, containerd.runtime.clone().stop_pod_sandbox(request)).await
    })
    .await
}

pub(super) async fn remove(containerd: &Containerd, id: &str) -> Result<()> {
    let request = v1::RemovePodSandboxRequest { pod_sandbox_id: id.to_owned() };
    or_gone(call("remove_sandbox", REQUEST, containerd.runtime.clone().remove_pod_sandbox(request)).await)
}

/// The sandboxes of a pod or of all, newest first.
pub(super) async fn list(containerd: &Containerd, pod_uid: Option<&str>) -> Result<Vec<Sandbox>> {
    let filter = pod_uid
        .map(|uid| v1::PodSandboxFilter { label_selector: convert::of_pod(uid), ..Default::default() });
    let request = v1::ListPodSandboxRequest { filter };
    let listed = call("sandboxes", REQUEST, containerd.runtime.clone().list_pod_sandbox(request)).await?;
    let whole = stream::iter(listed.items).map(|item| with_addresses(containerd, from_cri(item)));
    let found: Vec<Option<Sandbox>> = whole.buffer_unordered(READERS).try_collect().await?;
    let mut found: Vec<Sandbox> = found.into_iter().flatten().collect();
    found.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(found)
}

/// Adds what only a status says; nothing when the sandbox went away meanwhile. A sandbox that is not ready has no
/// address that anybody could use.
async fn with_addresses(containerd: &Containerd, mut sandbox: Sandbox) -> Result<Option<Sandbox>> {
    if sandbox.state == SandboxState::Ready {
        match status(containerd, &sandbox.id).await {
            Ok(status) => sandbox.addresses = addresses(status.network),
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(sandbox))
}

pub(super) async fn status(containerd: &Containerd, id: &str) -> Result<v1::PodSandboxStatus> {
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: false };
    let said = call("sandboxes", REQUEST, containerd.runtime.clone().pod_sandbox_status(request)).await?;
    said.status.ok_or_else(|| Error::NotFound { what: format!("sandbox {id}") })
}

/// What a sandbox's status says to those who ask for more.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    runtime_spec: Option<oci::Spec>,
}

/// The part of an OCI runtime specification that is read.
mod oci {
    #[derive(serde::Deserialize)]
    pub(super) struct Spec {
        pub(super) linux: Option<Linux>,
    }
    #[derive(serde::Deserialize)]
    pub(super) struct Linux {
        #[serde(default)]
        pub(super) namespaces: Vec<Namespace>,
    }
    #[derive(serde::Deserialize)]
    pub(super) struct Namespace {
        #[serde(rename = "type")]
        pub(super) kind: String,
        #[serde(default)]
        pub(super) path: std::path::PathBuf,
    }
}

/// Where a sandbox's network namespace is mounted; none for the machine's own, or when the sandbox is gone.
pub(super) async fn network_namespace(containerd: &Containerd, id: &str) -> Result<Option<PathBuf>> {
    let request = v1::PodSandboxStatusRequest { pod_sandbox_id: id.to_owned(), verbose: true };
    let said = call("sandboxes", REQUEST, containerd.runtime.clone().pod_sandbox_status(request)).await;
    let said = match said {
        Err(Error::NotFound { .. }) => return Ok(None),
        said => said?,
    };
    let info = said.info.get("info").map_or("", String::as_str);
    // Whoever asks would remove what nobody has, so "not said" must not look like "none".
    let unclear =
        |why: String| Error::Failed { operation: "sandboxes", message: format!("sandbox {id}: {why}") };
    let info: Info = serde_json::from_str(info).map_err(|error| unclear(error.to_string()))?;
    let linux = info.runtime_spec.and_then(|spec| spec.linux);
    let linux = linux.ok_or_else(|| unclear("its status has no runtimeSpec.linux".to_owned()))?;
    let mut namespaces = linux.namespaces.into_iter();
    Ok(namespaces.find(|namespace| namespace.kind == "network").map(|namespace| namespace.path))
}

fn addresses(network: Option<v1::PodSandboxNetworkStatus>) -> Vec<IpAddr> {
    let Some(network) = network else { return vec![] };
    let more = network.additional_ips.into_iter().map(|ip| ip.ip);
    std::iter::once(network.ip).chain(more).filter_map(|ip| ip.parse().ok()).collect()
}

fn from_cri(item: v1::PodSandbox) -> Sandbox {
    let state = match item.state() {
        v1::PodSandboxState::SandboxReady => SandboxState::Ready,
        v1::PodSandboxState::SandboxNotready => SandboxState::NotReady,
    };
    let metadata = item.metadata.unwrap_or_default();
    Sandbox {
        id: item.id,
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        attempt: metadata.attempt,
        state,
        created: convert::timestamp(item.created_at),
        addresses: vec![],
        labels: item.labels.into_iter().collect(),
        annotations: item.annotations.into_iter().collect(),
    }
}
