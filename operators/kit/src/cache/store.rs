//! The indexed map of one cache: plain data, no waiting, no subscribers.

use super::Change;
use crate::{
    kind::Key,
    views::{PodView, View},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Calls back with each value of an object.
pub type Values<V> = fn(&V, &mut dyn FnMut(&str));

/// A declared index: the values under which an object is found.
pub struct Index<V> {
    /// Name; two indexes of one name are the same.
    pub name: &'static str,
    /// Adds an object's values.
    pub values: Values<V>,
}

impl<V> Clone for Index<V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<V> Copy for Index<V> {}

impl<V> std::fmt::Debug for Index<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index({})", self.name)
    }
}

impl<V: View> Index<V> {
    /// By the uid of the controller; objects without one are under the empty text.
    pub const CONTROLLER: Self = Self {
        name: "controller",
        values: |object, found| found(object.meta().controller().map_or("", |owner| &owner.uid)),
    };
    /// By the uid of every owner.
    pub const OWNERS: Self = Self {
        name: "owners",
        values: |object, found| object.meta().owners.iter().for_each(|owner| found(&owner.uid)),
    };
    /// By namespace.
    pub const NAMESPACE: Self =
        Self { name: "namespace", values: |object, found| found(&object.meta().namespace) };
    /// By namespace, only those that no one controls: what may be adopted.
    pub const ORPHANS: Self = Self {
        name: "orphans",
        values: |object, found| {
            if object.meta().controller().is_none() {
                found(&object.meta().namespace);
            }
        },
    };
    /// By uid.
    pub const UID: Self = Self { name: "uid", values: |object, found| found(&object.meta().uid) };
}

impl Index<PodView> {
    /// Pods by node; pods that are not bound are under the empty text.
    pub const NODE: Self = Self { name: "node", values: |pod, found| found(&pod.spec.node_name) };
}

struct Indexed<V> {
    index: Index<V>,
    keys: HashMap<Box<str>, HashSet<Key>>,
}

impl<V: View> Indexed<V> {
    fn add(&mut self, key: &Key, object: &V) {
        let keys = &mut self.keys;
        (self.index.values)(object, &mut |value| match keys.get_mut(value) {
            Some(set) => {
                set.insert(key.clone());
            }
            None => {
                keys.insert(value.into(), HashSet::from([key.clone()]));
            }
        });
    }
    fn remove(&mut self, key: &Key, object: &V) {
        let keys = &mut self.keys;
        (self.index.values)(object, &mut |value| {
            if let Some(set) = keys.get_mut(value) {
                set.remove(key);
                if set.is_empty() {
                    keys.remove(value);
                }
            }
        });
    }
}

pub(super) struct Store<V> {
    objects: HashMap<Key, Arc<V>>,
    indexes: Vec<Indexed<V>>,
    /// Keys that the running relist has named.
    listed: Option<HashSet<Key>>,
    highest: u64,
}

impl<V> Default for Store<V> {
    fn default() -> Self {
        Self { objects: HashMap::new(), indexes: Vec::new(), listed: None, highest: 0 }
    }
}

impl<V: View> Store<V> {
    pub(super) fn get(&self, key: &Key) -> Option<Arc<V>> {
        self.objects.get(key).cloned()
    }
    pub(super) fn objects(&self) -> impl Iterator<Item = &Arc<V>> {
        self.objects.values()
    }
    pub(super) fn len(&self) -> usize {
        self.objects.len()
    }
    pub(super) fn by(&self, index: &str, value: &str) -> Vec<Arc<V>> {
        let keys =
            self.indexes.iter().find(|own| own.index.name == index).and_then(|own| own.keys.get(value));
        keys.into_iter().flatten().filter_map(|key| self.get(key)).collect()
    }
    pub(super) fn add_index(&mut self, index: Index<V>) {
        if self.indexes.iter().any(|own| own.index.name == index.name) {
            return;
        }
        let mut indexed = Indexed { index, keys: HashMap::new() };
        for (key, object) in &self.objects {
            indexed.add(key, object);
        }
        self.indexes.push(indexed);
    }
    pub(super) fn apply(&mut self, object: Arc<V>) -> Option<Change<V>> {
        let key = object.key();
        let revision = object.meta().resource_version;
        self.highest = self.highest.max(revision);
        if let Some(listed) = &mut self.listed {
            listed.insert(key.clone());
        }
        let old = self.objects.get(&key).cloned();
        if let Some(old) = &old {
            // A relist repeats what is known, and may be served by a server that lags behind.
            if self.listed.is_some() && old.meta().resource_version >= revision && revision != 0 {
                return None;
            }
            self.indexes.iter_mut().for_each(|index| index.remove(&key, old));
        }
        self.indexes.iter_mut().for_each(|index| index.add(&key, &object));
        self.objects.insert(key, object.clone());
        Some(Change { old, new: Some(object) })
    }
    pub(super) fn delete(&mut self, key: &Key) -> Option<Change<V>> {
        let old = self.objects.remove(key)?;
        self.indexes.iter_mut().for_each(|index| index.remove(key, &old));
        Some(Change { old: Some(old), new: None })
    }
    pub(super) fn relist(&mut self) {
        self.listed = Some(HashSet::new());
    }
    pub(super) fn is_relisting(&self) -> bool {
        self.listed.is_some()
    }
    /// Ends a relist: the highest revision, and what is gone.
    pub(super) fn relisted(&mut self) -> (u64, Vec<Change<V>>) {
        let listed = self.listed.take();
        let gone: Vec<Key> = listed.map_or_else(Vec::new, |listed| {
            self.objects.keys().filter(|key| !listed.contains(*key)).cloned().collect()
        });
        (self.highest, gone.iter().filter_map(|key| self.delete(key)).collect())
    }
}
