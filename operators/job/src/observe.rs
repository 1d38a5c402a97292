//! What a decision about a job needs: its pods, and tracked pods of an earlier job of the same name.

use crate::TRACKED;
use proa_kit::{
    Error, Index, Reader, Typed, View,
    owner::{Claim, claim},
    views::{JobView, PodView},
};
use std::sync::Arc;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Pods it controls, and orphans of its namespace.
    pub pods: Vec<Arc<PodView>>,
    /// Pods that carry the finalizer for a job of this name that is gone.
    pub strays: Vec<Arc<PodView>>,
    /// Whether the API server says that it may adopt.
    pub may_adopt: bool,
}

/// Reads it.
pub async fn observe(reader: &Reader, job: &Arc<JobView>) -> Result<Observed, Error> {
    let cache = reader.cache::<PodView>();
    let meta = &job.metadata;
    let strays = cache.by(&TRACKED, job.key().as_str());
    let is_stray = |pod: &Arc<PodView>| match pod.metadata.controller() {
        Some(owner) => owner.uid != meta.uid,
        None => claim(meta, &job.spec.selector, &pod.metadata) != Claim::Adopt,
    };
    let mut pods = cache.by(&Index::CONTROLLER, &meta.uid);
    pods.extend(cache.by(&Index::ORPHANS, &meta.namespace));
    let adopts = pods.iter().any(|pod| claim(meta, &job.spec.selector, &pod.metadata) == Claim::Adopt);
    Ok(Observed {
        pods,
        strays: strays.into_iter().filter(is_stray).collect(),
        may_adopt: adopts && may_adopt(reader, job).await?,
    })
}

async fn may_adopt(reader: &Reader, job: &JobView) -> Result<bool, Error> {
    let fresh = reader.get_metadata(&job.reference()).await?;
    Ok(fresh.is_some_and(|meta| meta.uid == job.metadata.uid && !meta.is_deleting()))
}
