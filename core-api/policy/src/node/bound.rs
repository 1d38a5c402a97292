//! Which pods are bound to which node.
//!
//! Owns: an index of the published pods by node. It is brought up to date when a question is asked, from the window of
//! past changes, so it costs nothing while nobody asks and never lags behind what reads see. It holds references to
//! published entries, no copies. Upstream: `plugin/pkg/auth/authorizer/node/graph.go`.

use super::references::{self, Reference};
use crate::objects;
use parking_lot::Mutex;
use proa_meta::Gvr;
use proa_registry::{
    Entry, Kind, Registry,
    state::{Cursor, FellOut, KindState},
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::{HashMap, hash_map::Entry as Slot},
    sync::Arc,
};

const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
/// Changes that are taken over at once.
const BATCH: usize = 1024;

/// See the module's text.
#[derive(Default)]
pub struct BoundPods(Mutex<Option<Index>>);

struct Index {
    state: Arc<KindState>,
    cursor: Cursor,
    /// Position of `spec.nodeName` among the selectable fields of pods.
    node_field: usize,
    by_node: HashMap<Box<str>, Vec<Arc<Entry>>>,
}

#[derive(Deserialize)]
struct SpecView {
    #[serde(default)]
    spec: Value,
}

impl BoundPods {
    /// Whether a pod bound to the node refers to the named object of its namespace.
    pub fn refer(
        &self,
        registry: &Registry,
        node: &str,
        namespace: &str,
        reference: Reference,
        name: &str,
    ) -> bool {
        let pods = self.of_node(registry, node, namespace);
        pods.iter().any(|entry| {
            let pod = entry.decode::<SpecView>();
            pod.is_ok_and(|pod| references::mentions(&pod.spec, entry.name(), reference, name))
        })
    }

    /// The node's pods in one namespace.
    fn of_node(&self, registry: &Registry, node: &str, namespace: &str) -> Vec<Arc<Entry>> {
        let Some(pods) = registry.kind(&objects::PODS) else { return Vec::new() };
        let mut slot = self.0.lock();
        let current = slot.take().filter(|index| Arc::ptr_eq(&index.state, &pods.state));
        let Some(index) = current.and_then(Index::caught_up).or_else(|| Index::new(&pods)) else {
            return Vec::new();
        };
        let bound = index.by_node.get(node).into_iter().flatten();
        let found = bound.filter(|entry| entry.namespace() == namespace).cloned().collect();
        *slot = Some(index);
        found
    }
}

impl Index {
    /// An index of the present pods; none when pods have no selectable node.
    fn new(pods: &Kind) -> Option<Self> {
        let node_field = node_field(pods)?;
        loop {
            let snapshot = pods.snapshot();
            // The window may have moved on since the snapshot was taken.
            let Ok((cursor, _)) = pods.state.cursor(snapshot.revision(), None) else { continue };
            let mut index = Self { state: pods.state.clone(), cursor, node_field, by_node: HashMap::new() };
            snapshot.iter().for_each(|entry| index.insert(entry));
            return index.caught_up();
        }
    }

    /// The index with everything that was published since; none when it is too far behind.
    fn caught_up(mut self) -> Option<Self> {
        loop {
            let events = self.state.read(&mut self.cursor, BATCH).map_err(|FellOut| ()).ok()?;
            if events.is_empty() {
                return Some(self);
            }
            for event in events {
                event.old.iter().for_each(|entry| self.remove(entry));
                event.new.iter().for_each(|entry| self.insert(entry));
            }
        }
    }

    fn insert(&mut self, entry: &Arc<Entry>) {
        let node = entry.field(self.node_field);
        if !node.is_empty() {
            self.by_node.entry(node.into()).or_default().push(entry.clone());
        }
    }

    fn remove(&mut self, entry: &Arc<Entry>) {
        let Slot::Occupied(mut pods) = self.by_node.entry(entry.field(self.node_field).into()) else {
            return;
        };
        pods.get_mut().retain(|pod| pod.key != entry.key);
        if pods.get().is_empty() {
            pods.remove();
        }
    }
}

fn node_field(pods: &Kind) -> Option<usize> {
    pods.def.selectable.iter().position(|field| field.field == "spec.nodeName")
}

/// Whether a pod is bound to a node.
pub fn is_bound(registry: &Registry, namespace: &str, name: &str, node: &str) -> bool {
    let Some(pods) = registry.kind(&objects::PODS) else { return false };
    let Some(field) = node_field(&pods) else { return false };
    pods.get(namespace, name).is_some_and(|entry| entry.field(field) == node)
}

/// Namespace and name of the claim that a volume is bound to.
pub fn claim_of_volume(registry: &Registry, volume: &str) -> Option<(String, String)> {
    let entry = registry.kind(&VOLUMES)?.get("", volume)?;
    let claim = entry.decode::<SpecView>().ok()?.spec["claimRef"].take();
    Some((claim["namespace"].as_str()?.to_owned(), claim["name"].as_str()?.to_owned()))
}
