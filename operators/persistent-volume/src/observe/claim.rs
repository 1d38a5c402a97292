//! What a decision about a claim needs: its class, the volume that it names, those that it may get.

use proa_kit::{
    Index, Key, Reader,
    storage::{USERS, default_class, users_of},
    views::{PersistentVolumeClaimView, PersistentVolumeView, PodView, StorageClassView},
};
use std::sync::Arc;

/// Claims that are not bound, by class.
pub(crate) const UNBOUND: Index<PersistentVolumeClaimView> = Index {
    name: "unbound",
    values: |claim, found| {
        if !claim.is_bound() {
            found(claim.class());
        }
    },
};
/// Volumes that are no claim's, by class.
pub(crate) const BY_CLASS: Index<PersistentVolumeView> = Index {
    name: "class",
    values: |volume, found| {
        if volume.spec.claim_ref.is_none() {
            found(volume.class());
        }
    },
};
/// Volumes by the claim that they are for.
pub(crate) const BY_CLAIM: Index<PersistentVolumeView> = Index {
    name: "claim",
    values: |volume, found| {
        if let Some(claim) = &volume.spec.claim_ref {
            found(claim.key().as_str());
        }
    },
};

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Its class.
    pub class: Option<Arc<StorageClassView>>,
    /// Name of the default class.
    pub default_class: Option<Box<str>>,
    /// The volume that it names.
    pub volume: Option<Arc<PersistentVolumeView>>,
    /// Volumes of its class that are no claim's, and those that are reserved for it.
    pub candidates: Vec<Arc<PersistentVolumeView>>,
    /// Names of the pods that use it and have no node yet.
    pub waiting: Vec<Box<str>>,
}

/// Reads it.
pub(crate) fn observe(reader: &Reader, claim: &PersistentVolumeClaimView) -> Observed {
    let volumes = reader.cache::<PersistentVolumeView>();
    let named = &claim.spec.volume_name;
    let volume = if named.is_empty() { None } else { volumes.get(&Key::new("", named)) };
    if claim.is_bound() {
        return Observed { volume, ..Observed::default() };
    }
    let classes = reader.cache::<StorageClassView>();
    let key = Key::new(&claim.metadata.namespace, &claim.metadata.name);
    let mut candidates = volumes.by(&BY_CLAIM, key.as_str());
    candidates.extend(volumes.by(&BY_CLASS, claim.class()));
    let default = claim.named_class().is_none().then(|| classes.list());
    let default = default.as_ref().and_then(|all| default_class(all.iter().map(|class| &**class)));
    let users =
        reader.cache::<PodView>().by(&USERS, &users_of(&claim.metadata.namespace, &claim.metadata.name));
    let waiting = users.iter().filter(|pod| pod.is_active() && pod.spec.node_name.is_empty());
    let mut waiting: Vec<_> = waiting.map(|pod| pod.metadata.name.clone()).collect();
    waiting.sort();
    Observed {
        class: Some(claim.class())
            .filter(|class| !class.is_empty())
            .and_then(|c| classes.get(&Key::new("", c))),
        default_class: default.map(|class| class.metadata.name.clone()),
        volume,
        candidates,
        waiting,
    }
}
