//! Services and controllers: what selects a pod, and so which pods it is spread with when it does not say itself.
//!
//! Upstream: pkg/scheduler/framework/plugins/helper/spread.go (DefaultSelector).

use proa_kit::{
    Change, Key, Pairs, View,
    selector::LabelSelector,
    views::{PodView, ReplicaSetView, ReplicationControllerView, ServiceView, StatefulSetView},
};
use std::collections::{BTreeMap, HashMap};

/// A kind of controller whose pods are spread: its group and its name.
type Controller = (&'static str, &'static str);
const REPLICA_SET: Controller = ("apps", "ReplicaSet");
const STATEFUL_SET: Controller = ("apps", "StatefulSet");
const REPLICATION_CONTROLLER: Controller = ("", "ReplicationController");

/// Selectors of services, by namespace and name, and of controllers.
#[derive(Debug, Default)]
pub struct Workloads {
    services: HashMap<Box<str>, BTreeMap<Box<str>, Pairs>>,
    controllers: HashMap<Controller, HashMap<Key, LabelSelector>>,
}

impl Workloads {
    /// Takes in a change of a service. One without a selector selects nothing.
    pub(super) fn service(&mut self, change: &Change<ServiceView>) {
        let Some(latest) = change.latest() else { return };
        let (namespace, name) = (&latest.metadata.namespace, &latest.metadata.name);
        match change.new.as_ref().filter(|new| !new.spec.selector.is_empty()) {
            Some(new) => {
                let own = self.services.entry(namespace.clone()).or_default();
                own.insert(name.clone(), new.spec.selector.clone());
            }
            None => {
                if let Some(own) = self.services.get_mut(namespace) {
                    own.remove(name);
                    if own.is_empty() {
                        self.services.remove(namespace);
                    }
                }
            }
        }
    }
    /// Takes in a change of a replica set.
    pub(super) fn replica_set(&mut self, change: &Change<ReplicaSetView>) {
        self.controller(REPLICA_SET, change, |set| &set.spec.selector);
    }
    /// Takes in a change of a stateful set.
    pub(super) fn stateful_set(&mut self, change: &Change<StatefulSetView>) {
        self.controller(STATEFUL_SET, change, |set| &set.spec.selector);
    }
    /// Takes in a change of a replication controller.
    pub(super) fn replication_controller(&mut self, change: &Change<ReplicationControllerView>) {
        self.controller(REPLICATION_CONTROLLER, change, |set| &set.spec.selector);
    }
    fn controller<V: View>(&mut self, kind: Controller, change: &Change<V>, of: fn(&V) -> &LabelSelector) {
        let Some(latest) = change.latest() else { return };
        let own = self.controllers.entry(kind).or_default();
        match &change.new {
            Some(new) => drop(own.insert(latest.key(), of(new).clone())),
            None => drop(own.remove(&latest.key())),
        }
    }
    /// What selects the pod: its services and its controller together; nothing when there are none.
    pub fn selector(&self, pod: &PodView) -> Option<LabelSelector> {
        let labels = &pod.metadata.labels;
        let services = self.services.get(&pod.metadata.namespace).into_iter().flat_map(BTreeMap::values);
        let matching: Vec<&Pairs> = services.filter(|selector| selector.is_subset_of(labels)).collect();
        let controller = self
            .controllers
            .iter()
            .find_map(|((group, kind), all)| all.get(&pod.metadata.controller_key(group, kind)?));
        let own = controller.map(|own| &own.match_labels);
        let selector = LabelSelector {
            match_labels: matching.into_iter().chain(own).flat_map(Pairs::iter).collect(),
            match_expressions: controller.map(|own| own.match_expressions.clone()).unwrap_or_default(),
        };
        Some(selector).filter(|selector| !selector.is_empty())
    }
}
