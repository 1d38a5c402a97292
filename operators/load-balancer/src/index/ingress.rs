//! Where ingresses are served: the ports of nodes that this project's ingress controller has.
//!
//! Invariant: `served` counts the places of the ingresses whose class is the controller's. What another one wrote into a
//! status says nothing about ports of nodes, and nobody takes it out when that controller is gone.

use super::{Port, Slot};
use proa_kit::{
    Change, Key, Kind, Meta, View, view,
    views::{IngressClassView, ingress_class, meta, service::LoadBalancerStatus},
};
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};

/// An ingress: whose it is and where it is served.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct IngressView {
    /// Metadata with annotations.
    #[serde(deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    pub spec: IngressSpec,
    /// Status.
    pub status: IngressStatus,
}

view!(IngressView, Kind::namespaced("networking.k8s.io", "v1", "Ingress", "ingresses"));

/// Spec of an ingress.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressSpec {
    /// Its class.
    pub ingress_class_name: Option<Box<str>>,
}

/// Status of an ingress.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct IngressStatus {
    /// Where it is reached; the controller names the ports that it has on nodes.
    pub load_balancer: LoadBalancerStatus,
}

/// What counts of an ingress.
#[derive(Clone, Debug)]
struct Known {
    class: Option<Box<str>>,
    at: BTreeSet<Slot>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Ingresses {
    /// The controller's classes, and whether ingresses without a class are of it.
    classes: HashMap<Box<str>, bool>,
    known: HashMap<Key, Known>,
    served: HashMap<Slot, usize>,
}

impl Ingresses {
    /// Whether they are served there.
    pub(super) fn are_at(&self, slot: Slot) -> bool {
        self.served.contains_key(&slot)
    }
    /// Takes in a class; returns the ports that came or went somewhere.
    pub(super) fn class(&mut self, change: &Change<IngressClassView>) -> BTreeSet<Port> {
        let Some(latest) = change.latest() else { return BTreeSet::new() };
        let name = latest.metadata.name.clone();
        let new = change.new.as_ref().filter(|class| class.is_own()).map(|class| class.is_default());
        let old = match new {
            Some(is_default) => self.classes.insert(name, is_default),
            None => self.classes.remove(&name),
        };
        if old == new {
            return BTreeSet::new();
        }
        let mut served = HashMap::new();
        for at in self.known.values().filter(|known| self.is_own(known)).flat_map(|known| &known.at) {
            *served.entry(*at).or_default() += 1;
        }
        let had = std::mem::replace(&mut self.served, served);
        let went = had.keys().filter(|at| !self.served.contains_key(*at));
        let came = self.served.keys().filter(|at| !had.contains_key(*at));
        went.chain(came).map(|(_, port)| *port).collect()
    }
    /// Takes in an ingress; returns the ports that came or went somewhere.
    pub(super) fn ingress(&mut self, change: &Change<IngressView>) -> BTreeSet<Port> {
        let Some(key) = change.latest().map(|ingress| ingress.key()) else { return BTreeSet::new() };
        let new = change.new.as_ref().map(|ingress| known(ingress)).filter(|known| !known.at.is_empty());
        let counted = |known: Option<&Known>| {
            known.filter(|known| self.is_own(known)).map(|known| known.at.clone()).unwrap_or_default()
        };
        let (had, has) = (counted(self.known.get(&key)), counted(new.as_ref()));
        match new {
            Some(known) => self.known.insert(key, known),
            None => self.known.remove(&key),
        };
        let mut moved = BTreeSet::new();
        for at in has.difference(&had) {
            let count = self.served.entry(*at).or_default();
            *count += 1;
            if *count == 1 {
                moved.insert(at.1);
            }
        }
        for at in had.difference(&has) {
            let left = self.served.get(at).map_or(0, |count| count.saturating_sub(1));
            if left > 0 {
                self.served.insert(*at, left);
            } else {
                self.served.remove(at);
                moved.insert(at.1);
            }
        }
        moved
    }
    /// As the controller says which ingresses are its own.
    fn is_own(&self, known: &Known) -> bool {
        match &known.class {
            Some(class) => self.classes.contains_key(class),
            None => self.classes.values().any(|is_default| *is_default),
        }
    }
}

fn known(ingress: &IngressView) -> Known {
    let field = ingress.spec.ingress_class_name.as_deref();
    let class = ingress_class::named(&ingress.metadata, field).map(Into::into);
    let entries = ingress.status.load_balancer.ingress.iter();
    let at = entries.filter_map(|entry| Some((entry.ip.parse().ok()?, entry))).flat_map(|(ip, entry)| {
        entry.ports.iter().filter_map(move |port| Some((ip, Port::of(port.port, &port.protocol)?)))
    });
    Known { class, at: at.collect() }
}
