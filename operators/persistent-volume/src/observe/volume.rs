//! What a decision about a volume needs: the claim that it is for.

use proa_kit::{
    Error, ObjectRef, Reader, Typed,
    views::{PersistentVolumeClaimView, PersistentVolumeView},
};
use std::sync::Arc;

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The claim with the uid that the volume says; none when there is none.
    pub claim: Option<Arc<PersistentVolumeClaimView>>,
}

/// Reads it. That a claim is gone is taken from the API server alone, since data is deleted for it.
pub(crate) async fn observe(reader: &Reader, volume: &PersistentVolumeView) -> Result<Observed, Error> {
    let Some(own) = volume.spec.claim_ref.as_ref().filter(|own| !own.uid.is_empty()) else {
        return Ok(Observed::default());
    };
    let is_it = |claim: &PersistentVolumeClaimView| claim.metadata.uid == own.uid;
    let cached = reader.cache::<PersistentVolumeClaimView>().get(&own.key());
    if let Some(claim) = cached.filter(|claim| is_it(claim)) {
        return Ok(Observed { claim: Some(claim) });
    }
    let target = ObjectRef::new(PersistentVolumeClaimView::KIND, &own.namespace, &own.name);
    let fresh = reader.get::<PersistentVolumeClaimView>(&target).await?;
    Ok(Observed { claim: fresh.filter(is_it).map(Arc::new) })
}
