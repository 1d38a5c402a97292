//! What containers and sandboxes use.

use super::{
    Containerd,
    client::{REQUEST, call},
    convert,
};
use crate::{ContainerStats, Result, SandboxStats};
use k8s_cri::v1;

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

pub(super) async fn sandboxes(containerd: &Containerd) -> Result<Vec<SandboxStats>> {
    let request = v1::ListPodSandboxStatsRequest { filter: None };
    let listed =
        call("sandbox_stats", REQUEST, containerd.runtime.clone().list_pod_sandbox_stats(request)).await?;
    Ok(listed.stats.into_iter().filter_map(sandbox).collect())
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
