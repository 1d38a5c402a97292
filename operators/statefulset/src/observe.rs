//! What a decision about a stateful set needs: its pods, its revisions, and what it may adopt.

use crate::{build, plan::history};
use proa_kit::{
    Error, Index, Reader, Typed,
    owner::{Claim, claim},
    views::{ControllerRevisionView, PodView, StatefulSetView},
};
use std::sync::Arc;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Pods it controls, and orphans of its namespace.
    pub pods: Vec<Arc<PodView>>,
    /// Revisions it controls, and orphans of its namespace.
    pub revisions: Vec<Arc<ControllerRevisionView>>,
    /// Whether the API server says that it may adopt: the cache might not know yet that it is being deleted.
    pub may_adopt: bool,
    /// The name that a new revision would get is taken.
    pub name_taken: bool,
}

/// Reads it.
pub async fn observe(reader: &Reader, set: &Arc<StatefulSetView>) -> Result<Observed, Error> {
    let meta = &set.metadata;
    let pod_cache = reader.cache::<PodView>();
    let mut pods = pod_cache.by(&Index::CONTROLLER, &meta.uid);
    pods.extend(pod_cache.by(&Index::ORPHANS, &meta.namespace));
    let revision_cache = reader.cache::<ControllerRevisionView>();
    let mut revisions = revision_cache.by(&Index::CONTROLLER, &meta.uid);
    revisions.extend(revision_cache.by(&Index::ORPHANS, &meta.namespace));
    let adopts = |object| claim(meta, &set.spec.selector, object) == Claim::Adopt;
    let orphans = pods.iter().any(|pod| adopts(&pod.metadata) && build::ordinal(set, pod).is_some())
        || revisions.iter().any(|revision| adopts(&revision.metadata));
    let name_taken = history::is_taken(set, revision_cache.get(&history::key(set)));
    Ok(Observed { pods, revisions, may_adopt: orphans && may_adopt(reader, set).await?, name_taken })
}

async fn may_adopt(reader: &Reader, set: &StatefulSetView) -> Result<bool, Error> {
    let fresh = reader.get_metadata(&set.reference()).await?;
    Ok(fresh.is_some_and(|meta| meta.uid == set.metadata.uid && !meta.is_deleting()))
}
