//! Volumes: their phase, and what becomes of those whose claim is gone.

pub mod observe;
pub mod plan;

use observe::Observed;
use proa_kit::{
    Change, Error, Key, Operator, Plan, Read, Reader, Timestamp, Typed, View, Watch, Write,
    views::{PersistentVolumeClaimView, PersistentVolumeView},
};
use std::sync::Arc;

/// The operator of volumes.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeOperator;

impl Operator for VolumeOperator {
    const NAME: &'static str = "persistentvolume-controller";
    type Object = PersistentVolumeView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<PersistentVolumeView>().index(crate::claims::observe::BY_CLAIM).into(),
            Watch::mapped::<PersistentVolumeClaimView>(of_claim).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&PersistentVolumeClaimView::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PersistentVolumeView::KIND, &["patch"]),
            Write::sub(&PersistentVolumeView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, volume: &Arc<PersistentVolumeView>) -> Result<Observed, Error> {
        observe::observe(reader, volume).await
    }
    fn plan(&self, volume: &PersistentVolumeView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(volume, observed, now)
    }
}

/// A claim wakes the volumes that are for it, and the one that it names.
fn of_claim(change: &Change<PersistentVolumeClaimView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(latest) = change.latest() else { return };
    let volumes = reader.cache::<PersistentVolumeView>();
    for volume in volumes.by(&crate::claims::observe::BY_CLAIM, latest.key().as_str()) {
        wake(volume.key());
    }
    for named in change.both().map(|claim| &claim.spec.volume_name).filter(|name| !name.is_empty()) {
        wake(Key::new("", named));
    }
}
