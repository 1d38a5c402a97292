//! What a decision about a stateful set needs: its pods, their claims, its revisions, and what it may adopt.

use crate::{
    build,
    plan::{BURST, history},
};
use proa_kit::{
    Error, Index, Key, Reader, Typed,
    owner::{Claim, claim},
    views::{ControllerRevisionView, PersistentVolumeClaimView, PodView, StatefulSetView},
};
use std::{collections::BTreeSet, sync::Arc};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Pods it controls, and orphans of its namespace.
    pub pods: Vec<Arc<PodView>>,
    /// Claims of its pods, and of those that it may make next.
    pub claims: Vec<Arc<PersistentVolumeClaimView>>,
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
    let claims = claims(reader, set, &pods);
    Ok(Observed { pods, claims, revisions, may_adopt: orphans && may_adopt(reader, set).await?, name_taken })
}

fn claims(
    reader: &Reader,
    set: &StatefulSetView,
    pods: &[Arc<PodView>],
) -> Vec<Arc<PersistentVolumeClaimView>> {
    let templates = &set.spec.volume_claim_templates;
    if templates.is_empty() {
        return Vec::new();
    }
    let cache = reader.cache::<PersistentVolumeClaimView>();
    let present: BTreeSet<i32> = pods.iter().filter_map(|pod| build::ordinal(set, pod)).collect();
    let start = set.spec.start();
    let wanted = start..start.saturating_add(set.spec.replicas());
    let missing = wanted.filter(|ordinal| !present.contains(ordinal)).take(BURST);
    let names = present.iter().copied().chain(missing).flat_map(|ordinal| {
        templates.iter().map(move |template| build::claim_name(set, template.value(), ordinal))
    });
    names.filter_map(|name| cache.get(&Key::new(&set.metadata.namespace, &name))).collect()
}

async fn may_adopt(reader: &Reader, set: &StatefulSetView) -> Result<bool, Error> {
    let fresh = reader.get_metadata(&set.reference()).await?;
    Ok(fresh.is_some_and(|meta| meta.uid == set.metadata.uid && !meta.is_deleting()))
}
