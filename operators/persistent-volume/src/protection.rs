//! Protection: a claim does not go while pods on nodes use it, a volume does not go while it is bound.
//!
//! Admission gives new objects their finalizers; here they are taken off when an object may go, and given to those that
//! lack one. Beside it, the condition `Unused` of bound claims.
//! Upstream: pkg/controller/volume/{pvcprotection,pvprotection}.

pub mod plan;

use proa_kit::{
    Change, Error, Key, Operator, Plan, Read, Reader, Timestamp, Typed, Watch, Write,
    storage::{USERS, claim_key, claim_names, users_of},
    views::{PersistentVolumeClaimView, PersistentVolumeView, PodView},
};
use std::sync::Arc;

/// The operator that protects claims.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimProtection;

impl Operator for ClaimProtection {
    const NAME: &'static str = "pvc-protection-controller";
    type Object = PersistentVolumeClaimView;
    type Observed = Vec<Arc<PodView>>;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<PersistentVolumeClaimView>().into(),
            Watch::mapped::<PodView>(of_pod).index(USERS).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&PodView::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PersistentVolumeClaimView::KIND, &["patch"]),
            Write::sub(&PersistentVolumeClaimView::KIND, "status", &["patch"]),
        ]
    }
    /// The pods that use it. Before it goes, the API server is asked: the cache might not know a pod yet.
    async fn observe(
        &self,
        reader: &Reader,
        claim: &Arc<PersistentVolumeClaimView>,
    ) -> Result<Self::Observed, Error> {
        let meta = &claim.metadata;
        let users = reader.cache::<PodView>().by(&USERS, &users_of(&meta.namespace, &meta.name));
        if !plan::may_go(claim, &users) {
            return Ok(users);
        }
        let all = reader.list::<PodView>(&PodView::KIND, &meta.namespace).await?;
        let uses = |pod: &PodView| claim_names(pod).any(|(name, _)| *name == *meta.name);
        Ok(all.items.into_iter().filter(uses).map(Arc::new).collect())
    }
    fn plan(&self, claim: &PersistentVolumeClaimView, users: &Self::Observed, now: Timestamp) -> Plan {
        plan::claim(claim, users, now)
    }
}

/// A pod that comes, goes, ends, or gets its node, wakes its claims.
fn of_pod(change: &Change<PodView>, _: &Reader, wake: &mut dyn FnMut(Key)) {
    let stage = |pod: &Option<Arc<PodView>>| {
        pod.as_ref().map(|pod| (pod.is_terminal(), pod.spec.node_name.is_empty(), pod.metadata.uid.clone()))
    };
    let Some(latest) = change.latest() else { return };
    if latest.spec.volumes.is_empty() || stage(&change.old) == stage(&change.new) {
        return;
    }
    claim_names(latest).for_each(|(name, _)| wake(claim_key(latest, &name)));
}

/// The operator that protects volumes.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeProtection;

impl Operator for VolumeProtection {
    const NAME: &'static str = "pv-protection-controller";
    type Object = PersistentVolumeView;
    type Observed = ();

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::primary::<PersistentVolumeView>().into()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::to(&PersistentVolumeView::KIND, &["patch"])]
    }
    async fn observe(&self, _: &Reader, _: &Arc<PersistentVolumeView>) -> Result<(), Error> {
        Ok(())
    }
    fn plan(&self, volume: &PersistentVolumeView, (): &(), _: Timestamp) -> Plan {
        plan::volume(volume)
    }
}
