//! The table: entries by namespace and name, names by address.
//!
//! Invariants: a persistent map, so the next table shares with the last what did not change; both directions change
//! together. Keys are shared texts, so that copying a branch allocates no text.

use crate::render::{Change, Entry};
use imbl::HashMap;
use proa_kit::Key;
use std::{net::IpAddr, sync::Arc};

/// One state of all names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    namespaces: HashMap<Arc<str>, Namespace>,
    /// Services by their own address.
    clusters: HashMap<IpAddr, Key>,
    /// Services by the address of an endpoint that has a host name.
    hosts: HashMap<IpAddr, Arc<[Key]>>,
    serial: u32,
}

#[derive(Clone, Debug, Default)]
struct Namespace {
    exists: bool,
    services: HashMap<Arc<str>, Arc<Entry>>,
}

impl Table {
    /// The table after a change.
    pub(crate) fn after(present: Option<&Self>, change: Change) -> Self {
        let serial = present.map_or(0, |table| table.serial).wrapping_add(1);
        let base = present.filter(|_| !change.whole).cloned().unwrap_or_default();
        let mut next = Self { serial, ..base };
        for (name, exists) in change.namespaces {
            next.set_namespace(&name, exists);
        }
        for (key, entry) in change.services {
            next.set_service(&key, entry);
        }
        next
    }
    /// Number of changes so far.
    pub(crate) fn serial(&self) -> u32 {
        self.serial
    }
    /// Whether a namespace exists. One that has services does, though its own watch may lag behind theirs.
    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains_key(name)
    }
    /// What the name of a service stands for.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.namespaces.get(namespace)?.services.get(name).map(|entry| &**entry)
    }
    /// Whose address this is: services, or with a label their endpoints.
    pub(crate) fn owners(&self, ip: IpAddr) -> Vec<(&Key, Option<&str>)> {
        if let Some(key) = self.clusters.get(&ip) {
            return vec![(key, None)];
        }
        let mut owners = Vec::new();
        for key in self.hosts.get(&ip).into_iter().flat_map(|keys| keys.iter()) {
            let hosts = self.service(key.namespace(), key.name()).map_or(&[][..], Entry::hosts);
            let own = hosts.iter().filter(|host| host.ip == ip && host.is_named);
            owners.extend(own.map(|host| (key, Some(&*host.label))));
        }
        owners
    }
    fn set_namespace(&mut self, name: &str, exists: bool) {
        self.change_namespace(name, |namespace| namespace.exists = exists);
    }
    fn set_service(&mut self, key: &Key, entry: Option<Entry>) {
        let namespace = self.namespaces.get(key.namespace());
        let old = namespace.and_then(|namespace| namespace.services.get(key.name())).cloned();
        if old.as_deref() == entry.as_ref() {
            return;
        }
        let new = entry.map(Arc::new);
        if let Some(old) = &old {
            self.unlink(key, old);
        }
        if let Some(new) = &new {
            self.link(key, new);
        }
        self.change_namespace(key.namespace(), |namespace| match new {
            Some(new) => drop(namespace.services.insert(key.name().into(), new)),
            None => drop(namespace.services.remove(key.name())),
        });
    }
    fn change_namespace(&mut self, name: &str, change: impl FnOnce(&mut Namespace)) {
        let mut namespace = self.namespaces.get(name).cloned().unwrap_or_default();
        change(&mut namespace);
        if namespace.exists || !namespace.services.is_empty() {
            self.namespaces.insert(name.into(), namespace);
        } else {
            self.namespaces.remove(name);
        }
    }
    fn link(&mut self, key: &Key, entry: &Entry) {
        for ip in entry.ips() {
            self.clusters.insert(*ip, key.clone());
        }
        for host in entry.hosts().iter().filter(|host| host.is_named) {
            let keys = self.hosts.get(&host.ip).cloned().unwrap_or_default();
            if !keys.contains(key) {
                let keys = keys.iter().chain([key]).cloned().collect();
                self.hosts.insert(host.ip, keys);
            }
        }
    }
    fn unlink(&mut self, key: &Key, entry: &Entry) {
        for ip in entry.ips() {
            // The address may have gone to another service whose change came first.
            if self.clusters.get(ip) == Some(key) {
                self.clusters.remove(ip);
            }
        }
        for host in entry.hosts().iter().filter(|host| host.is_named) {
            let keys = self.hosts.get(&host.ip).cloned().unwrap_or_default();
            let left: Arc<[Key]> = keys.iter().filter(|own| *own != key).cloned().collect();
            if left.is_empty() {
                self.hosts.remove(&host.ip);
            } else {
                self.hosts.insert(host.ip, left);
            }
        }
    }
}
