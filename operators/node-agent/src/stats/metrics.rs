//! The same measurement as metrics, in the text format that every collector reads. Pure, but for the agent's own process.

use super::{ContainerUsage, PodUsage, Usage, node};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use std::{
    fmt::{Display, Write},
    fs,
    sync::Arc,
};

/// Metrics being written.
#[derive(Default)]
struct Text(String);

impl Text {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text: &mut self.0, name }
    }
}

/// Samples of one name.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
}

impl Family<'_> {
    fn sample(&mut self, labels: &[(&str, &str)], value: impl Display, at: Option<Timestamp>) {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let at = at.map_or_else(String::new, |at| format!(" {}", at.as_millisecond()));
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{}{labels} {value}{at}", self.name);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
fn unix(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1e3
}

/// `/metrics/resource`: what autoscaling and `kubectl top` live on.
pub(crate) fn resource_metrics(usage: &Usage) -> String {
    let mut text = Text::default();
    let containers = || usage.pods.iter().flat_map(|pod| pod.containers.iter().map(move |c| (pod, c)));
    let help = "[STABLE] Cumulative cpu time consumed by the container in core-seconds";
    let mut family = text.family("container_cpu_usage_seconds_total", "counter", help);
    for (pod, container) in containers() {
        let stats = &container.stats;
        family.sample(&of_container(pod, container), seconds(stats.cpu_nanoseconds), Some(stats.at));
    }
    let help = "[STABLE] Current working set of the container in bytes";
    let mut family = text.family("container_memory_working_set_bytes", "gauge", help);
    for (pod, container) in containers() {
        let stats = &container.stats;
        family.sample(&of_container(pod, container), stats.working_set_bytes, Some(stats.at));
    }
    let help = "[STABLE] Start time of the container since unix epoch in seconds";
    let mut family = text.family("container_start_time_seconds", "gauge", help);
    for (pod, container) in containers() {
        if let Some(started) = container.started {
            family.sample(&of_container(pod, container), unix(started), None);
        }
    }
    node_and_pods(usage, &mut text);
    text.0
}

fn node_and_pods(usage: &Usage, text: &mut Text) {
    let at = Some(usage.at);
    let help = "[STABLE] Cumulative cpu time consumed by the node in core-seconds";
    let mut family = text.family("node_cpu_usage_seconds_total", "counter", help);
    family.sample(&[], seconds(usage.node.cpu_nanoseconds), at);
    let help = "[STABLE] Current working set of the node in bytes";
    let mut family = text.family("node_memory_working_set_bytes", "gauge", help);
    family.sample(&[], usage.node.memory.working_set, at);
    let help = "[STABLE] Cumulative cpu time consumed by the pod in core-seconds";
    let mut family = text.family("pod_cpu_usage_seconds_total", "counter", help);
    for pod in &usage.pods {
        let used = pod.containers.iter().map(|c| c.stats.cpu_nanoseconds).sum();
        family.sample(&of_pod(pod), seconds(used), at);
    }
    let help = "[STABLE] Current working set of the pod in bytes";
    let mut family = text.family("pod_memory_working_set_bytes", "gauge", help);
    for pod in &usage.pods {
        let used: u64 = pod.containers.iter().map(|c| c.stats.working_set_bytes).sum();
        family.sample(&of_pod(pod), used, at);
    }
    let help = "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise";
    text.family("resource_scrape_error", "gauge", help).sample(&[], u8::from(usage.is_partial), None);
}

/// `/metrics/cadvisor`: the part of it that this agent measures.
pub(crate) fn container_metrics(usage: &Usage) -> String {
    type Counter = (&'static str, &'static str, &'static str, fn(&ContainerUsage) -> f64);
    #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
    const COUNTERS: [Counter; 5] = [
        ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.", |c| {
            seconds(c.stats.cpu_nanoseconds)
        }),
        ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.", |c| {
            c.stats.working_set_bytes as f64
        }),
        ("container_memory_rss", "gauge", "Size of RSS in bytes.", |c| c.stats.rss_bytes as f64),
        (
            "container_fs_usage_bytes",
            "gauge",
            "Bytes that the container wrote to its root file system.",
            |c| c.stats.writable_layer_bytes as f64,
        ),
        (
            "container_start_time_seconds",
            "gauge",
            "Start time of the container since unix epoch in seconds.",
            |c| c.started.map_or(0.0, unix),
        ),
    ];
    let mut text = Text::default();
    for (name, kind, help, value) in COUNTERS {
        let mut family = text.family(name, kind, help);
        for pod in &usage.pods {
            for container in &pod.containers {
                let mut labels = of_container(pod, container).to_vec();
                labels.push(("name", &container.stats.id));
                family.sample(&labels, value(container), Some(container.stats.at));
            }
        }
    }
    networks(usage, &mut text);
    text.family("machine_cpu_cores", "gauge", "Number of logical CPU cores.").sample(
        &[],
        usage.node.cpus,
        None,
    );
    let memory = usage.node.memory.capacity;
    text.family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.").sample(
        &[],
        memory,
        None,
    );
    let failed = u8::from(usage.is_partial);
    text.family(
        "container_scrape_error",
        "gauge",
        "1 if there was an error while getting container metrics, 0 otherwise.",
    )
    .sample(&[], failed, None);
    text.0
}

