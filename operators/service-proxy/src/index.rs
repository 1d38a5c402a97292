//! What the feeds build up: services, their slices, and this node's pods.
//!
//! Invariant: a slice is filed under the service that its label names now; when the label changes, both services are
//! marked. Upstream: pkg/proxy/{serviceport,endpointslicecache}.go.

use proa_kit::{
    Change, Key, View,
    project::Dirty,
    views::{EndpointSliceView, PodView, ServiceView},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Label: the service of a slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What a part of the table is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A service.
    Service(Key),
    /// A pod of this node.
    Pod(Key),
}

/// The index.
#[derive(Debug, Default)]
pub struct Index {
    services: HashMap<Key, Arc<ServiceView>>,
    slices: HashMap<Key, BTreeMap<Key, Arc<EndpointSliceView>>>,
    pods: HashMap<Key, Arc<PodView>>,
}

impl Index {
    /// Takes in a service.
    pub fn service(&mut self, change: &Change<ServiceView>, dirty: &mut Dirty<Subject>) {
        if let Some(key) = file(&mut self.services, change) {
            dirty.mark(Subject::Service(key));
        }
    }
    /// Takes in a slice.
    pub fn slice(&mut self, change: &Change<EndpointSliceView>, dirty: &mut Dirty<Subject>) {
        if let Some((old, service)) = change.old.as_ref().and_then(|old| Some((old, service_of(old)?))) {
            if let Some(slices) = self.slices.get_mut(&service) {
                slices.remove(&old.key());
                if slices.is_empty() {
                    self.slices.remove(&service);
                }
            }
            dirty.mark(Subject::Service(service));
        }
        if let Some((new, service)) = change.new.as_ref().and_then(|new| Some((new, service_of(new)?))) {
            self.slices.entry(service.clone()).or_default().insert(new.key(), new.clone());
            dirty.mark(Subject::Service(service));
        }
    }
    /// Takes in a pod of this node.
    pub fn pod(&mut self, change: &Change<PodView>, dirty: &mut Dirty<Subject>) {
        if let Some(key) = file(&mut self.pods, change) {
            dirty.mark(Subject::Pod(key));
        }
    }
    /// All there is.
    pub fn subjects(&self) -> impl Iterator<Item = Subject> {
        let services = self.services.keys().cloned().map(Subject::Service);
        services.chain(self.pods.keys().cloned().map(Subject::Pod))
    }
    /// A service.
    pub fn service_of(&self, key: &Key) -> Option<&ServiceView> {
        self.services.get(key).map(|service| &**service)
    }
    /// A service's slices, in order of their names.
    pub fn slices_of(&self, key: &Key) -> impl Iterator<Item = &EndpointSliceView> {
        self.slices.get(key).into_iter().flat_map(|slices| slices.values().map(|slice| &**slice))
    }
    /// A pod.
    pub fn pod_of(&self, key: &Key) -> Option<&PodView> {
        self.pods.get(key).map(|pod| &**pod)
    }
}

fn file<V: View>(objects: &mut HashMap<Key, Arc<V>>, change: &Change<V>) -> Option<Key> {
    let key = change.latest()?.key();
    match &change.new {
        Some(new) => objects.insert(key.clone(), new.clone()),
        None => objects.remove(&key),
    };
    Some(key)
}

fn service_of(slice: &EndpointSliceView) -> Option<Key> {
    let name = slice.metadata.labels.get(SERVICE_NAME).filter(|name| !name.is_empty())?;
    Some(Key::new(&slice.metadata.namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn slice(service: &str) -> Arc<EndpointSliceView> {
        let mut slice = EndpointSliceView::default();
        slice.metadata.name = "a".into();
        slice.metadata.namespace = "shop".into();
        slice.metadata.labels = [(SERVICE_NAME, service)].into_iter().collect();
        Arc::new(slice)
    }

    #[test]
    fn a_slice_that_changes_its_service_marks_both() {
        let (mut index, mut dirty) = (Index::default(), Dirty::Keys(HashSet::new()));
        index.slice(&Change { old: None, new: Some(slice("web")) }, &mut dirty);
        index.slice(&Change { old: Some(slice("web")), new: Some(slice("api")) }, &mut dirty);
        let key = |name| Key::new("shop", name);
        assert_eq!(index.slices_of(&key("web")).count(), 0);
        assert_eq!(index.slices_of(&key("api")).count(), 1);
        let Dirty::Keys(marked) = dirty else { panic!("nothing asked for everything") };
        assert_eq!(marked, HashSet::from([Subject::Service(key("web")), Subject::Service(key("api"))]));
    }
}
