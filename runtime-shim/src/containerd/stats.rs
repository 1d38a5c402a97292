//! What containers and sandboxes use.

use super::{
    Containerd,
    client::{REQUEST, call},
    convert,
};
use crate::{ContainerStats, Error, Result, SandboxStats};
use futures::{StreamExt as _, stream};
use k8s_cri::v1;

/// Sandboxes measured at a time.
const READERS: usize = 8;

fn number(value: Option<v1::UInt64Value>) -> u64 {
    value.map_or(0, |value| value.value)
}

pub(super) async fn containers(containerd: &Containerd) -> Result<Vec<ContainerStats>> {
    let request = v1::ListContainerStatsRequest { filter: None };
    let listed =
        call("container_stats", REQUEST, containerd.runtime.clone().list_container_stats(request)).await?;
    Ok(listed.stats.into_iter().filter_map(container).collect())
}

/// Nothing for a container that does not run: it has no use of processor and memory.
fn container(stats: v1::ContainerStats) -> Option<ContainerStats> {
    let attributes = stats.attributes?;
    let cpu = stats.cpu?;
    let memory = stats.memory.unwrap_or_default();
    let layer = stats.writable_layer.unwrap_or_default();
    Some(ContainerStats {
        id: attributes.id,
        labels: attributes.labels.into_iter().collect(),
        at: convert::timestamp(cpu.timestamp),
        cpu_nanoseconds: number(cpu.usage_core_nano_seconds),
        working_set_bytes: number(memory.working_set_bytes),
        rss_bytes: number(memory.rss_bytes),
        major_page_faults: number(memory.major_page_faults),
        page_faults: number(memory.page_faults),
        writable_layer_bytes: number(layer.used_bytes),
        writable_layer_inodes: number(layer.inodes_used),
    })
}

/// One call per sandbox: containerd 1.6 fails a list as a whole while any container of it comes or goes. What cannot be
/// measured now is left out.
pub(super) async fn sandboxes(containerd: &Containerd) -> Result<Vec<SandboxStats>> {
    let state = Some(v1::PodSandboxStateValue { state: v1::PodSandboxState::SandboxReady.into() });
    let filter = Some(v1::PodSandboxFilter { state, ..Default::default() });
    let request = v1::ListPodSandboxRequest { filter };
    let listed = call("sandbox_stats", REQUEST, containerd.runtime.clone().list_pod_sandbox(request)).await?;
    let measured = stream::iter(listed.items).map(|item| async move {
        let request = v1::PodSandboxStatsRequest { pod_sandbox_id: item.id };
        call("sandbox_stats", REQUEST, containerd.runtime.clone().pod_sandbox_stats(request)).await
    });
    let all: Vec<_> = measured.buffer_unordered(READERS).collect().await;
    let mut stats = Vec::new();
    for one in all {
        match one {
            Ok(said) => stats.extend(said.stats.and_then(sandbox)),
            Err(Error::NotFound { .. } | Error::Failed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(stats)
}

fn sandbox(stats: v1::PodSandboxStats) -> Option<SandboxStats> {
    let attributes = stats.attributes?;
    let linux = stats.linux?;
    let network = linux.network.unwrap_or_default();
    let interface = network.default_interface.unwrap_or_default();
    Some(SandboxStats {
        id: attributes.id,
        uid: attributes.metadata.unwrap_or_default().uid,
        at: convert::timestamp(linux.cpu.map_or(network.timestamp, |cpu| cpu.timestamp)),
        received_bytes: number(interface.rx_bytes),
        sent_bytes: number(interface.tx_bytes),
        processes: number(linux.process.unwrap_or_default().process_count),
    })
}
