//! The task of one container: its startup probe first, then liveness and readiness side by side.
//!
//! Upstream: `pkg/kubelet/prober/{worker,prober}.go`.

use super::{
    Failed, Kind, Target, Verdict,
    action::{Outcome, run},
    state::{State, Thresholds},
};
use k8s_openapi::api::core::v1::Probe;
use parking_lot::Mutex;
use proa_kit::{Timestamp, events::Recorder};
use proa_runtime_shim::Runtime;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep};
use tokio_util::sync::CancellationToken;

/// How often a probe is tried that could not be run at all.
const TRIES: u32 = 3;

pub(super) struct Worker<R> {
    pub(super) target: Target,
    pub(super) runtime: R,
    pub(super) recorder: Recorder,
    /// When the container was started.
    pub(super) since: Timestamp,
    pub(super) verdict: Arc<Mutex<Verdict>>,
    pub(super) changed: Box<dyn Fn() + Send + Sync>,
    pub(super) stopping: CancellationToken,
}

impl<R: Runtime> Worker<R> {
    pub(super) async fn run(self) {
        let started = self.verdict.lock().started;
        if !started && !self.start_up().await {
            return;
        }
        let container = &self.target.container;
        let liveness = async {
            if let Some(probe) = &container.liveness_probe {
                self.until_stopping(self.follow(Kind::Liveness, probe)).await;
            }
        };
        let readiness = async {
            if let Some(probe) = &container.readiness_probe {
                self.follow(Kind::Readiness, probe).await;
            }
        };
        futures::join!(liveness, readiness);
    }

    /// Runs the startup probe until it is decided; whether the container is up. A pod that ends counts as up, so that
    /// its readiness is still probed.
    async fn start_up(&self) -> bool {
        let Some(probe) = &self.target.container.startup_probe else { return true };
        if self.until_stopping(self.follow(Kind::Startup, probe)).await.is_none() {
            self.is_up();
        }
        self.verdict.lock().started
    }

    fn is_up(&self) {
        let without_readiness = self.target.container.readiness_probe.is_none();
        self.change(|verdict| {
            verdict.started = true;
            verdict.ready |= without_readiness;
        });
    }

    async fn until_stopping<T>(&self, probing: impl Future<Output = T>) -> Option<T> {
        self.stopping.run_until_cancelled(probing).await
    }

    /// Runs a probe at its times until it has nothing more to say.
    async fn follow(&self, kind: Kind, probe: &Probe) {
        sleep(self.delay(probe)).await;
        let mut state = State::new(thresholds(probe));
        let period = seconds(probe.period_seconds, 10);
        let mut ticks = interval_at(Instant::now(), period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let said = self.probe(kind, probe).await.and_then(|success| state.take(success));
            if said.is_some_and(|success| self.is_settled_by(kind, probe, success)) {
                return;
            }
        }
    }

    /// What is left of the probe's initial delay.
    fn delay(&self, probe: &Probe) -> Duration {
        let initial =
            Duration::from_secs(u64::try_from(probe.initial_delay_seconds.unwrap_or(0)).unwrap_or(0));
        let age = Timestamp::now().duration_since(self.since);
        initial.saturating_sub(Duration::try_from(age).unwrap_or_default())
    }

    /// Notes what a probe says; whether it will not say anything else.
    fn is_settled_by(&self, kind: Kind, probe: &Probe, success: bool) -> bool {
        let failed = Failed { probe: kind, grace_seconds: probe.termination_grace_period_seconds };
        match (kind, success) {
            (Kind::Readiness, ready) => self.change(|verdict| verdict.ready = ready),
            (Kind::Startup, true) => self.is_up(),
            (Kind::Liveness, true) => {}
            (Kind::Startup | Kind::Liveness, false) => self.change(|verdict| verdict.failed = Some(failed)),
        }
        match kind {
            Kind::Startup => true,
            Kind::Liveness => !success,
            Kind::Readiness => false,
        }
    }

    fn change(&self, change: impl FnOnce(&mut Verdict)) {
        let mut verdict = self.verdict.lock();
        let before = *verdict;
        change(&mut verdict);
        let has_changed = before != *verdict;
        drop(verdict);
        if has_changed {
            (self.changed)();
        }
    }

    /// Runs a probe once; nothing when it could not be run.
    async fn probe(&self, kind: Kind, probe: &Probe) -> Option<bool> {
        let timeout = seconds(probe.timeout_seconds, 1);
        let mut outcome = Outcome::Error(String::new());
        for _ in 0..TRIES {
            outcome = run(&self.runtime, &self.target, probe, timeout).await;
            if !matches!(outcome, Outcome::Error(_)) {
                break;
            }
        }
        self.tell(kind, &outcome);
        match outcome {
            Outcome::Success | Outcome::Warning(_) => Some(true),
            Outcome::Failure(_) => Some(false),
            Outcome::Error(_) => None,
        }
    }

    fn tell(&self, kind: Kind, outcome: &Outcome) {
        let name = kind.name();
        let (reason, note) = match outcome {
            Outcome::Success => return,
            Outcome::Warning(text) => ("ProbeWarning", format!("{name} probe warning: {text}")),
            Outcome::Failure(text) => ("Unhealthy", format!("{name} probe failed: {text}")),
            Outcome::Error(why) => {
                ("Unhealthy", format!("{name} probe errored and resulted in unknown state: {why}"))
            }
        };
        tracing::debug!(pod = self.target.pod_name(), container = self.target.container.name, note);
        if let Some(event) = self.target.warning(reason, &note) {
            self.recorder.record(event);
        }
    }
}

fn seconds(value: Option<i32>, default: u64) -> Duration {
    Duration::from_secs(
        value.and_then(|value| u64::try_from(value).ok()).filter(|v| *v > 0).unwrap_or(default),
    )
}

fn thresholds(probe: &Probe) -> Thresholds {
    let at_least_one = |value: Option<i32>, default: u32| {
        value.and_then(|value| u32::try_from(value).ok()).filter(|v| *v > 0).unwrap_or(default)
    };
    Thresholds {
        success: at_least_one(probe.success_threshold, 1),
        failure: at_least_one(probe.failure_threshold, 3),
    }
}
