//! Whether the runtime answers, followed without a clock while it does.
//!
//! The stream of runtime events ends when the connection is lost, so the loss is seen at once; a slow check beside it
//! finds a runtime that hangs. A runtime that answered before may be silent for a grace period. Upstream: `updateRuntimeUp`
//! in `pkg/kubelet/kubelet.go`, `runtime.go`.

use futures::{StreamExt as _, stream::BoxStream};
use proa_runtime_shim::{Event, Result, Runtime};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// First wait before a silent runtime is asked again; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(10);
/// Longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// How often a runtime is asked that is well.
const RECHECK: Duration = Duration::from_secs(20);

/// State of the runtime.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It does not answer.
    Down,
    /// It answers.
    Up {
        /// As in the node's status: `containerd://1.6.20`.
        version: String,
        /// Why pods get no network yet.
        network_fault: Option<String>,
    },
}

impl Health {
    fn is_well(&self) -> bool {
        matches!(self, Self::Up { network_fault: None, .. })
    }
}

/// Follows the runtime for ever.
pub(crate) async fn follow<R: Runtime>(runtime: R, health: watch::Sender<Health>, grace: Duration) {
    let mut events = None;
    let mut wait = FIRST_WAIT;
    let mut answered: Option<Instant> = None;
    loop {
        let seen = check(&runtime).await;
        let is_well = seen.is_well();
        if matches!(seen, Health::Up { .. }) {
            answered = Some(Instant::now());
        }
        if seen != Health::Down || answered.is_none_or(|at| at.elapsed() >= grace) {
            publish(&health, seen);
        }
        if is_well {
            let stream = events.get_or_insert_with(|| runtime.events());
            if timeout(RECHECK, drain(stream)).await.is_err() {
                wait = FIRST_WAIT;
                continue;
            }
            events = None;
        }
        sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

async fn check<R: Runtime>(runtime: &R) -> Health {
    let answer = timeout(ANSWER, async {
        let version = runtime.version().await?;
        Ok::<_, proa_runtime_shim::Error>((version, runtime.network_fault().await?))
    });
    match answer.await {
        Ok(Ok((version, network_fault))) => {
            Health::Up { version: format!("{}://{}", version.name, version.version), network_fault }
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "the runtime does not answer");
            Health::Down
        }
        Err(_) => Health::Down,
    }
}

/// Waits for the end of the stream.
async fn drain(events: &mut BoxStream<'static, Result<Event>>) {
    while let Some(Ok(_)) = events.next().await {}
}

fn publish(health: &watch::Sender<Health>, seen: Health) {
    health.send_if_modified(|before| {
        let changed = *before != seen;
        if changed {
            tracing::info!(runtime = ?seen, "runtime state changed");
            *before = seen;
        }
        changed
    });
}
