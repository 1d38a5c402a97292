//! The persistent volume operator: binds claims to volumes, and keeps both from going while they are needed.
//!
//! Owns: the two sides of a binding (a volume's `claimRef`, a claim's `volumeName`), the phases of both, the finalizers
//! `kubernetes.io/pvc-protection` and `kubernetes.io/pv-protection`, the claims of ephemeral volumes, the class of claims
//! that were made before there was a default. Five reconcilers share the caches: of
//! claims, of volumes, of the protection of each, of ephemeral volumes. A volume gets its claim before the claim gets its volume, and the first write is pinned to the
//! version it was decided on, so two claims never get one volume.
//! Guarantees: a volume is released only after the API server, not a cache, said that its claim is gone.
//! Deliberately absent: provisioners (others make volumes, `local-path` among them); clearing volumes that no provisioner
//! made: with the policies Delete and Recycle these become `Failed`, with upstream's event.
//! Upstream: pkg/controller/volume/{persistentvolume,pvcprotection,pvprotection,ephemeral}.

pub mod observe;
pub mod plan;

use observe::claim::{BY_CLAIM, BY_CLASS, UNBOUND};
use plan::ephemeral;
use proa_kit::{
    Change, Client, Error, Key, Operator, Plan, Read, Reader, RunConfig, Timestamp, Typed, View, Watch,
    Write,
    rbac::rbac_rules,
    storage::{USERS, claim_key, claim_names, users_of},
    views::{PersistentVolumeClaimView, PersistentVolumeView, PodView, StorageClassView},
    watch::{Trigger, WatchOf},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator of claims.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClaimOperator;

impl Operator for ClaimOperator {
    const NAME: &'static str = "persistentvolume-controller";
    type Object = PersistentVolumeClaimView;
    type Observed = observe::claim::Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<PersistentVolumeClaimView>().index(UNBOUND).into(),
            Watch::mapped::<PersistentVolumeView>(claims_of_volume).index(BY_CLASS).index(BY_CLAIM).into(),
            Watch::mapped::<StorageClassView>(claims_of_class).into(),
            Watch::mapped::<PodView>(claims_of_new_pod).index(USERS).into(),
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
    ) -> Result<observe::claim::Observed, Error> {
        Ok(observe::claim::observe(reader, claim))
    }
    fn plan(
        &self,
        claim: &PersistentVolumeClaimView,
        observed: &observe::claim::Observed,
        now: Timestamp,
    ) -> Plan {
        plan::claim::plan(claim, observed, now)
    }
}

/// A volume wakes the claim that it is for; one that has become free, those of its class that have none yet.
fn claims_of_volume(change: &Change<PersistentVolumeView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
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
fn claims_of_class(change: &Change<StorageClassView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(class) = change.latest() else { return };
    let claims = reader.cache::<PersistentVolumeClaimView>();
    let default = class.is_default().then(|| claims.by(&UNBOUND, ""));
    let named = claims.by(&UNBOUND, &class.metadata.name);
    default.into_iter().flatten().chain(named).for_each(|claim| wake(claim.key()));
}

/// A new pod wakes its claims: what they wait for is another thing now.
fn claims_of_new_pod(change: &Change<PodView>, _: &Reader, wake: &mut dyn FnMut(Key)) {
    if let (None, Some(pod)) = (&change.old, &change.new) {
        claim_names(pod).for_each(|(name, _)| wake(claim_key(pod, &name)));
    }
}

/// The operator of volumes.
#[derive(Clone, Copy, Debug, Default)]
pub struct VolumeOperator;

impl Operator for VolumeOperator {
    const NAME: &'static str = "persistentvolume-controller";
    type Object = PersistentVolumeView;
    type Observed = observe::volume::Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<PersistentVolumeView>().index(BY_CLAIM).into(),
            Watch::mapped::<PersistentVolumeClaimView>(volumes_of_claim).into(),
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
    async fn observe(
        &self,
        reader: &Reader,
        volume: &Arc<PersistentVolumeView>,
    ) -> Result<observe::volume::Observed, Error> {
        observe::volume::observe(reader, volume).await
    }
    fn plan(
        &self,
        volume: &PersistentVolumeView,
        observed: &observe::volume::Observed,
        now: Timestamp,
    ) -> Plan {
        plan::volume::plan(volume, observed, now)
    }
}

/// A claim wakes the volumes that are for it, and the one that it names.
fn volumes_of_claim(change: &Change<PersistentVolumeClaimView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(latest) = change.latest() else { return };
    let volumes = reader.cache::<PersistentVolumeView>();
    for volume in volumes.by(&BY_CLAIM, latest.key().as_str()) {
        wake(volume.key());
    }
    for named in change.both().map(|claim| &claim.spec.volume_name).filter(|name| !name.is_empty()) {
        wake(Key::new("", named));
    }
}

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
            Watch::mapped::<PodView>(claims_of_pod).index(USERS).into(),
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
        if !plan::protection::may_go(claim, &users) {
            return Ok(users);
        }
        let all = reader.list::<PodView>(&PodView::KIND, &meta.namespace).await?;
        let uses = |pod: &PodView| claim_names(pod).any(|(name, _)| *name == *meta.name);
        Ok(all.items.into_iter().filter(uses).map(Arc::new).collect())
    }
    fn plan(&self, claim: &PersistentVolumeClaimView, users: &Self::Observed, now: Timestamp) -> Plan {
        plan::protection::claim(claim, users, now)
    }
}

