//! What node, pods and containers use: one measurement, shown in several ways.
//!
//! Owns: asking runtime and kernel, rates from two measurements, `/stats/summary` and the metrics. Invariants: nothing is
//! measured unless somebody asks, and then at most once in [`FRESH`]; what is shown is a pure function of measurements.
//! Deliberately absent: history; whoever wants it collects.
//! Upstream: `pkg/kubelet/server/stats`, `pkg/kubelet/metrics/collectors`, `k8s.io/kubelet/pkg/apis/stats/v1alpha1`.

mod metrics;
mod node;
mod summary;

pub(crate) use metrics::{agent_metrics, container_metrics, resource_metrics};
pub(crate) use summary::summary;

use crate::AgentConfig;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use node::{FilesystemSpace, NodeSample};
use proa_runtime_shim::{ContainerStats, FilesystemUsage, Runtime, SandboxStats};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::Mutex, time::sleep};

/// How long a measurement is shown again.
const FRESH: SignedDuration = SignedDuration::from_secs(3);
/// How far back the measurement that a rate starts from may lie.
const WINDOW: SignedDuration = SignedDuration::from_secs(90);
/// How long the first rate is measured.
const FIRST: Duration = Duration::from_millis(250);

const POD_NAME: &str = "io.kubernetes.pod.name";
const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD_UID: &str = "io.kubernetes.pod.uid";
const CONTAINER_NAME: &str = "io.kubernetes.container.name";

/// Measures on request.
pub(crate) struct Stats<R> {
    runtime: R,
    node: String,
    root: PathBuf,
    pod_logs: PathBuf,
    latest: Mutex<Option<Sample>>,
    shown: parking_lot::Mutex<Option<(Timestamp, Arc<Usage>)>>,
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    at: Timestamp,
    node: NodeSample,
    containers: Vec<ContainerStats>,
    sandboxes: Vec<SandboxStats>,
    root: Option<FilesystemSpace>,
    images: Option<(FilesystemUsage, FilesystemSpace)>,
    /// Bytes of logs, by pod UID and container.
    logs: BTreeMap<(String, String), u64>,
    /// The runtime did not answer.
    is_partial: bool,
}

/// What everything uses.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Usage {
    name: String,
    at: Timestamp,
    node: NodeSample,
    node_rate: Option<u64>,
    root: Option<FilesystemSpace>,
    images: Option<(FilesystemUsage, FilesystemSpace)>,
    pods: Vec<PodUsage>,
    is_partial: bool,
}

/// What a pod uses.
#[derive(Clone, Debug, PartialEq)]
struct PodUsage {
    name: String,
    namespace: String,
    uid: String,
    started: Option<Timestamp>,
    containers: Vec<ContainerUsage>,
    sandbox: Option<SandboxStats>,
}

/// What a container uses.
#[derive(Clone, Debug, PartialEq)]
struct ContainerUsage {
    name: String,
    started: Option<Timestamp>,
    stats: ContainerStats,
    /// Nanoseconds of CPU time per second.
    rate: Option<u64>,
    log_bytes: u64,
}

impl<R: Runtime> Stats<R> {
    /// Of the node that `config` describes.
    pub(crate) fn new(runtime: R, config: &AgentConfig) -> Self {
        Self {
            runtime,
            node: config.node.clone(),
            root: config.root.clone(),
            pod_logs: config.pod_logs.clone(),
            latest: Mutex::new(None),
            shown: parking_lot::Mutex::new(None),
        }
    }

    /// What everything uses now, or a moment ago. Whoever asks meanwhile waits for the same measurement.
    pub(crate) async fn usage(&self, pods: &[Arc<Pod>]) -> Arc<Usage> {
        let mut latest = self.latest.lock().await;
        if let Some(usage) = self.fresh() {
            return usage;
        }
        let earlier = match latest.take().filter(|s| s.at.duration_until(Timestamp::now()) < WINDOW) {
            Some(earlier) => earlier,
            None => {
                let first = self.measure().await;
                sleep(FIRST).await;
                first
            }
        };
        let sample = self.measure().await;
        let usage = Arc::new(usage(&self.node, &sample, &earlier, pods));
        *self.shown.lock() = Some((sample.at, usage.clone()));
        *latest = Some(sample);
        usage
    }

    fn fresh(&self) -> Option<Arc<Usage>> {
        let shown = self.shown.lock();
        let (at, usage) = shown.as_ref()?;
        (at.duration_until(Timestamp::now()) < FRESH).then(|| usage.clone())
    }

