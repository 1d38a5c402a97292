//! What concerns this node: claims that wait for it to make a volume, volumes that it made, and the classes.

use crate::{PROVISIONER, render::NODE};
use proa_kit::{
    Change, Key, View,
    project::Dirty,
    storage::{PROVISIONED_BY, PROVISIONER as ASKED},
    views::{PersistentVolumeClaimView, PersistentVolumeView, StorageClassView},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// What can change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Row {
    /// A claim.
    Claim(Key),
    /// A volume, by name.
    Volume(Box<str>),
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    node: Box<str>,
    /// Claims that wait for a volume from here.
    pub(crate) claims: BTreeMap<Key, Arc<PersistentVolumeClaimView>>,
    /// Volumes of this node.
    pub(crate) volumes: BTreeMap<Box<str>, Arc<PersistentVolumeView>>,
    /// Classes by name.
    pub(crate) classes: HashMap<Box<str>, Arc<StorageClassView>>,
}

impl Index {
    /// Nothing known yet.
    pub fn new(node: &str) -> Self {
        Self { node: node.into(), ..Self::default() }
    }
    /// Takes in a change of a claim.
    pub fn claim(&mut self, change: &Change<PersistentVolumeClaimView>, dirty: &mut Dirty<Row>) {
        let Some(latest) = change.latest() else { return };
        let key = latest.key();
        let Some(claim) = change.new.as_ref().filter(|claim| self.waits(claim)) else {
            self.claims.remove(&key);
            return;
        };
        self.claims.insert(key.clone(), claim.clone());
        dirty.mark(Row::Claim(key));
    }
    /// One without a node is told so by all.
    fn waits(&self, claim: &PersistentVolumeClaimView) -> bool {
        claim.metadata.annotations.get(ASKED) == Some(PROVISIONER)
            && claim.spec.volume_name.is_empty()
            && !claim.metadata.is_deleting()
            && claim.selected_node().is_none_or(|node| *node == *self.node)
    }
    /// Takes in a change of a volume.
    pub fn volume(&mut self, change: &Change<PersistentVolumeView>, dirty: &mut Dirty<Row>) {
        let Some(latest) = change.latest() else { return };
        let name = latest.metadata.name.clone();
        let Some(volume) = change.new.as_ref().filter(|volume| self.is_own(volume)) else {
            self.volumes.remove(&name);
            return;
        };
        self.volumes.insert(name.clone(), volume.clone());
        dirty.mark(Row::Volume(name));
    }
    fn is_own(&self, volume: &PersistentVolumeView) -> bool {
        let annotations = &volume.metadata.annotations;
        annotations.get(PROVISIONED_BY) == Some(PROVISIONER) && annotations.get(NODE) == Some(&self.node)
    }
    /// Takes in a change of a class.
    pub fn class(&mut self, change: &Change<StorageClassView>, dirty: &mut Dirty<Row>) {
        let Some(latest) = change.latest() else { return };
        let name = &latest.metadata.name;
        match &change.new {
            Some(class) => drop(self.classes.insert(name.clone(), class.clone())),
            None => drop(self.classes.remove(name)),
        }
        for (key, claim) in &self.claims {
            if *claim.class() == **name {
                dirty.mark(Row::Claim(key.clone()));
            }
        }
    }
}