/// A pod that comes, goes, ends, gets its node, or has ended going, wakes its claims.
fn claims_of_pod(change: &Change<PodView>, _: &Reader, wake: &mut dyn FnMut(Key)) {
    let stage = |pod: &Option<Arc<PodView>>| {
        pod.as_ref().map(|pod| {
            let (meta, has_node) = (&pod.metadata, !pod.spec.node_name.is_empty());
            let going = (meta.is_deleting(), meta.deletion_grace_period_seconds);
            (pod.is_terminal(), has_node, going, meta.uid.clone())
        })
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
        plan::protection::volume(volume)
    }
}

/// The operator of claims that are made for one pod.
#[derive(Clone, Copy, Debug, Default)]
pub struct EphemeralOperator;

impl Operator for EphemeralOperator {
    const NAME: &'static str = "ephemeral_volume";
    type Object = PodView;
    /// The claims that are there, of those that the pod needs.
    type Observed = Vec<Arc<PersistentVolumeClaimView>>;

    fn watches(&self) -> Vec<Watch> {
        let with_volumes = |change: &Change<PodView>, trigger: &Trigger| {
            if let Some(pod) = change.new.as_ref().filter(|pod| ephemeral::volumes(pod).next().is_some()) {
                trigger.queue.mark(pod.key());
            }
        };
        vec![
            WatchOf::<PodView>::of(PodView::KIND).index(USERS).wakes(with_volumes).into(),
            Watch::mapped::<PersistentVolumeClaimView>(pods_of_claim).into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::to(&PersistentVolumeClaimView::KIND, &["create"])]
    }
    async fn observe(&self, reader: &Reader, pod: &Arc<PodView>) -> Result<Self::Observed, Error> {
        let claims = reader.cache::<PersistentVolumeClaimView>();
        Ok(ephemeral::volumes(pod)
            .filter_map(|volume| claims.get(&claim_key(pod, &ephemeral::name(pod, volume))))
            .collect())
    }
    fn plan(&self, pod: &PodView, claims: &Self::Observed, _: Timestamp) -> Plan {
        ephemeral::plan(pod, claims)
    }
}

/// A claim that is gone wakes the pods that use its name: their own, and those whose place somebody else's claim took.
fn pods_of_claim(change: &Change<PersistentVolumeClaimView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    if let (Some(gone), None) = (&change.old, &change.new) {
        let users = users_of(&gone.metadata.namespace, &gone.metadata.name);
        reader.cache::<PodView>().by(&USERS, &users).iter().for_each(|pod| wake(pod.key()));
    }
}

/// RBAC rules that follow from what it watches and writes.
pub fn rules() -> Value {
    let watches = [
        ClaimOperator.watches(),
        VolumeOperator.watches(),
        ClaimProtection.watches(),
        VolumeProtection.watches(),
        EphemeralOperator.watches(),
    ];
    let reads = [VolumeOperator.reads(), ClaimProtection.reads()].concat();
    let writes = [
        ClaimOperator.writes(),
        VolumeOperator.writes(),
        ClaimProtection.writes(),
        VolumeProtection.writes(),
        EphemeralOperator.writes(),
    ]
    .concat();
    rbac_rules(watches.iter().flatten().map(Watch::watched), &reads, &writes)
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    futures::join!(
        proa_kit::run(ClaimOperator, client.clone(), config.clone()),
        proa_kit::run(VolumeOperator, client.clone(), config.clone()),
        proa_kit::run(ClaimProtection, client.clone(), config.clone()),
        proa_kit::run(VolumeProtection, client.clone(), config.clone()),
        proa_kit::run(EphemeralOperator, client, config),
    );
}
