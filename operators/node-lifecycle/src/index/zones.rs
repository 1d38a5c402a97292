//! Zones: how many nodes each has, which of them fail, and when one was tainted for eviction last.
//!
//! Upstream: `GetZoneKey` of component-helpers `node/topology`, `ComputeZoneState` and `handleDisruption` of
//! pkg/controller/nodelifecycle.

use proa_kit::{Timestamp, views::NodeView};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// Labels of region and zone, and what they were called before.
const REGION: [&str; 2] = ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
const ZONE: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/// The zone of a node; the same empty one for all without labels.
pub(super) fn zone_of(node: &NodeView) -> Arc<str> {
    let label = |names: [&str; 2]| names.iter().find_map(|name| node.metadata.labels.get(name)).unwrap_or("");
    let (region, zone) = (label(REGION), label(ZONE));
    if region.is_empty() && zone.is_empty() { "".into() } else { format!("{region}:\0:{zone}").into() }
}

/// How much of a zone fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disruption {
    /// Nodes that are not ready.
    pub unready: usize,
    /// All its nodes.
    pub all: usize,
    /// Whether no node of any other zone is ready.
    pub elsewhere: bool,
}

impl Disruption {
    /// Whether no node of the zone is ready.
    pub fn is_full(self) -> bool {
        self.unready >= self.all
    }
    /// Whether no node of any zone is ready: then it is likelier that the control plane is cut off.
    pub fn is_everywhere(self) -> bool {
        self.is_full() && self.elsewhere
    }
}

#[derive(Debug, Default)]
struct Zone {
    nodes: HashSet<Arc<str>>,
    unready: HashSet<Arc<str>>,
    tainted: Option<Timestamp>,
}

/// All zones that have nodes.
#[derive(Debug, Default)]
pub(crate) struct Zones {
    zones: HashMap<Arc<str>, Zone>,
    /// Zones with a node that is ready.
    alive: usize,
}

impl Zones {
    /// Where a node is and how it is, or that it is gone. The nodes to look at again: how fast failing nodes are tainted
    /// depends on how many others of their zone fail, and on whether all do everywhere.
    pub(super) fn put(&mut self, node: &Arc<str>, zone: &Arc<str>, is_ready: Option<bool>) -> Vec<Arc<str>> {
        let alive = self.alive;
        let own = self.zones.entry(zone.clone()).or_default();
        let was_alive = own.unready.len() < own.nodes.len();
        let mut changed = match is_ready {
            Some(_) => own.nodes.insert(node.clone()),
            None => own.nodes.remove(node),
        };
        changed |= match is_ready {
            Some(false) => own.unready.insert(node.clone()),
            _ => own.unready.remove(node),
        };
        let is_alive = own.unready.len() < own.nodes.len();
        self.alive = self.alive + usize::from(is_alive) - usize::from(was_alive);
        let mut concerned = Vec::new();
        if (alive == 0) != (self.alive == 0) {
            concerned.extend(self.zones.values().flat_map(|zone| &zone.unready).cloned());
        } else if changed && let Some(own) = self.zones.get(zone) {
            concerned.extend(own.unready.iter().cloned());
        }
        if self.zones.get(zone).is_some_and(|own| own.nodes.is_empty()) {
            self.zones.remove(zone);
        }
        concerned
    }
    /// How much of a zone fails.
    pub(super) fn disruption(&self, zone: &str) -> Disruption {
        let Some(own) = self.zones.get(zone) else { return Disruption::default() };
        let (unready, all) = (own.unready.len(), own.nodes.len());
        Disruption { unready, all, elsewhere: self.alive == usize::from(unready < all) }
    }
    /// When a node of the zone was tainted for eviction last.
    pub(super) fn tainted(&mut self, zone: &str) -> Option<&mut Option<Timestamp>> {
        self.zones.get_mut(zone).map(|zone| &mut zone.tainted)
    }
}
