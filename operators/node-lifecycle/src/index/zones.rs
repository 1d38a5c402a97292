//! How many nodes of each zone are ready, and how fast lost ones may be tainted.
//!
//! Invariants: a node counts in one zone, by the labels it had last. A zone lets one node per ten seconds be tainted with
//! `NoExecute`; one that lost most of its nodes lets none, or one per hundred seconds when it is large; when every zone
//! is lost entirely none is tainted, for then it is likelier that this side lost them. Who may not be tainted yet waits
//! for a time or for the zone's state to change.
//! Upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go (handleDisruption, ComputeZoneState), defaults of
//! nodeEvictionRate 0.1, secondaryNodeEvictionRate 0.01, unhealthyZoneThreshold 0.55, largeClusterSizeThreshold 50.

use super::is_ready;
use proa_kit::views::NodeView;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::time::Instant;

const INTERVAL: Duration = Duration::from_secs(10);
const SECONDARY_INTERVAL: Duration = Duration::from_secs(100);
const LARGE: usize = 50;
/// Label of nodes that do not count.
const EXCLUDED: &str = "node.kubernetes.io/exclude-disruption";

/// Region and zone.
type ZoneName = (Box<str>, Box<str>);

/// How a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Normal,
    Partial,
    Full,
}

/// What a change of a node did to the zones.
#[derive(Debug, PartialEq, Eq)]
pub enum Shift {
    /// Nothing.
    None,
    /// These nodes waited for the zone.
    Waiting(Vec<Box<str>>),
    /// No node of the cluster is ready any more.
    AllLost,
    /// A node is ready again, after none was.
    SomeBack,
}

/// Whether a node may be tainted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Now.
    Now,
    /// Ask again then.
    After(Duration),
    /// Not as long as the zone is as it is.
    Never,
}

#[derive(Debug, Default)]
struct Zone {
    ready: usize,
    lost: usize,
    next: Option<Instant>,
    waiting: HashSet<Box<str>>,
}

impl Zone {
    fn len(&self) -> usize {
        self.ready + self.lost
    }
    fn state(&self) -> State {
        match (self.ready, self.lost) {
            (0, 1..) => State::Full,
            // 55 % or more.
            (_, 3..) if self.lost * 100 >= 55 * self.len() => State::Partial,
            _ => State::Normal,
        }
    }
    fn count(&mut self, ready: bool) -> &mut usize {
        if ready { &mut self.ready } else { &mut self.lost }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Place {
    zone: ZoneName,
    /// Whether it counts as ready; `None` if it does not count.
    ready: Option<bool>,
}

/// The zones.
#[derive(Debug, Default)]
pub struct Zones {
    zones: HashMap<ZoneName, Zone>,
    places: HashMap<Box<str>, Place>,
    /// Whether no node of the cluster is ready.
    all_lost: bool,
}

fn place(node: &NodeView) -> Place {
    let labels = &node.metadata.labels;
    let label = |name: &str| labels.get(name).unwrap_or_default().into();
    let zone = (label("topology.kubernetes.io/region"), label("topology.kubernetes.io/zone"));
    let ready = labels.get(EXCLUDED).is_none().then(|| is_ready(node));
    Place { zone, ready }
}

impl Zones {
    /// Whether no node of the cluster is ready.
    pub fn all_lost(&self) -> bool {
        self.all_lost
    }
    /// Takes in a node as it is now; `None` when it is gone.
    pub fn node(&mut self, name: &str, new: Option<&NodeView>) -> Shift {
        let new = new.map(place);
        if let (Some(old), Some(new)) = (self.places.get(name), &new)
            && old == new
        {
            return Shift::None;
        }
        let old = self.places.remove(name);
        let touched: Vec<ZoneName> = [&old, &new].into_iter().flatten().map(|p| p.zone.clone()).collect();
        let before: Vec<Option<State>> = touched.iter().map(|zone| self.state(zone)).collect();
        if let Some(old) = old {
            let zone = self.zones.entry(old.zone).or_default();
            zone.waiting.remove(name);
            if let Some(ready) = old.ready {
                *zone.count(ready) -= 1;
            }
        }
        if let Some(new) = new {
            let zone = self.zones.entry(new.zone.clone()).or_default();
            if let Some(ready) = new.ready {
                *zone.count(ready) += 1;
            }
            self.places.insert(name.into(), new);
        }
        self.shift(&touched, &before)
    }
    fn state(&self, zone: &ZoneName) -> Option<State> {
        self.zones.get(zone).filter(|zone| zone.len() > 0).map(Zone::state)
    }
    fn shift(&mut self, touched: &[ZoneName], before: &[Option<State>]) -> Shift {
        let mut counted = self.zones.values().filter(|zone| zone.len() > 0).peekable();
        let all_lost = counted.peek().is_some() && counted.all(|zone| zone.state() == State::Full);
        let was = std::mem::replace(&mut self.all_lost, all_lost);
        if was != all_lost {
            return if all_lost { Shift::AllLost } else { Shift::SomeBack };
        }
        let changed = touched.iter().zip(before).filter(|(zone, before)| self.state(zone) != **before);
        let changed: Vec<&ZoneName> = changed.map(|(zone, _)| zone).collect();
        let mut waiting = Vec::new();
        for zone in changed {
            if let Some(zone) = self.zones.get_mut(zone) {
                waiting.extend(zone.waiting.drain());
            }
        }
        if waiting.is_empty() { Shift::None } else { Shift::Waiting(waiting) }
    }
    /// Whether a node may be tainted now; the next one then has to wait.
    pub fn leave(&mut self, name: &str, now: Instant) -> Leave {
        let Some(place) = self.places.get(name) else { return Leave::Never };
        let Some(zone) = self.zones.get_mut(&place.zone) else { return Leave::Never };
        let interval = match zone.state() {
            _ if self.all_lost => None,
            State::Normal | State::Full => Some(INTERVAL),
            State::Partial => (zone.len() > LARGE).then_some(SECONDARY_INTERVAL),
        };
        let Some(interval) = interval else {
            zone.waiting.insert(name.into());
            return Leave::Never;
        };
        if let Some(next) = zone.next.filter(|next| *next > now) {
            zone.waiting.insert(name.into());
            return Leave::After(next.duration_since(now));
        }
        zone.waiting.remove(name);
        zone.next = Some(now + interval);
        Leave::Now
    }
}