    async fn measure(&self) -> Sample {
        let (containers, sandboxes, images) = tokio::join!(
            self.runtime.container_stats(),
            self.runtime.sandbox_stats(),
            self.runtime.image_filesystem(),
        );
        let mut is_partial = false;
        let containers = containers.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot measure what containers use");
            is_partial = true;
            Vec::new()
        });
        // Some runtimes do not measure sandboxes; the rest is worth showing without.
        let sandboxes = sandboxes.unwrap_or_default();
        let images = images.ok().and_then(|used| Some((used.clone(), node::space(&used.mountpoint)?)));
        let logs = log_sizes(&self.pod_logs, &containers);
        Sample {
            at: Timestamp::now(),
            node: NodeSample::read(),
            containers,
            sandboxes,
            root: node::space(&self.root),
            images,
            logs,
            is_partial,
        }
    }
}

fn label<'a>(stats: &'a ContainerStats, name: &str) -> &'a str {
    stats.labels.get(name).map_or("", String::as_str)
}

/// Bytes of all log files of each container.
fn log_sizes(root: &Path, containers: &[ContainerStats]) -> BTreeMap<(String, String), u64> {
    let size = |stats: &ContainerStats| {
        let [name, namespace, uid, container] =
            [POD_NAME, POD_NAMESPACE, POD_UID, CONTAINER_NAME].map(|l| label(stats, l).to_owned());
        let directory = root.join(format!("{namespace}_{name}_{uid}")).join(&container);
        let files = fs::read_dir(directory).into_iter().flatten().flatten();
        let bytes = files.filter_map(|f| f.metadata().ok()).map(|m| m.len()).sum();
        ((uid, container), bytes)
    };
    containers.iter().map(size).collect()
}

/// What is shown of two measurements.
fn usage(node: &str, sample: &Sample, earlier: &Sample, pods: &[Arc<Pod>]) -> Usage {
    let known: BTreeMap<_, _> =
        pods.iter().filter_map(|pod| Some((pod.metadata.uid.as_deref()?, &**pod))).collect();
    let before: BTreeMap<_, _> = earlier.containers.iter().map(|stats| (stats.id.as_str(), stats)).collect();
    let mut usages: BTreeMap<&str, PodUsage> = BTreeMap::new();
    for stats in &sample.containers {
        let uid = label(stats, POD_UID);
        if uid.is_empty() {
            continue;
        }
        let pod = known.get(uid).copied();
        let of = usages.entry(uid).or_insert_with(|| PodUsage {
            name: label(stats, POD_NAME).to_owned(),
            namespace: label(stats, POD_NAMESPACE).to_owned(),
            uid: uid.to_owned(),
            started: pod.and_then(|p| p.status.as_ref()?.start_time.as_ref()).map(|t| t.0),
            containers: Vec::new(),
            sandbox: sample.sandboxes.iter().find(|s| s.uid == uid).cloned(),
        });
        of.containers.push(container_usage(stats, before.get(stats.id.as_str()).copied(), pod, &sample.logs));
    }
    Usage {
        name: node.to_owned(),
        at: sample.at,
        node: sample.node.clone(),
        node_rate: rate((earlier.at, earlier.node.cpu_nanoseconds), (sample.at, sample.node.cpu_nanoseconds)),
        root: sample.root,
        images: sample.images.clone(),
        pods: usages.into_values().collect(),
        is_partial: sample.is_partial,
    }
}

fn container_usage(
    stats: &ContainerStats,
    before: Option<&ContainerStats>,
    pod: Option<&Pod>,
    logs: &BTreeMap<(String, String), u64>,
) -> ContainerUsage {
    let name = label(stats, CONTAINER_NAME).to_owned();
    let key = (label(stats, POD_UID).to_owned(), name.clone());
    ContainerUsage {
        started: pod.and_then(|pod| started(pod, &name)),
        rate: before.and_then(|b| rate((b.at, b.cpu_nanoseconds), (stats.at, stats.cpu_nanoseconds))),
        log_bytes: logs.get(&key).copied().unwrap_or_default(),
        stats: stats.clone(),
        name,
    }
}

/// CPU time per second between two readings.
fn rate((from, before): (Timestamp, u64), (to, after): (Timestamp, u64)) -> Option<u64> {
    let elapsed = u128::try_from(from.duration_until(to).as_nanos()).ok().filter(|n| *n > 0)?;
    let used = u128::from(after.checked_sub(before)?);
    u64::try_from(used * 1_000_000_000 / elapsed).ok()
}

fn started(pod: &Pod, container: &str) -> Option<Timestamp> {
    let status = pod.status.as_ref()?;
    let all =
        [&status.container_statuses, &status.init_container_statuses, &status.ephemeral_container_statuses];
    let mut all = all.into_iter().flatten().flatten();
    let running = all.find(|s| s.name == container)?.state.as_ref()?.running.as_ref()?;
    running.started_at.as_ref().map(|t| t.0)
}

#[cfg(test)]
mod tests;
