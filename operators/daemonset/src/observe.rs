//! What a decision about a daemon set needs: nodes, its pods, its revisions, and how long failed pods must wait.

use crate::plan::{history, nodes::node_of};
use parking_lot::Mutex;
use proa_kit::{
    Error, Index, Reader, Typed,
    owner::{Claim, claim},
    views::{ControllerRevisionView, DaemonSetView, NodeView, PodView},
};
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// All nodes.
    pub nodes: Vec<Arc<NodeView>>,
    /// Pods it controls, and orphans of its namespace.
    pub pods: Vec<Arc<PodView>>,
    /// Revisions it controls, and orphans of its namespace.
    pub revisions: Vec<Arc<ControllerRevisionView>>,
    /// Nodes on which a failed pod may not be deleted yet, and for how long.
    pub waits: HashMap<Box<str>, Duration>,
    /// Whether the API server says that it may adopt.
    pub may_adopt: bool,
    /// The name that a new revision would get is taken.
    pub name_taken: bool,
}

/// Reads it.
pub async fn observe(
    reader: &Reader,
    set: &Arc<DaemonSetView>,
    backoff: &FailureBackoff,
) -> Result<Observed, Error> {
    let meta = &set.metadata;
    let pod_cache = reader.cache::<PodView>();
    let mut pods = pod_cache.by(&Index::CONTROLLER, &meta.uid);
    pods.extend(pod_cache.by(&Index::ORPHANS, &meta.namespace));
    let revision_cache = reader.cache::<ControllerRevisionView>();
    let mut revisions = revision_cache.by(&Index::CONTROLLER, &meta.uid);
    revisions.extend(revision_cache.by(&Index::ORPHANS, &meta.namespace));
    let adopts = |object| claim(meta, &set.spec.selector, object) == Claim::Adopt;
    let orphans = pods.iter().any(|pod| adopts(&pod.metadata))
        || revisions.iter().any(|revision| adopts(&revision.metadata));
    let waits = backoff.waits(set, &pods, Instant::now());
    let name_taken = history::is_taken(set, revision_cache.get(&history::key(set)));
    Ok(Observed {
        nodes: reader.cache::<NodeView>().list(),
        pods,
        revisions,
        waits,
        may_adopt: orphans && may_adopt(reader, set).await?,
        name_taken,
    })
}

async fn may_adopt(reader: &Reader, set: &DaemonSetView) -> Result<bool, Error> {
    let fresh = reader.get_metadata(&set.reference()).await?;
    Ok(fresh.is_some_and(|meta| meta.uid == set.metadata.uid && !meta.is_deleting()))
}

/// First pause between two deletions of failed pods on one node.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Entries before old ones are dropped.
const REMEMBERED: usize = 1024;

/// When failed pods were last let go, per daemon set, template and node. Only a brake: forgetting it is harmless.
#[derive(Debug, Default)]
pub struct FailureBackoff(Mutex<HashMap<Slot, Pause>>);

/// Uid of the daemon set, generation of its template, node.
type Slot = (Box<str>, i64, Box<str>);

#[derive(Debug)]
struct Pause {
    pod: Box<str>,
    since: Instant,
    length: Duration,
}

impl FailureBackoff {
    /// How long nodes with a failed pod must wait; those that need not are let go now.
    fn waits(&self, set: &DaemonSetView, pods: &[Arc<PodView>], now: Instant) -> HashMap<Box<str>, Duration> {
        let failed = pods.iter().filter(|pod| &*pod.status.phase == "Failed" && !pod.metadata.is_deleting());
        let mut pauses = self.0.lock();
        if pauses.len() > REMEMBERED {
            pauses.retain(|_, pause| now.duration_since(pause.since) < pause.length * 2);
        }
        failed
            .filter_map(|pod| {
                let node = node_of(pod)?;
                let key = (set.metadata.uid.clone(), set.status.observed_generation, node.into());
                let wait = pauses
                    .entry(key)
                    .or_insert_with(|| Pause { pod: pod.metadata.uid.clone(), since: now, length: FIRST })
                    .wait(&pod.metadata.uid, now);
                (!wait.is_zero()).then(|| (node.into(), wait))
            })
            .collect()
    }
}

impl Pause {
    fn wait(&mut self, pod: &str, now: Instant) -> Duration {
        if &*self.pod == pod {
            return Duration::ZERO;
        }
        let passed = now.duration_since(self.since);
        if passed < self.length {
            return self.length - passed;
        }
        let length = if passed > LONGEST * 2 { FIRST } else { (self.length * 2).min(LONGEST) };
        *self = Self { pod: pod.into(), since: now, length };
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn failed_pods_of_one_node_go_less_and_less_often() {
        let (backoff, set) = (FailureBackoff::default(), DaemonSetView::default());
        let start = Instant::now();
        let waits = |uid: &str, seconds: u64| -> u64 {
            let pod =
                json!({"metadata": {"uid": uid}, "spec": {"nodeName": "n"}, "status": {"phase": "Failed"}});
            let pods = [Arc::new(serde_json::from_value::<PodView>(pod).unwrap())];
            backoff
                .waits(&set, &pods, start + Duration::from_secs(seconds))
                .get("n")
                .map_or(0, Duration::as_secs)
        };
        assert_eq!((waits("a", 0), waits("a", 0), waits("b", 0)), (0, 0, 1));
        assert_eq!((waits("b", 1), waits("c", 2), waits("c", 3)), (0, 1, 0));
        assert_eq!(waits("d", 4), 3);
    }
}
