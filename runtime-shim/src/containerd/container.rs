//! Containers.

use super::{
    Containerd,
    client::{REQUEST, call, insist, or_gone},
    convert,
};
use crate::{
    Container, ContainerConfig, ContainerState, ContainerStatus, Error, LinuxResources, Result, SandboxConfig,
};
use k8s_cri::v1;
use std::time::Duration;

pub(super) async fn create(
    containerd: &Containerd,
    sandbox: &str,
    config: &ContainerConfig,
    of: &SandboxConfig,
) -> Result<String> {
    let request = v1::CreateContainerRequest {
        pod_sandbox_id: sandbox.to_owned(),
        config: Some(convert::container_config(config)),
        sandbox_config: Some(convert::sandbox_config(of)),
    };
    let said =
        call("create_container", REQUEST, containerd.runtime.clone().create_container(request)).await?;
    Ok(said.container_id)
}

pub(super) async fn start(containerd: &Containerd, id: &str) -> Result<()> {
    let request = v1::StartContainerRequest { container_id: id.to_owned() };
    call("start_container", REQUEST, containerd.runtime.clone().start_container(request)).await?;
    Ok(())
}

pub(super) async fn stop(containerd: &Containerd, id: &str, grace: Duration) -> Result<()> {
    let (timeout, within) = (whole_seconds(grace), REQUEST.saturating_add(grace));
    insist(|| async {
        let request = v1::StopContainerRequest { container_id: id.to_owned(), timeout };
        call("stop_container", within, containerd.runtime.clone().stop_container(request)).await
    })
    .await
}

/// CRI counts in seconds, and 0 kills at once: a shorter grace is rounded up.
pub(super) fn whole_seconds(duration: Duration) -> i64 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

pub(super) async fn remove(containerd: &Containerd, id: &str) -> Result<()> {
    let request = v1::RemoveContainerRequest { container_id: id.to_owned() };
    or_gone(call("remove_container", REQUEST, containerd.runtime.clone().remove_container(request)).await)
}

/// The containers of a pod or of all, newest first.
pub(super) async fn list(containerd: &Containerd, pod_uid: Option<&str>) -> Result<Vec<Container>> {
    let filter =
        pod_uid.map(|uid| v1::ContainerFilter { label_selector: convert::of_pod(uid), ..Default::default() });
    let request = v1::ListContainersRequest { filter };
    let listed = call("containers", REQUEST, containerd.runtime.clone().list_containers(request)).await?;
    let mut found: Vec<Container> = listed.containers.into_iter().map(from_cri).collect();
    found.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.id.cmp(&b.id)));
    Ok(found)
}

pub(super) async fn status(containerd: &Containerd, id: &str) -> Result<ContainerStatus> {
    // The sandbox is among what only the verbose answer says.
    let request = v1::ContainerStatusRequest { container_id: id.to_owned(), verbose: true };
    let said =
        call("container_status", REQUEST, containerd.runtime.clone().container_status(request)).await?;
    let sandbox = said.info.get("info").and_then(|info| sandbox_of(info)).unwrap_or_default();
    let status = said.status.ok_or_else(|| Error::NotFound { what: format!("container {id}") })?;
    Ok(status_from_cri(status, sandbox))
}

fn sandbox_of(info: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Info {
        #[serde(rename = "sandboxID")]
        sandbox: String,
    }
    serde_json::from_str::<Info>(info).ok().map(|info| info.sandbox)
}

pub(super) async fn update(containerd: &Containerd, id: &str, resources: &LinuxResources) -> Result<()> {
    let request = v1::UpdateContainerResourcesRequest {
        container_id: id.to_owned(),
        linux: Some(convert::resources(resources)),
        ..Default::default()
    };
    let mut client = containerd.runtime.clone();
    call("update_container", REQUEST, client.update_container_resources(request)).await?;
    Ok(())
}

pub(super) async fn reopen_log(containerd: &Containerd, id: &str) -> Result<()> {
    let request = v1::ReopenContainerLogRequest { container_id: id.to_owned() };
    call("reopen_log", REQUEST, containerd.runtime.clone().reopen_container_log(request)).await?;
    Ok(())
}

fn state(state: v1::ContainerState) -> ContainerState {
    match state {
        v1::ContainerState::ContainerCreated => ContainerState::Created,
        v1::ContainerState::ContainerRunning => ContainerState::Running,
        v1::ContainerState::ContainerExited => ContainerState::Exited,
        v1::ContainerState::ContainerUnknown => ContainerState::Unknown,
    }
}

/// containerd 1.6 has no `image_id` and puts the id into `image_ref` of lists.
fn image_id(image_id: String, image_ref: String) -> String {
    if image_id.is_empty() { image_ref } else { image_id }
}

fn from_cri(item: v1::Container) -> Container {
    let state = state(item.state());
    let metadata = item.metadata.unwrap_or_default();
    Container {
        id: item.id,
        sandbox: item.pod_sandbox_id,
        name: metadata.name,
        attempt: metadata.attempt,
        state,
        created: convert::timestamp(item.created_at),
        image: image_id(item.image_id, item.image_ref),
        labels: item.labels.into_iter().collect(),
        annotations: item.annotations.into_iter().collect(),
    }
}

fn status_from_cri(status: v1::ContainerStatus, sandbox: String) -> ContainerStatus {
    let state = state(status.state());
    let metadata = status.metadata.unwrap_or_default();
    let finished = convert::timestamp_if_any(status.finished_at);
    let started = convert::timestamp_if_any(status.started_at);
    ContainerStatus {
        container: Container {
            id: status.id,
            sandbox,
            name: metadata.name,
            attempt: metadata.attempt,
            state,
            created: convert::timestamp(status.created_at),
            image: image_id(status.image_id, status.image_ref.clone()),
            labels: status.labels.into_iter().collect(),
            annotations: status.annotations.into_iter().collect(),
        },
        // containerd notes the start when it hears of it: after the end of a container that ends at once.
        started: started.map(|started| finished.map_or(started, |finished| started.min(finished))),
        finished,
        exit_code: status.exit_code,
        reason: status.reason,
        message: status.message,
        image_name: status.image.unwrap_or_default().image,
        image_reference: status.image_ref,
        log_path: status.log_path.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_never_rounded_to_none() {
        assert_eq!(whole_seconds(Duration::ZERO), 0);
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_secs(30)), 30);
        assert_eq!(whole_seconds(Duration::MAX), i64::MAX);
    }
}
