//! The loop: measure, decide, evict.
//!
//! Upstream: `synchronize` in `pkg/kubelet/eviction/eviction_manager.go`.

use super::{
    Eviction, EvictionConfig, Host, Pressure, REASON, limits,
    measure::{self, Stats},
    message,
    rank::{self, Candidate},
    thresholds::{self, LastSeen, Met, Threshold},
};
use k8s_openapi::api::core::v1::Pod;
use proa_kit::{Kind, ObjectRef, Timestamp, Typed as _, action::Action, events::Recorder, views::PodView};
use proa_runtime_shim::Runtime;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Grace period of pods that must go at once.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long an evicted pod is waited for before the node is measured again.
const GOING: Duration = Duration::from_secs(30);

const NODE: Kind = Kind::cluster("", "v1", "Node", "nodes");

pub(super) struct Manager<H, R> {
    host: H,
    runtime: R,
    node: Arc<ObjectRef>,
    root: PathBuf,
    config: EvictionConfig,
    thresholds: Vec<Threshold>,
    recorder: Recorder,
    pressure: watch::Sender<Pressure>,
}

impl<H: Host, R: Runtime> Manager<H, R> {
    pub(super) fn new(
        host: H,
        runtime: R,
        node: &str,
        root: PathBuf,
        config: EvictionConfig,
        recorder: Recorder,
        pressure: watch::Sender<Pressure>,
    ) -> Self {
        let node = Arc::new(ObjectRef::new(NODE, "", node).with_uid(node));
        let thresholds = config.hard.thresholds();
        Self { host, runtime, node, root, config, thresholds, recorder, pressure }
    }

    pub(super) async fn run(self) {
        let mut seen = LastSeen::default();
        loop {
            // After an eviction the node is measured again at once.
            if !self.step(&mut seen).await {
                sleep(self.config.interval).await;
            }
        }
    }

    /// Measures and acts once; whether a pod was evicted.
    async fn step(&self, seen: &mut LastSeen) -> bool {
        let (observed, dedicated) = measure::observe(&self.runtime, &self.root).await;
        let met = thresholds::met(&self.thresholds, &observed);
        let pressure = seen.take(&met, Timestamp::now(), self.config.transition);
        self.publish(pressure);
        let active = self.host.active();
        if self.evict_violators(&active, dedicated).await {
            return true;
        }
        match met.first() {
            Some(first) => self.relieve(first, active, dedicated).await,
            None => false,
        }
    }

    fn publish(&self, pressure: Pressure) {
        self.pressure.send_if_modified(|before| {
            let changed = *before != pressure;
            if changed {
                tracing::warn!(?pressure, "pressure of the node changed");
            }
            *before = pressure;
            changed
        });
    }

    /// Evicts the pods that use more local storage than they may.
    async fn evict_violators(&self, active: &[Arc<Pod>], dedicated: bool) -> bool {
        let limited: Vec<&Arc<Pod>> = active.iter().filter(|pod| limits::has_limits(pod)).collect();
        if limited.is_empty() {
            return false;
        }
        let Some(stats) = self.stats().await else { return false };
        let mut evicted = false;
        for pod in limited {
            let usage = stats.of(pod, &self.host, true).await;
            if let Some(message) = usage.and_then(|usage| limits::violation(pod, &usage, dedicated)) {
                evicted |= self.evict(pod, message, false).await;
            }
        }
        evicted
    }

    /// Makes up for a shortage: by what nothing uses, or else by one pod.
    async fn relieve(&self, met: &Met, active: Vec<Arc<Pod>>, dedicated: bool) -> bool {
        let resource = met.signal.resource();
        let note = format!("Attempting to reclaim {}", resource.name());
        self.record(Action::warning(&self.node, "EvictionThresholdMet", note));
        if met.signal.is_of_disk() && (met.signal.is_of_images() || !dedicated) {
            self.host.reclaim().await;
            let (observed, _) = measure::observe(&self.runtime, &self.root).await;
            if thresholds::met(&self.thresholds, &observed).is_empty() {
                return false;
            }
        }
        for candidate in self.candidates(met, active, dedicated).await {
            let message = message::shortage(met, &candidate.pod, candidate.usage.as_ref());
            if self.evict(&candidate.pod, message, true).await {
                return true;
            }
        }
        tracing::warn!(resource = resource.name(), "no pod can be evicted");
        false
    }

    async fn candidates(&self, met: &Met, active: Vec<Arc<Pod>>, dedicated: bool) -> Vec<Candidate> {
        let Some(stats) = self.stats().await else { return Vec::new() };
        let mut candidates = Vec::with_capacity(active.len());
        for pod in active {
            let usage = stats.of(&pod, &self.host, met.signal.is_of_disk()).await;
            candidates.push(Candidate { pod, usage });
        }
        rank::rank(&mut candidates, met.signal, dedicated);
        candidates
    }

    async fn stats(&self) -> Option<Stats> {
        Stats::read(&self.runtime)
            .await
            .inspect_err(|error| tracing::warn!(%error, "the usage of pods is not known"))
            .ok()
    }

    /// Evicts a pod unless it is critical, and waits until it ended.
    async fn evict(&self, pod: &Arc<Pod>, message: String, is_disruption: bool) -> bool {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let meta = &pod.metadata;
        if rank::is_critical(pod) {
            tracing::warn!(pod = text(&meta.name), "a critical pod is not evicted");
            return false;
        }
        let regarding = ObjectRef::new(PodView::KIND, &text(&meta.namespace), &text(&meta.name));
        let regarding = Arc::new(regarding.with_uid(&text(&meta.uid)));
        self.record(Action::warning(&regarding, REASON, message.clone()));
        let eviction = Eviction { message, grace: AT_ONCE, is_disruption };
        if timeout(GOING, self.host.evict(pod, eviction)).await.is_err() {
            tracing::warn!(pod = text(&meta.name), "an evicted pod takes long to end");
        }
        true
    }

    fn record(&self, action: Action) {
        if let Action::Event(event) = action {
            self.recorder.record(event);
        }
    }
}
