//! What names depend on: services, the slices of each service, namespaces. Takes changes in and marks rows.

use proa_kit::{
    Change, Key, View,
    project::Dirty,
    views::{EndpointSliceView, NamespaceView, ServiceView},
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

/// Label of a slice that names its service.
pub(crate) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Row {
    /// A namespace.
    Namespace(Box<str>),
    /// A service with its endpoints.
    Service(Key),
}

/// Slices of one service by name.
pub(crate) type Slices = BTreeMap<Box<str>, Arc<EndpointSliceView>>;

/// The objects behind the names.
#[derive(Debug, Default)]
pub(crate) struct Index {
    services: HashMap<Key, Arc<ServiceView>>,
    slices: HashMap<Key, Slices>,
    namespaces: HashSet<Box<str>>,
}

impl Index {
    /// Takes in a service.
    pub(crate) fn service(&mut self, change: &Change<ServiceView>, dirty: &mut Dirty<Row>) {
        let Some(latest) = change.latest() else { return };
        let key = latest.key();
        match &change.new {
            Some(new) => drop(self.services.insert(key.clone(), new.clone())),
            None => drop(self.services.remove(&key)),
        }
        dirty.mark(Row::Service(key));
    }
    /// Takes in a slice; one that changed its service marks both.
    pub(crate) fn slice(&mut self, change: &Change<EndpointSliceView>, dirty: &mut Dirty<Row>) {
        if let Some((old, key)) = change.old.as_ref().and_then(|old| Some((old, service_of(old)?))) {
            if let Some(slices) = self.slices.get_mut(&key) {
                slices.remove(&old.metadata.name);
                if slices.is_empty() {
                    self.slices.remove(&key);
                }
            }
            dirty.mark(Row::Service(key));
        }
        if let Some((new, key)) = change.new.as_ref().and_then(|new| Some((new, service_of(new)?))) {
            let slices = self.slices.entry(key.clone()).or_default();
            slices.insert(new.metadata.name.clone(), new.clone());
            dirty.mark(Row::Service(key));
        }
    }
    /// Takes in a namespace.
    pub(crate) fn namespace(&mut self, change: &Change<NamespaceView>, dirty: &mut Dirty<Row>) {
        let Some(latest) = change.latest() else { return };
        let name = latest.metadata.name.clone();
        let changed = match &change.new {
            Some(_) => self.namespaces.insert(name.clone()),
            None => self.namespaces.remove(&name),
        };
        if changed {
            dirty.mark(Row::Namespace(name));
        }
    }
    /// A service and its slices.
    pub(crate) fn of(&self, key: &Key) -> Option<(&ServiceView, Option<&Slices>)> {
        self.services.get(key).map(|service| (&**service, self.slices.get(key)))
    }
    /// Whether a namespace exists.
    pub(crate) fn has_namespace(&self, name: &str) -> bool {
        self.namespaces.contains(name)
    }
    /// Every row there is.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        let services = self.services.keys().cloned().map(Row::Service);
        services.chain(self.namespaces.iter().cloned().map(Row::Namespace))
    }
}

fn service_of(slice: &EndpointSliceView) -> Option<Key> {
    let service = slice.metadata.labels.get(SERVICE_NAME)?;
    Some(Key::new(&slice.metadata.namespace, service))
}
