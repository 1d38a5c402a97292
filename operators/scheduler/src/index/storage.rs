//! Claims, volumes and classes: what the volumes of a pod ask of nodes, and pods that wait for their volumes to be bound.
//!
//! Invariants: what was decided for a claim (its node, its volume) holds for every other pod from the decision on, until
//! the pods that wait for it are bound or give up; a claim that one pod has for itself (`ReadWriteOncePod`) counts the
//! pods that are placed with it. A pod without claims costs nothing here.
//! Upstream: pkg/scheduler/framework/plugins/volumebinding/{binder,assume_cache}.go.

use super::{Candidate, nodes::Nodes};
use crate::plan::filter::volume_binding::Choice;
use proa_kit::{
    Change, Key, Timestamp, View,
    storage::claim_key,
    views::{PersistentVolumeClaimView, PersistentVolumeView, StorageClassView},
};
use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// How long a pod waits for its volumes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// A claim that only one pod may use.
const EXCLUSIVE: &str = "ReadWriteOncePod";

/// What the claims of a pod ask of nodes.
#[derive(Clone, Debug, Default)]
pub struct PodClaims {
    /// Volumes of claims that are bound; none where the volume is gone.
    pub bound: Vec<Option<Arc<PersistentVolumeView>>>,
    /// Claims that get their volume once the pod has a node.
    pub unbound: Vec<Unbound>,
    /// Whether another pod has one of them for itself.
    pub is_taken: bool,
}

/// A claim that gets its volume once its pod has a node.
#[derive(Clone, Debug)]
pub struct Unbound {
    /// The claim.
    pub claim: Arc<PersistentVolumeClaimView>,
    /// Its class.
    pub class: Arc<StorageClassView>,
    /// The node that was chosen for it already.
    pub node: Option<Box<str>>,
    /// Volumes that it may get.
    pub volumes: Vec<Arc<PersistentVolumeView>>,
}

/// What changed about claims, volumes and classes since pods were last tried for it.
#[derive(Debug, Default)]
pub(super) struct Restocked {
    claims: HashSet<Key>,
    volumes: HashSet<Box<str>>,
    classes: HashSet<Box<str>>,
}

impl Restocked {
    /// Whether nothing did.
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.volumes.is_empty() && self.classes.is_empty()
    }
    /// A claim did.
    pub(super) fn claim(&mut self, change: &Change<PersistentVolumeClaimView>) {
        self.claims.extend(change.latest().map(|claim| claim.key()));
    }
    /// A volume did: it matters to the claim that has it, and to those of its class.
    pub(super) fn volume(&mut self, change: &Change<PersistentVolumeView>) {
        for volume in change.old.iter().chain(&change.new) {
            self.volumes.insert(volume.metadata.name.clone());
            self.classes.insert(volume.class().into());
        }
    }
    /// A class did.
    pub(super) fn class(&mut self, change: &Change<StorageClassView>) {
        self.classes.extend(change.latest().map(|class| class.metadata.name.clone()));
    }
    /// A pod left its node: its claims are free again, and so are volumes that were meant for them.
    pub(super) fn left(&mut self, pod: &Candidate, storage: &Storage) {
        for (key, _) in &pod.claims {
            self.classes.extend(storage.claims.get(key).map(|claim| Box::<str>::from(claim.class())));
            self.claims.insert(key.clone());
        }
    }
}

/// What was decided for a claim, and who waits for it.
#[derive(Debug)]
struct Chosen {
    node: Box<str>,
    volume: Option<Box<str>>,
    pods: BTreeSet<Key>,
}

#[derive(Debug)]
struct Awaited {
    claims: Vec<Key>,
    until: Timestamp,
}

/// See the module's text.
#[derive(Debug, Default)]
pub struct Storage {
    claims: HashMap<Key, Arc<PersistentVolumeClaimView>>,
    volumes: HashMap<Box<str>, Arc<PersistentVolumeView>>,
    /// Names of volumes that are not bound, by class.
    free: HashMap<Box<str>, BTreeSet<Box<str>>>,
    classes: HashMap<Box<str>, Arc<StorageClassView>>,
    /// Placed pods by the claims that they use.
    users: HashMap<Key, u32>,
    awaited: HashMap<Key, Awaited>,
    /// Those that wait, by when they give up.
    deadlines: BTreeSet<(Timestamp, Key)>,
    chosen: HashMap<Key, Chosen>,
    ready: VecDeque<Key>,
}

