//! What a decision about a replica set needs: its pods, pods it may adopt, and pods of its siblings.

use crate::PodSet;
use proa_kit::{
    Error, Index, Reader,
    owner::{Claim, claim},
    views::PodView,
};
use std::sync::Arc;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Pods it controls, and orphans of its namespace.
    pub pods: Vec<Arc<PodView>>,
    /// Active pods of all replica sets of the same deployment, its own among them: near ones are deleted first.
    pub related: Vec<Arc<PodView>>,
    /// Whether the API server says that it may adopt: the cache might not know yet that it is being deleted.
    pub may_adopt: bool,
}

/// Reads it.
pub async fn observe<V: PodSet>(reader: &Reader, set: &V) -> Result<Observed, Error> {
    let cache = reader.cache::<PodView>();
    let mut pods = cache.by(&Index::CONTROLLER, &set.meta().uid);
    let owned = pods.iter().filter(|pod| pod.is_active()).count();
    pods.extend(cache.by(&Index::ORPHANS, &set.meta().namespace));
    let adopts = pods
        .iter()
        .any(|pod| pod.is_active() && claim(set.meta(), &set.spec().selector, &pod.metadata) == Claim::Adopt);
    let surplus = i32::try_from(owned).is_ok_and(|owned| owned > set.spec().replicas());
    Ok(Observed {
        pods,
        related: if surplus { related(reader, set) } else { Vec::new() },
        may_adopt: adopts && may_adopt(reader, set).await?,
    })
}

fn related<V: PodSet>(reader: &Reader, set: &V) -> Vec<Arc<PodView>> {
    let pods = reader.cache::<PodView>();
    let siblings: Vec<Box<str>> = match set.meta().controller() {
        None => vec![set.meta().uid.clone()],
        Some(owner) => {
            let sets = reader.cache::<V>().by(&Index::CONTROLLER, &owner.uid);
            sets.iter().map(|sibling| sibling.meta().uid.clone()).collect()
        }
    };
    let all = siblings.iter().flat_map(|uid| pods.by(&Index::CONTROLLER, uid));
    all.filter(|pod| pod.is_active()).collect()
}

async fn may_adopt(reader: &Reader, set: &impl PodSet) -> Result<bool, Error> {
    let fresh = reader.get_metadata(&set.reference()).await?;
    Ok(fresh.is_some_and(|meta| meta.uid == set.meta().uid && !meta.is_deleting()))
}
