//! Node pressure: what the node runs short of, and which pods must go because of it.
//!
//! Flow, every ten seconds: measure (two `statvfs`, `/proc/meminfo`), compare with the thresholds, publish the pressure,
//! evict pods that use more local storage than they may, and, while a threshold is met, reclaim unused images or else evict
//! one pod. Decisions are pure (`thresholds`, `rank`, `limits`, `message`); `measure` reads the machine. Only pods with
//! limits, and only in need all pods, have their directories walked. Deliberately absent: soft thresholds, minimum
//! reclaim and notifications of the kernel, which upstream has switched off unless configured.
//! Upstream: `pkg/kubelet/eviction`.

pub(crate) mod admit;
mod hard;
mod limits;
mod manager;
mod measure;
mod message;
mod rank;
#[cfg(test)]
mod tests;
mod thresholds;
mod usage;

pub(crate) use admit::refusal;
pub use hard::{EvictionHard, ThresholdError};

use k8s_openapi::api::core::v1::Pod;
use proa_kit::events::Recorder;
use proa_runtime_shim::Runtime;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Reason of evicted pods and of the events about them.
pub(crate) const REASON: &str = "Evicted";

/// What the node runs short of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Memory.
    pub(crate) memory: bool,
    /// Space or inodes of a disk.
    pub(crate) disk: bool,
    /// Process ids.
    pub(crate) pid: bool,
}

/// When the node runs short of what.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EvictionConfig {
    /// Thresholds; below one, pods are evicted.
    pub(crate) hard: EvictionHard,
    /// How long a condition holds after its threshold was last met.
    pub(crate) transition: Duration,
    /// Time between two measurements.
    pub(crate) interval: Duration,
}

impl EvictionConfig {
    /// With upstream's times.
    pub(crate) fn new(hard: EvictionHard) -> Self {
        Self { hard, transition: Duration::from_secs(300), interval: Duration::from_secs(10) }
    }
}

/// How a pod is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Eviction {
    /// Message of the pod's status; its phase is `Failed`, its reason [`REASON`].
    pub(crate) message: String,
    /// Grace period instead of the pod's.
    pub(crate) grace: Duration,
    /// The pod gets the condition `DisruptionTarget` with the reason `TerminationByKubelet` and the same message.
    pub(crate) is_disruption: bool,
}

/// What evictions need of the rest of the agent.
pub(crate) trait Host: Send + Sync {
    /// Pods that run or may run.
    fn active(&self) -> Vec<Arc<Pod>>;
    /// Ends a pod; the future ends when its containers did and its volumes are gone: only then is their room free.
    fn evict(&self, pod: &Arc<Pod>, eviction: Eviction) -> impl Future<Output = ()> + Send;
    /// Removes images that nothing uses, and containers that ended for good.
    fn reclaim(&self) -> impl Future<Output = ()> + Send;
    /// Directory of a pod's `emptyDir` on disk.
    fn empty_dir(&self, pod_uid: &str, volume: &str) -> PathBuf;
    /// Directory of a pod's logs, with one directory per container in it.
    fn log_directory(&self, pod: &Pod) -> PathBuf;
}

/// Watches over the node until shutdown. `root` is the agent's directory, on the node's file system.
pub(crate) async fn run<R: Runtime>(
    host: impl Host,
    runtime: R,
    node: &str,
    root: PathBuf,
    config: EvictionConfig,
    recorder: Recorder,
    pressure: watch::Sender<Pressure>,
    shutdown: CancellationToken,
) {
    let manager = manager::Manager::new(host, runtime, node, root, config, recorder, pressure);
    shutdown.run_until_cancelled(manager.run()).await;
}
