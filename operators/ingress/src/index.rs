//! What routes depend on: ingresses, their classes, services with slices, certificates. Takes changes in and marks what is
//! to be rendered anew: hosts, and services that an ingress of this controller names.
//!
//! Invariant: a change that concerns no ingress of this controller marks nothing.

pub mod class;
pub mod views;

use proa_kit::{
    Change, Key, Timestamp, View,
    project::Dirty,
    views::{EndpointSliceView, IngressClassView, ServiceView},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use views::{BackendPort, BackendService, IngressBackend, IngressView, TlsSecretView};

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What is marked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A host; the empty one is for requests that no other host is for.
    Host(Box<str>),
    /// A service with its endpoints.
    Service(Key),
}

/// Of several ingresses for one path the oldest counts.
pub(crate) type Rank = (Option<Timestamp>, Key);
/// Slices of one service by name.
pub(crate) type Slices = BTreeMap<Box<str>, Arc<EndpointSliceView>>;

/// The objects behind the routes.
#[derive(Debug, Default)]
pub struct Index {
    ingresses: HashMap<Key, Arc<IngressView>>,
    /// Those of this controller.
    own: BTreeSet<Key>,
    classes: BTreeMap<Box<str>, Arc<IngressClassView>>,
    services: HashMap<Key, Arc<ServiceView>>,
    slices: HashMap<Key, Slices>,
    secrets: HashMap<Key, Arc<TlsSecretView>>,
    of_host: HashMap<Box<str>, BTreeSet<Rank>>,
    of_service: HashMap<Key, BTreeSet<Key>>,
    of_secret: HashMap<Key, BTreeSet<Key>>,
}

impl Index {
    /// Takes in an ingress.
    pub fn ingress(&mut self, change: &Change<IngressView>, dirty: &mut Dirty<Subject>) {
        if let Some(old) = &change.old {
            self.mark(old, dirty);
            self.unlink(old);
        }
        if let Some(new) = &change.new {
            self.link(new);
            self.mark(new, dirty);
        }
    }
    /// Takes in a class. That is rare, so everything is rendered anew.
    pub fn class(&mut self, change: &Change<IngressClassView>, dirty: &mut Dirty<Subject>) {
        let Some(latest) = change.latest() else { return };
        let name = latest.metadata.name.clone();
        match &change.new {
            Some(new) => drop(self.classes.insert(name, new.clone())),
            None => drop(self.classes.remove(&name)),
        }
        let classes = || self.classes.values().map(|class| &**class);
        let own = self.ingresses.iter().filter(|(_, ingress)| class::serves(ingress, classes()));
        let own: BTreeSet<Key> = own.map(|(key, _)| key.clone()).collect();
        if own != self.own {
            self.own = own;
            *dirty = Dirty::All;
        }
    }
    /// Takes in a service.
    pub fn service(&mut self, change: &Change<ServiceView>, dirty: &mut Dirty<Subject>) {
        let Some(latest) = change.latest() else { return };
        let key = latest.key();
        match &change.new {
            Some(new) => drop(self.services.insert(key.clone(), new.clone())),
            None => drop(self.services.remove(&key)),
        }
        self.mark_service(key, dirty);
    }
    /// Takes in a slice; one that changed its service marks both.
    pub fn slice(&mut self, change: &Change<EndpointSliceView>, dirty: &mut Dirty<Subject>) {
        if let Some((old, key)) = change.old.as_ref().and_then(|old| Some((old, service_of(old)?))) {
            if let Some(slices) = self.slices.get_mut(&key) {
                slices.remove(&old.metadata.name);
                if slices.is_empty() {
                    self.slices.remove(&key);
                }
            }
            self.mark_service(key, dirty);
        }
        if let Some((new, key)) = change.new.as_ref().and_then(|new| Some((new, service_of(new)?))) {
            self.slices.entry(key.clone()).or_default().insert(new.metadata.name.clone(), new.clone());
            self.mark_service(key, dirty);
        }
    }
    /// Takes in a certificate.
    pub fn secret(&mut self, change: &Change<TlsSecretView>, dirty: &mut Dirty<Subject>) {
        let Some(latest) = change.latest() else { return };
        let key = latest.key();
        match &change.new {
            Some(new) => drop(self.secrets.insert(key.clone(), new.clone())),
            None => drop(self.secrets.remove(&key)),
        }
        for ingress in self.of_secret.get(&key).into_iter().flatten() {
            if let Some(ingress) = self.own(ingress) {
                hosts(ingress).into_iter().for_each(|host| dirty.mark(Subject::Host(host.into())));
            }
        }
    }