fn networks(usage: &Usage, text: &mut Text) {
    let sandboxes = || usage.pods.iter().filter_map(|pod| Some((pod, pod.sandbox.as_ref()?)));
    let help = "Cumulative count of bytes received";
    let mut family = text.family("container_network_receive_bytes_total", "counter", help);
    for (pod, sandbox) in sandboxes() {
        family.sample(&of_interface(pod), sandbox.received_bytes, Some(sandbox.at));
    }
    let help = "Cumulative count of bytes transmitted";
    let mut family = text.family("container_network_transmit_bytes_total", "counter", help);
    for (pod, sandbox) in sandboxes() {
        family.sample(&of_interface(pod), sandbox.sent_bytes, Some(sandbox.at));
    }
}

fn of_pod(pod: &PodUsage) -> [(&'static str, &str); 2] {
    [("namespace", &pod.namespace), ("pod", &pod.name)]
}

fn of_container<'a>(pod: &'a PodUsage, container: &'a ContainerUsage) -> [(&'static str, &'a str); 3] {
    [("container", &container.name), ("namespace", &pod.namespace), ("pod", &pod.name)]
}

fn of_interface(pod: &PodUsage) -> [(&'static str, &str); 3] {
    [("interface", "eth0"), ("namespace", &pod.namespace), ("pod", &pod.name)]
}

/// `/metrics`: the agent itself.
pub(crate) fn agent_metrics(node: &str, pods: &[Arc<Pod>]) -> String {
    let mut text = Text::default();
    text.family("kubelet_node_name", "gauge", "[ALPHA] The node's name. The count is always 1.").sample(
        &[("node", node)],
        1,
        None,
    );
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default();
    let running = pods.iter().filter(|pod| phase(pod) == "Running").count();
    text.family("kubelet_running_pods", "gauge", "[ALPHA] Number of pods that have a running pod sandbox")
        .sample(&[], running, None);
    let mut family =
        text.family("kubelet_running_containers", "gauge", "[ALPHA] Number of containers currently running");
    for (state, count) in containers_by_state(pods) {
        family.sample(&[("container_state", state)], count, None);
    }
    process(&mut text);
    text.0
}

fn containers_by_state(pods: &[Arc<Pod>]) -> [(&'static str, usize); 3] {
    let statuses = pods.iter().filter_map(|pod| pod.status.as_ref());
    let states: Vec<_> = statuses
        .flat_map(|s| s.container_statuses.iter().chain(&s.init_container_statuses).flatten())
        .filter_map(|s| s.state.as_ref())
        .collect();
    [
        ("exited", states.iter().filter(|s| s.terminated.is_some()).count()),
        ("running", states.iter().filter(|s| s.running.is_some()).count()),
        ("created", states.iter().filter(|s| s.waiting.is_some()).count()),
    ]
}

/// The process that the agent is part of.
fn process(text: &mut Text) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name may hold anything; what follows its last bracket is numbers.
    let numbers: Vec<u64> = stat
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .map(|n| n.parse().unwrap_or_default())
        .collect();
    let number = |i: usize| numbers.get(i).copied().unwrap_or_default();
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = node::number_after(&status, "VmRSS:").unwrap_or_default() * 1024;
    let files = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    text.family("process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.")
        .sample(&[], seconds((number(11) + number(12)) * 10_000_000), None);
    text.family("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.").sample(
        &[],
        resident,
        None,
    );
    text.family("process_open_fds", "gauge", "Number of open file descriptors.").sample(&[], files, None);
}
