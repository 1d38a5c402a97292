//! What a decision about a deployment needs: its replica sets, and whether old pods still run.

use crate::build::replica_set_name;
use proa_kit::{
    Error, Index, Key, Reader, Typed,
    owner::{Claim, claim},
    views::{DeploymentView, PodView, ReplicaSetView},
};
use std::sync::Arc;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Replica sets it controls, and orphans of its namespace.
    pub sets: Vec<Arc<ReplicaSetView>>,
    /// Pods of its replica sets that have not ended; only when it recreates.
    pub pods: Vec<Arc<PodView>>,
    /// Whether the API server says that it may adopt.
    pub may_adopt: bool,
    /// The name that a new replica set would get is taken.
    pub name_taken: bool,
}

/// Reads it.
pub async fn observe(reader: &Reader, deployment: &Arc<DeploymentView>) -> Result<Observed, Error> {
    let cache = reader.cache::<ReplicaSetView>();
    let meta = &deployment.metadata;
    let mut sets = cache.by(&Index::CONTROLLER, &meta.uid);
    let pods = if deployment.spec.recreates() { unfinished(reader, &sets) } else { Vec::new() };
    sets.extend(cache.by(&Index::ORPHANS, &meta.namespace));
    let adopts = sets.iter().any(|set| claim(meta, &deployment.spec.selector, &set.metadata) == Claim::Adopt);
    let name = replica_set_name(deployment);
    Ok(Observed {
        sets,
        pods,
        may_adopt: adopts && may_adopt(reader, deployment).await?,
        name_taken: cache.get(&Key::new(&meta.namespace, &name)).is_some(),
    })
}

fn unfinished(reader: &Reader, sets: &[Arc<ReplicaSetView>]) -> Vec<Arc<PodView>> {
    let cache = reader.cache::<PodView>();
    let pods = sets.iter().flat_map(|set| cache.by(&Index::CONTROLLER, &set.metadata.uid));
    pods.filter(|pod| !pod.is_terminal()).collect()
}

async fn may_adopt(reader: &Reader, deployment: &DeploymentView) -> Result<bool, Error> {
    let fresh = reader.get_metadata(&deployment.reference()).await?;
    Ok(fresh.is_some_and(|meta| meta.uid == deployment.metadata.uid && !meta.is_deleting()))
}
