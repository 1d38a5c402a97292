//! `/stats/summary`. Pure.

use super::{
    ContainerUsage, PodUsage, Usage,
    node::{FilesystemSpace, Interface},
};
use jiff::Timestamp;
use proa_runtime_shim::FilesystemUsage;
use serde_json::{Map, Value, json};

/// The summary; with `only_cpu_and_memory` nothing else.
pub(crate) fn summary(usage: &Usage, only_cpu_and_memory: bool) -> Value {
    let pods: Vec<_> = usage.pods.iter().map(|pod| pod_summary(pod, usage, only_cpu_and_memory)).collect();
    json!({"node": node(usage, only_cpu_and_memory), "pods": pods})
}

fn node(usage: &Usage, only_cpu_and_memory: bool) -> Value {
    let sample = &usage.node;
    let memory = sample.memory;
    let mut node = json!({
        "nodeName": usage.name,
        "startTime": sample.booted.map(second),
        "cpu": cpu(usage.at, usage.node_rate, sample.cpu_nanoseconds),
        "memory": {
            "time": second(usage.at),
            "availableBytes": memory.capacity.saturating_sub(memory.working_set),
            "usageBytes": memory.used,
            "workingSetBytes": memory.working_set,
            "rssBytes": memory.rss,
            "pageFaults": memory.page_faults,
            "majorPageFaults": memory.major_page_faults,
        },
    });
    if !only_cpu_and_memory && let Some(node) = node.as_object_mut() {
        node.insert("network".to_owned(), network(usage.at, &sample.interfaces));
        node.insert("fs".to_owned(), filesystem(usage.at, usage.root, None));
        let images = usage.images.as_ref();
        let images = filesystem(usage.at, images.map(|(_, space)| *space), images.map(|(used, _)| used));
        node.insert("runtime".to_owned(), json!({"imageFs": images, "containerFs": images}));
        node.insert(
            "rlimit".to_owned(),
            json!({"time": second(usage.at), "maxpid": sample.most_processes, "curproc": sample.processes}),
        );
    }
    without_nulls(node)
}

fn pod_summary(pod: &PodUsage, usage: &Usage, only_cpu_and_memory: bool) -> Value {
    let sum = |of: fn(&ContainerUsage) -> u64| pod.containers.iter().map(of).sum::<u64>();
    let rates: Option<u64> = pod.containers.iter().map(|c| c.rate).sum();
    let containers: Vec<_> =
        pod.containers.iter().map(|c| container(c, usage, only_cpu_and_memory)).collect();
    let mut summary = json!({
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": pod.started.map(second),
        "containers": containers,
        "cpu": cpu(usage.at, rates, sum(|c| c.stats.cpu_nanoseconds)),
        "memory": memory(
            usage.at,
            sum(|c| c.stats.working_set_bytes),
            sum(|c| c.stats.rss_bytes),
            sum(|c| c.stats.page_faults),
            sum(|c| c.stats.major_page_faults),
        ),
    });
    if !only_cpu_and_memory && let Some(summary) = summary.as_object_mut() {
        if let Some(sandbox) = &pod.sandbox {
            let interface = Interface {
                name: "eth0".to_owned(),
                received_bytes: sandbox.received_bytes,
                receive_errors: 0,
                sent_bytes: sandbox.sent_bytes,
                send_errors: 0,
            };
            summary.insert("network".to_owned(), network(sandbox.at, &[interface]));
            summary.insert("process_stats".to_owned(), json!({"process_count": sandbox.processes}));
        }
        let used = sum(|c| c.stats.writable_layer_bytes + c.log_bytes);
        let inodes = sum(|c| c.stats.writable_layer_inodes);
        let used = FilesystemUsage { used_bytes: used, used_inodes: inodes, ..FilesystemUsage::default() };
        summary.insert("ephemeral-storage".to_owned(), filesystem(usage.at, usage.root, Some(&used)));
    }
    without_nulls(summary)
}

fn container(container: &ContainerUsage, usage: &Usage, only_cpu_and_memory: bool) -> Value {
    let ContainerUsage { name, started, stats, rate, log_bytes } = container;
    let mut summary = json!({
        "name": name,
        "startTime": started.map(second),
        "cpu": cpu(stats.at, *rate, stats.cpu_nanoseconds),
        "memory": memory(
            stats.at,
            stats.working_set_bytes,
            stats.rss_bytes,
            stats.page_faults,
            stats.major_page_faults,
        ),
    });
    if !only_cpu_and_memory && let Some(summary) = summary.as_object_mut() {
        let layer = FilesystemUsage {
            used_bytes: stats.writable_layer_bytes,
            used_inodes: stats.writable_layer_inodes,
            ..FilesystemUsage::default()
        };
        let logs = FilesystemUsage { used_bytes: *log_bytes, ..FilesystemUsage::default() };
        let images = usage.images.as_ref().map(|(_, space)| *space);
        summary.insert("rootfs".to_owned(), filesystem(stats.at, images, Some(&layer)));
        summary.insert("logs".to_owned(), filesystem(usage.at, usage.root, Some(&logs)));
    }
    without_nulls(summary)
}

fn cpu(at: Timestamp, rate: Option<u64>, total: u64) -> Value {
    json!({"time": second(at), "usageNanoCores": rate, "usageCoreNanoSeconds": total})
}

fn memory(at: Timestamp, working_set: u64, rss: u64, faults: u64, major: u64) -> Value {
    json!({
        "time": second(at),
        "workingSetBytes": working_set,
        "rssBytes": rss,
        "pageFaults": faults,
        "majorPageFaults": major,
    })
}

/// The first interface stands for all, as upstream's default one does.
fn network(at: Timestamp, interfaces: &[Interface]) -> Value {
    let interface = |i: &Interface| {
        json!({
            "name": i.name,
            "rxBytes": i.received_bytes,
            "rxErrors": i.receive_errors,
            "txBytes": i.sent_bytes,
            "txErrors": i.send_errors,
        })
    };
    let mut network = interfaces.first().map_or_else(|| json!({}), interface);
    network["time"] = second(at).into();
    network["interfaces"] = interfaces.iter().map(interface).collect();
    network
}

/// Room on a file system, and what `used` says of it instead of all that is used.
fn filesystem(at: Timestamp, space: Option<FilesystemSpace>, used: Option<&FilesystemUsage>) -> Value {
    json!({
        "time": second(at),
        "availableBytes": space.map(|s| s.available),
        "capacityBytes": space.map(|s| s.capacity),
        "usedBytes": used.map(|u| u.used_bytes).or(space.map(|s| s.used)),
        "inodes": space.map(|s| s.inodes),
        "inodesFree": space.map(|s| s.inodes_free),
        "inodesUsed": used.map(|u| u.used_inodes).or(space.map(|s| s.inodes.saturating_sub(s.inodes_free))),
    })
}

/// A time as the API writes it.
fn second(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What is not known is left out.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let known = fields.into_iter().filter(|(_, v)| !v.is_null());
            Value::Object(known.map(|(name, v)| (name, without_nulls(v))).collect::<Map<_, _>>())
        }
        other => other,
    }
}
