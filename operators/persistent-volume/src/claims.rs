//! Claims: each gets a volume, or says what it waits for.

pub mod observe;
pub mod plan;

use observe::{Observed, UNBOUND};
use proa_kit::{
    Change, Error, Key, Operator, Plan, Reader, Timestamp, Typed, View, Watch, Write,
    storage::{USERS, claim_key, claim_names},
    views::{PersistentVolumeClaimView, PersistentVolumeView, PodView, StorageClassView},
};
use std::sync::Arc;

/// The operator of claims.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimOperator;

impl Operator for ClaimOperator {
    const NAME: &'static str = "persistentvolume-controller";
    type Object = PersistentVolumeClaimView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<PersistentVolumeClaimView>().index(UNBOUND).into(),
            Watch::mapped::<PersistentVolumeView>(of_volume)
                .index(observe::BY_CLASS)
                .index(observe::BY_CLAIM)
                .into(),
            Watch::mapped::<StorageClassView>(of_class).into(),
            Watch::mapped::<PodView>(of_pod).index(USERS).into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PersistentVolumeClaimView::KIND, &["patch"]),
            Write::sub(&PersistentVolumeClaimView::KIND, "status", &["patch"]),
            Write::to(&PersistentVolumeView::KIND, &["patch"]),
            Write::sub(&PersistentVolumeView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(
        &self,
        reader: &Reader,
        claim: &Arc<PersistentVolumeClaimView>,
    ) -> Result<Observed, Error> {
        Ok(observe::observe(reader, claim))
    }
    fn plan(&self, claim: &PersistentVolumeClaimView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(claim, observed, now)
    }
}

/// A volume wakes the claim that it is for; one that has become free, those of its class that have none yet.
fn of_volume(change: &Change<PersistentVolumeView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    for claim in change.both().filter_map(|volume| volume.spec.claim_ref.as_ref()) {
        wake(claim.key());
    }
    let Some(latest) = change.latest() else { return };
    let is_free = |volume: &PersistentVolumeView| {
        volume.spec.claim_ref.is_none() && &*volume.status.phase == "Available"
    };
    let is_new = change.old.as_ref().is_none_or(|old| !is_free(old));
    let claims = reader.cache::<PersistentVolumeClaimView>();
    let unbound = claims.by(&UNBOUND, latest.class());
    for claim in unbound {
        let names_it = claim.spec.volume_name == latest.metadata.name;
        if names_it || is_new && change.new.as_ref().is_some_and(|new| is_free(new)) {
            wake(claim.key());
        }
    }
}

/// A class wakes the claims that wait for it; the default, those without a class.
fn of_class(change: &Change<StorageClassView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(class) = change.latest() else { return };
    let claims = reader.cache::<PersistentVolumeClaimView>();
    let default = class.is_default().then(|| claims.by(&UNBOUND, ""));
    let named = claims.by(&UNBOUND, &class.metadata.name);
    default.into_iter().flatten().chain(named).for_each(|claim| wake(claim.key()));
}

/// A new pod wakes its claims: what they wait for is another thing now.
fn of_pod(change: &Change<PodView>, _: &Reader, wake: &mut dyn FnMut(Key)) {
    if let (None, Some(pod)) = (&change.old, &change.new) {
        claim_names(pod).for_each(|(name, _)| wake(claim_key(pod, &name)));
    }
}
