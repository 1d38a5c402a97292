//! What is known of all APIServices: who answers for what, whether it can be reached, what it serves.
//!
//! Swapped whole, so a request sees one state of it.

use super::service::{Service, Spec};
use crate::tls::{Trust, Trusted};
use proa_registry::Entry;
use proa_server::aggregation::{Outline, Priority, Remote, Swagger};
use rustls::ClientConfig;
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// The group that always comes first, and that has no APIService of its own.
const FIRST: (&str, Priority) = ("v1.apiregistration.k8s.io", Priority { group: 20_001, version: 0 });

/// An API server that answers for a version of a group.
#[derive(Clone)]
pub(super) struct Backend {
    pub(super) spec: Spec,
    /// How to speak with it, or why that is impossible.
    pub(super) tls: Result<Arc<ClientConfig>, String>,
    pub(super) available: bool,
    learned: Learned,
}

/// What a server said that it serves.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Learned {
    /// Its last answer is known.
    pub(super) is_current: bool,
    pub(super) resources: Arc<Vec<Value>>,
    pub(super) documents: Arc<Map<String, Value>>,
    pub(super) swagger: Arc<Swagger>,
}

/// See the module's text.
#[derive(Clone)]
pub(super) struct Table {
    backends: BTreeMap<String, Arc<Backend>>,
    priorities: HashMap<String, Priority>,
    outline: Arc<Outline>,
}

impl Table {
    pub(super) fn new(usual: Priority) -> Self {
        let outline = Outline { usual: Some(usual), ..Outline::default() };
        let priorities = [(FIRST.0.to_owned(), FIRST.1)].into();
        let mut table = Self { backends: BTreeMap::new(), priorities, outline: Arc::new(outline) };
        table.publish();
        table
    }

    pub(super) fn outline(&self) -> Arc<Outline> {
        self.outline.clone()
    }

    pub(super) fn backend(&self, name: &str) -> Option<Arc<Backend>> {
        self.backends.get(name).cloned()
    }

    /// Names of APIServices that say something unusual.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        let named = self.priorities.keys().filter(|name| *name != FIRST.0);
        named.chain(self.backends.keys()).cloned()
    }

    /// Takes over what an APIService says now; none: it is gone. Whether anything changed.
    pub(super) fn set(&mut self, trust: &Trust, name: &str, entry: Option<&Arc<Entry>>) -> bool {
        if name == FIRST.0 {
            // Nobody else answers for APIServices: who would take that back?
            return false;
        }
        let service = entry.and_then(|entry| Service::of(entry));
        let priority = service.as_ref().map(|service| service.priority);
        self.set_priority(name, priority) | self.set_backend(trust, name, service)
    }

    fn set_priority(&mut self, name: &str, priority: Option<Priority>) -> bool {
        match priority.filter(|priority| Some(*priority) != self.outline.usual) {
            Some(priority) => self.priorities.insert(name.to_owned(), priority) != Some(priority),
            None => self.priorities.remove(name).is_some(),
        }
    }

    fn set_backend(&mut self, trust: &Trust, name: &str, service: Option<Service>) -> bool {
        let available = service.as_ref().is_some_and(Service::is_available);
        let Some(spec) = service.and_then(|service| service.spec) else {
            return self.backends.remove(name).is_some();
        };
        let next = match self.backends.get(name) {
            Some(known) if known.spec == spec && known.available == available => return false,
            Some(known) if known.spec == spec => Backend { available, ..Backend::clone(known) },
            known => {
                // Another certificate does not make it another server.
                let same = known.filter(|known| known.spec.place == spec.place);
                let learned = same.map(|known| known.learned.clone()).unwrap_or_default();
                let trusted = if spec.insecure { Trusted::Anyone } else { Trusted::Bundle(&spec.ca_bundle) };
                let tls = trust.towards_server(trusted).map(Arc::new);
                Backend { tls: tls.map_err(|error| error.to_string()), spec, available, learned }
            }
        };
        self.backends.insert(name.to_owned(), Arc::new(next));
        true
    }

    /// Takes over what the server of an APIService serves. Whether anything changed.
    pub(super) fn learn(&mut self, name: &str, spec: &Spec, learned: Learned) -> bool {
        match self.backends.get_mut(name) {
            Some(known) if known.spec == *spec && known.learned != learned => {
                *known = Arc::new(Backend { learned, ..Backend::clone(known) });
                true
            }
            _ => false,
        }
    }

    /// Makes the outline of what is known now.
    pub(super) fn publish(&mut self) {
        let remotes = self.backends.values().map(|backend| Remote {
            group: backend.spec.group.clone(),
            version: backend.spec.version.clone(),
            resources: backend.learned.resources.clone(),
            stale: !backend.learned.is_current,
            documents: backend.learned.documents.clone(),
            swagger: backend.learned.swagger.clone(),
        });
        self.outline = Arc::new(Outline {
            generation: self.outline.generation + 1,
            remotes: remotes.collect(),
            priorities: self.priorities.clone(),
            usual: self.outline.usual,
        });
    }
}