    /// Whether there is anything to serve.
    pub(crate) fn serves(&self) -> bool {
        !self.own.is_empty()
    }
    /// The ingresses of this controller for a host, the oldest first.
    pub(crate) fn of_host(&self, host: &str) -> impl Iterator<Item = &Arc<IngressView>> {
        self.of_host.get(host).into_iter().flatten().filter_map(|(_, key)| self.own(key))
    }
    /// The ports of a service that ingresses of this controller name.
    pub(crate) fn ports_of(&self, service: &Key) -> BTreeSet<BackendPort> {
        let ingresses = self.of_service.get(service).into_iter().flatten().filter_map(|key| self.own(key));
        let named = ingresses.flat_map(|ingress| backends(ingress));
        named.filter(|backend| *backend.name == *service.name()).map(|backend| backend.port.clone()).collect()
    }
    /// A service and its slices.
    pub(crate) fn service_of(&self, key: &Key) -> Option<(&ServiceView, Option<&Slices>)> {
        self.services.get(key).map(|service| (&**service, self.slices.get(key)))
    }
    /// A certificate.
    pub(crate) fn secret_of(&self, namespace: &str, name: &str) -> Option<&Arc<TlsSecretView>> {
        self.secrets.get(&Key::new(namespace, name))
    }
    /// Everything there is to render.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = Subject> {
        let hosts = self.of_host.keys().cloned().map(Subject::Host);
        hosts.chain(self.of_service.keys().cloned().map(Subject::Service))
    }

    fn own(&self, key: &Key) -> Option<&Arc<IngressView>> {
        self.own.get(key).and_then(|key| self.ingresses.get(key))
    }
    fn mark(&self, ingress: &IngressView, dirty: &mut Dirty<Subject>) {
        if !self.own.contains(&ingress.key()) {
            return;
        }
        hosts(ingress).into_iter().for_each(|host| dirty.mark(Subject::Host(host.into())));
        for backend in backends(ingress) {
            dirty.mark(Subject::Service(Key::new(&ingress.metadata.namespace, &backend.name)));
        }
    }
    fn mark_service(&self, key: Key, dirty: &mut Dirty<Subject>) {
        let users = self.of_service.get(&key).into_iter().flatten();
        if users.into_iter().any(|user| self.own.contains(user)) {
            dirty.mark(Subject::Service(key));
        }
    }
    fn link(&mut self, ingress: &Arc<IngressView>) {
        let key = ingress.key();
        if class::serves(ingress, self.classes.values().map(|class| &**class)) {
            self.own.insert(key.clone());
        }
        for host in hosts(ingress) {
            self.of_host.entry(host.into()).or_default().insert(rank(ingress));
        }
        for backend in backends(ingress) {
            let service = Key::new(key.namespace(), &backend.name);
            self.of_service.entry(service).or_default().insert(key.clone());
        }
        for secret in secrets(ingress) {
            self.of_secret.entry(Key::new(key.namespace(), secret)).or_default().insert(key.clone());
        }
        self.ingresses.insert(key, ingress.clone());
    }
    fn unlink(&mut self, ingress: &IngressView) {
        let key = ingress.key();
        self.ingresses.remove(&key);
        self.own.remove(&key);
        for host in hosts(ingress) {
            take(&mut self.of_host, &Box::from(host), &rank(ingress));
        }
        for backend in backends(ingress) {
            take(&mut self.of_service, &Key::new(key.namespace(), &backend.name), &key);
        }
        for secret in secrets(ingress) {
            take(&mut self.of_secret, &Key::new(key.namespace(), secret), &key);
        }
    }
}

fn take<K: std::hash::Hash + Eq, V: Ord>(map: &mut HashMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

/// Where an ingress stands among those of one path.
pub(crate) fn rank(ingress: &IngressView) -> Rank {
    (ingress.metadata.creation_timestamp, ingress.key())
}

fn service_of(slice: &EndpointSliceView) -> Option<Key> {
    let service = slice.metadata.labels.get(SERVICE_NAME)?;
    Some(Key::new(&slice.metadata.namespace, service))
}

/// The hosts that an ingress says something about. A default backend is also for requests that no host is for.
pub(crate) fn hosts(ingress: &IngressView) -> BTreeSet<&str> {
    let spec = &ingress.spec;
    let rules = spec.rules.iter().map(|rule| &*rule.host);
    let tls = spec.tls.iter().flat_map(|tls| tls.hosts.iter().map(|host| &**host));
    let fallback = spec.default_backend.as_ref().map(|_| "");
    rules.chain(tls).chain(fallback).collect()
}

/// The services that an ingress names, with their ports.
pub(crate) fn backends(ingress: &IngressView) -> impl Iterator<Item = &BackendService> {
    let paths = ingress.spec.rules.iter().flat_map(|rule| &rule.http).flat_map(|http| &http.paths);
    let all = ingress.spec.default_backend.iter().chain(paths.map(|path| &path.backend));
    all.filter_map(|backend: &IngressBackend| backend.service.as_ref())
}

/// The secrets that an ingress names.
pub(crate) fn secrets(ingress: &IngressView) -> impl Iterator<Item = &str> {
    ingress.spec.tls.iter().map(|tls| &*tls.secret_name).filter(|name| !name.is_empty())
}
