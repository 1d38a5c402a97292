//! What happens in the runtime, carried to the pods' workers as wakes.
//!
//! Events are hints that may be lost; therefore everything is read anew after each connection, and a slow, cheap list
//! finds pods whose containers are not as their worker last saw them (N2).
//! Upstream: pkg/kubelet/pleg.

use super::Observed;
use crate::{build::labels, index::Index};
use futures::{StreamExt, future::try_join};
use proa_runtime_shim::{ContainerState, Event, Result, Runtime, SandboxState};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Time between two lists.
const RELIST: Duration = Duration::from_secs(10);
/// First and longest pause before the runtime is listened to again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Listens for ever.
pub(crate) async fn follow<R: Runtime>(runtime: R, index: Index) {
    let mut pause = PAUSES.0;
    loop {
        if listen(&runtime, &index).await {
            pause = PAUSES.0;
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Listens until the connection ends; whether there was one.
async fn listen<R: Runtime>(runtime: &R, index: &Index) -> bool {
    let mut events = runtime.events();
    index.wake_all();
    let mut lists = interval(RELIST);
    lists.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_connected = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(event)) => {
                    was_connected = true;
                    carry(&event, index);
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "events of the container runtime end");
                    return was_connected;
                }
                None => return was_connected,
            },
            _ = lists.tick() => match relist(runtime, index).await {
                Ok(()) => was_connected = true,
                Err(error) => tracing::debug!(%error, "runtime cannot be listed"),
            },
        }
    }
}

fn carry(event: &Event, index: &Index) {
    let (id, has_ended) = match event {
        Event::Exited { id } => (id, true),
        Event::OutOfMemory { id } | Event::Started { id } => (id, false),
    };
    if !index.happened(id, has_ended) {
        tracing::trace!(id, "event of nobody's container");
    }
}

/// What the lists say of one pod: ids and whether each lives.
type Seen = BTreeSet<(String, bool)>;

/// Wakes the pods that are not as their worker saw them.
async fn relist<R: Runtime>(runtime: &R, index: &Index) -> Result<()> {
    let (sandboxes, containers) = try_join(runtime.sandboxes(), runtime.containers()).await?;
    let mut seen: HashMap<String, Seen> = HashMap::new();
    for sandbox in sandboxes {
        let lives = sandbox.state == SandboxState::Ready;
        seen.entry(sandbox.uid).or_default().insert((sandbox.id, lives));
    }
    for container in containers {
        let Some(uid) = container.labels.get(labels::POD_UID) else { continue };
        let lives = container.state == ContainerState::Running;
        seen.entry(uid.clone()).or_default().insert((container.id, lives));
    }
    for uid in index.uids() {
        let known = index.shown(&uid).map(|shown| summary(&shown.observed)).unwrap_or_default();
        if seen.remove(&uid).unwrap_or_default() != known {
            index.wake_stale(&uid);
        }
    }
    Ok(())
}

fn summary(observed: &Observed) -> Seen {
    let sandboxes = observed.sandboxes.iter().map(|s| (s.id.clone(), s.state == SandboxState::Ready));
    let containers = observed.containers.iter();
    let containers =
        containers.map(|c| (c.container.id.clone(), c.container.state == ContainerState::Running));
    sandboxes.chain(containers).collect()
}