impl Storage {
    /// Takes in a change of a claim. Pods that will not get it bound, and why.
    pub(super) fn claim(&mut self, change: &Change<PersistentVolumeClaimView>) -> Vec<(Key, String)> {
        let Some(latest) = change.latest() else { return Vec::new() };
        let key = latest.key();
        match &change.new {
            Some(claim) => drop(self.claims.insert(key.clone(), claim.clone())),
            None => drop(self.claims.remove(&key)),
        }
        let Some(chosen) = self.chosen.get(&key) else { return Vec::new() };
        let pods: Vec<Key> = chosen.pods.iter().cloned().collect();
        let is_selected =
            |claim: &Arc<PersistentVolumeClaimView>| claim.selected_node() == Some(&*chosen.node);
        let name = key.name();
        let why = match (&change.old, &change.new) {
            (_, None) => format!("persistentvolumeclaim {name:?} not found"),
            (Some(old), Some(new)) if is_selected(old) && !is_selected(new) && !new.is_bound() => {
                format!("provisioning failed for PVC {name:?}")
            }
            (_, Some(new)) if new.is_bound() => {
                let done: Vec<Key> = pods.into_iter().filter(|pod| self.is_done(pod)).collect();
                self.ready.extend(done);
                return Vec::new();
            }
            _ => return Vec::new(),
        };
        pods.into_iter().map(|pod| (pod, why.clone())).collect()
    }
    fn is_done(&self, pod: &Key) -> bool {
        let is_bound = |claim: &Key| self.claims.get(claim).is_some_and(|claim| claim.is_bound());
        self.awaited.get(pod).is_some_and(|own| own.claims.iter().all(is_bound))
    }
    /// Takes in a change of a volume.
    pub(super) fn volume(&mut self, change: &Change<PersistentVolumeView>) {
        if let Some(old) = &change.old {
            let name = &old.metadata.name;
            self.volumes.remove(name);
            if let Some(names) = self.free.get_mut(old.class()) {
                names.remove(name);
                if names.is_empty() {
                    self.free.remove(old.class());
                }
            }
        }
        if let Some(new) = &change.new {
            let name = &new.metadata.name;
            if new.spec.claim_ref.as_ref().is_none_or(|own| own.uid.is_empty()) {
                self.free.entry(new.class().into()).or_default().insert(name.clone());
            }
            self.volumes.insert(name.clone(), new.clone());
        }
    }
    /// Takes in a change of a class.
    pub(super) fn class(&mut self, change: &Change<StorageClassView>) {
        let Some(latest) = change.latest() else { return };
        let name = &latest.metadata.name;
        match &change.new {
            Some(class) => drop(self.classes.insert(name.clone(), class.clone())),
            None => drop(self.classes.remove(name)),
        }
    }
    /// A pod comes to a node or leaves it.
    pub(super) fn count(&mut self, pod: &Candidate, comes: bool) {
        for (claim, _) in &pod.claims {
            let users = self.users.entry(claim.clone()).or_default();
            *users = if comes { *users + 1 } else { users.saturating_sub(1) };
            if *users == 0 {
                self.users.remove(claim);
            }
        }
    }
    /// Whether what changed is about the pod.
    pub(super) fn concerns(&self, pod: &Candidate, restocked: &Restocked) -> bool {
        pod.claims.iter().any(|(key, _)| {
            restocked.claims.contains(key)
                || self.claims.get(key).is_some_and(|claim| {
                    restocked.volumes.contains(&claim.spec.volume_name)
                        || !claim.is_bound() && restocked.classes.contains(claim.class())
                })
        })
    }
    /// What a pod's claims ask of nodes.
    ///
    /// # Errors
    /// No node is asked, for what is said.
    pub fn ask(&self, pod: &Candidate, nodes: &Nodes) -> Result<PodClaims, String> {
        let mut asked = PodClaims::default();
        let mut is_immediate = false;
        for (key, is_own) in &pod.claims {
            let name = key.name();
            let Some(claim) = self.claims.get(key) else {
                return Err(match is_own {
                    true => {
                        format!(
                            "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
                        )
                    }
                    false => format!("persistentvolumeclaim {name:?} not found"),
                });
            };
            if &*claim.status.phase == "Lost" {
                let volume = &claim.spec.volume_name;
                return Err(format!(
                    "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
                ));
            }
            if claim.metadata.is_deleting() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if *is_own && !claim.metadata.is_controlled_by(&pod.view.metadata.uid) {
                let (namespace, own) = (key.namespace(), &pod.view.metadata.name);
                return Err(format!(
                    "PVC {namespace}/{name} was not created for pod {namespace}/{own} (pod is not owner)"
                ));
            }
            asked.is_taken |= self.users.contains_key(key)
                && claim.spec.access_modes.iter().any(|mode| &**mode == EXCLUSIVE);
            if claim.is_bound() {
                asked.bound.push(self.volumes.get(&claim.spec.volume_name).cloned());
                continue;
            }
            let class = self.classes.get(claim.class()).filter(|class| class.waits());
            match class.filter(|_| claim.spec.volume_name.is_empty()) {
                Some(class) => asked.unbound.push(self.unbound(key, claim, class, nodes)),
                None => is_immediate = true,
            }
        }
        asked.unbound.sort_by_key(|own| own.claim.size());
        if is_immediate {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        Ok(asked)
    }
    fn unbound(
        &self,
        key: &Key,
        claim: &Arc<PersistentVolumeClaimView>,
        class: &Arc<StorageClassView>,
        nodes: &Nodes,
    ) -> Unbound {
        let chosen = self.chosen.get(key);
        // One that is gone makes no volume: another is chosen.
        let selected = claim.selected_node().filter(|node| nodes.exists(node));
        let names: Vec<&Box<str>> = match chosen {
            // What was decided for one of its pods holds for all: the volume may be given to it by now, and not be free.
            Some(own) => own.volume.iter().collect(),
            None => {
                let taken: HashSet<&Box<str>> =
                    self.chosen.values().filter_map(|own| own.volume.as_ref()).collect();
                let free = self.free.get(claim.class()).into_iter().flatten();
                free.filter(|name| !taken.contains(name)).collect()
            }
        };
        Unbound {
            claim: claim.clone(),
            class: class.clone(),
            node: chosen.map(|own| own.node.clone()).or_else(|| selected.map(Into::into)),
            volumes: names.into_iter().filter_map(|name| self.volumes.get(name)).cloned().collect(),
        }
    }
    /// A pod waits until its claims are bound.
    pub(super) fn wait(&mut self, pod: &Key, node: &str, choices: &[Choice], now: Timestamp) {
        self.forget(pod);
        let claims: Vec<Key> = choices.iter().map(|choice| choice.claim.key()).collect();
        for (key, choice) in claims.iter().zip(choices) {
            let volume = choice.volume.as_ref().map(|volume| volume.metadata.name.clone());
            let new = || Chosen { node: node.into(), volume, pods: BTreeSet::new() };
            self.chosen.entry(key.clone()).or_insert_with(new).pods.insert(pod.clone());
        }
        let until = now + PATIENCE;
        self.deadlines.insert((until, pod.clone()));
        self.awaited.insert(pod.clone(), Awaited { claims, until });
    }
    /// It waits no more. Whether it did.
    pub(super) fn forget(&mut self, pod: &Key) -> bool {
        let Some(awaited) = self.awaited.remove(pod) else { return false };
        self.deadlines.remove(&(awaited.until, pod.clone()));
        for claim in &awaited.claims {
            if let Some(chosen) = self.chosen.get_mut(claim) {
                chosen.pods.remove(pod);
                if chosen.pods.is_empty() {
                    self.chosen.remove(claim);
                }
            }
        }
        true
    }
    /// Whether it waits.
    pub(super) fn is_awaiting(&self, pod: &Key) -> bool {
        self.awaited.contains_key(pod)
    }
    /// Whether there is a pod whose claims are all bound.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
    /// The next pod whose claims are all bound.
    pub(super) fn next_ready(&mut self) -> Option<Key> {
        while let Some(pod) = self.ready.pop_front() {
            if self.forget(&pod) {
                return Some(pod);
            }
        }
        None
    }
    /// Pods that have waited too long.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<Key> {
        let late = self.deadlines.iter().take_while(|(until, _)| *until <= now);
        late.map(|(_, pod)| pod.clone()).collect()
    }
    /// When the next pod has waited too long.
    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.deadlines.first().map(|(until, _)| *until)
    }
}

/// The claims of a pod, and whether they are made for it.
pub(super) fn claims_of(pod: &proa_kit::views::PodView) -> Box<[(Key, bool)]> {
    proa_kit::storage::claim_names(pod).map(|(name, is_own)| (claim_key(pod, &name), is_own)).collect()
}
