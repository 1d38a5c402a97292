//! What happens to a node: its conditions when it is silent, its taints always.
//!
//! Upstream: pkg/controller/nodelifecycle/node_lifecycle_controller.go (tryUpdateNodeHealth, doNoScheduleTaintingPass,
//! processTaintBaseEviction, ComputeZoneState, ReducedQPSFunc).

use crate::index::{Disruption, Health, Nodes};
use jiff::SignedDuration;
use proa_kit::{
    Action, Plan, Timestamp, Typed,
    clock::{elapsed, rfc3339},
    conditions::{self, Condition},
    views::{NodeView, node::Taint},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// A node may be silent for so long; a new one that never reported, a little longer.
const SILENCE: Duration = Duration::from_secs(50);
const STARTUP: Duration = Duration::from_secs(60);
/// Between two nodes that are tainted for eviction; and while much of a large cluster fails.
const PACE: Duration = Duration::from_secs(10);
const SLOW_PACE: Duration = Duration::from_secs(100);
/// Nodes from which on a cluster is large.
const LARGE: usize = 50;
/// Hundredths of failing nodes from which on much of a cluster fails.
const MUCH: usize = 55;

/// Conditions that a node reports itself.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];
/// Condition and status, and the taint that follows.
const TAINTS: [(&str, &str, &str); 6] = [
    ("Ready", "False", NOT_READY),
    ("Ready", "Unknown", UNREACHABLE),
    ("MemoryPressure", "True", "node.kubernetes.io/memory-pressure"),
    ("DiskPressure", "True", "node.kubernetes.io/disk-pressure"),
    ("NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"),
    ("PIDPressure", "True", "node.kubernetes.io/pid-pressure"),
];
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const UNREACHABLE: &str = "node.kubernetes.io/unreachable";
const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// The plan for one node.
pub fn plan(name: &str, nodes: &mut Nodes, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if let Some(gone) = nodes.take_gone(name) {
        let note = format!("Node {name} event: Removing Node {name} from Controller");
        plan.push(Action::normal(&Arc::new(gone), "RemovingNode", note));
    }
    let mut zone = nodes.disruption(name);
    let tainted = nodes.tainted(name).and_then(|tainted| *tainted);
    let Some(health) = nodes.get_mut(name) else { return plan };
    let Some(node) = health.view.clone() else { return plan };
    health.missing = None;
    if !std::mem::replace(&mut health.is_registered, true) {
        let note = format!("Node {name} event: Registered Node {name} in Controller");
        plan.push(Action::normal(&Arc::new(node.reference()), "RegisteredNode", note));
    }
    let silent = silent_for(health, &node, now);
    let limit = if ready(&node.status.conditions).is_some() { SILENCE } else { STARTUP };
    let was_ready = health.is_ready();
    let mut list = node.status.conditions.to_vec();
    if silent < limit {
        plan.look_again(limit - silent);
    } else if let Some(actions) = silence(&node, &mut list, now) {
        plan.actions.extend(actions);
        // The watch will count it later.
        zone.unready += usize::from(was_ready);
    }
    let (taints, wait) = taints(&node, &list, tainted, zone, now);
    if let Some(wait) = wait {
        plan.look_again(wait);
    }
    if let Some(taints) = taints {
        let evicts =
            |key: &str| node.spec.taints.iter().any(|own| &*own.key == key && &*own.effect == "NoExecute");
        let is_new =
            |taint: &Value| taint["effect"] == "NoExecute" && !taint["key"].as_str().is_some_and(evicts);
        if taints.iter().any(is_new)
            && let Some(tainted) = nodes.tainted(name)
        {
            *tainted = Some(now);
        }
        let target = node.reference().at(node.metadata.resource_version);
        // First, since the version is of before the conditions are written.
        plan.actions.insert(0, Action::merge(target, json!({"spec": {"taints": taints}})));
    }
    plan
}

/// How long a node has not been heard of.
fn silent_for(health: &mut Health, node: &NodeView, now: Timestamp) -> Duration {
    if std::mem::take(&mut health.is_fresh) {
        health.heard = Some(now);
    }
    let heard = *health.heard.get_or_insert_with(|| match ready(&node.status.conditions) {
        Some(_) => now,
        None => node.metadata.creation_timestamp.unwrap_or(now),
    });
    elapsed(heard, now)
}

fn ready(list: &[Condition]) -> Option<&Condition> {
    conditions::find(list, "Ready")
}

/// The conditions of a silent node, and what is written and said when they change.
fn silence(node: &NodeView, list: &mut Vec<Condition>, now: Timestamp) -> Option<Vec<Action>> {
    let was_ready = conditions::is_true(list, "Ready");
    let mut changed = Vec::new();
    for kind in REPORTED {
        let new = match conditions::find(list, kind) {
            Some(own) if &*own.status == "Unknown" => continue,
            Some(own) => Condition {
                last_heartbeat_time: own.last_heartbeat_time,
                ..Condition::new(
                    kind,
                    "Unknown",
                    "NodeStatusUnknown",
                    "Kubelet stopped posting node status.",
                    now,
                )
            },
            None => Condition {
                last_heartbeat_time: node.metadata.creation_timestamp,
                ..Condition::new(
                    kind,
                    "Unknown",
                    "NodeStatusNeverUpdated",
                    "Kubelet never posted node status.",
                    now,
                )
            },
        };
        conditions::set(list, new.clone());
        changed.push(new);
    }
    if changed.is_empty() {
        return None;
    }
    let mut actions = vec![Action::merge_status(node.reference(), json!({"conditions": changed}))];
    if was_ready {
        let note = format!("Node {} status is now: NodeNotReady", node.metadata.name);
        actions.push(Action::normal(&Arc::new(node.reference()), "NodeNotReady", note));
    }
    Some(actions)
}

/// The node's taints as they shall be, if they are not; and how long a taint that evicts has to wait.
fn taints(
    node: &NodeView,
    list: &[Condition],
    tainted: Option<Timestamp>,
    zone: Disruption,
    now: Timestamp,
) -> (Option<Vec<Value>>, Option<Duration>) {
    let own = &node.spec.taints;
    let closing = closing(node, list);
    let (evicting, wait) = evicting(own, list, tainted, zone, now);
    let wanted: Vec<Taint> = closing
        .iter()
        .map(|key| (*key, "NoSchedule"))
        .chain(evicting.map(|key| (key, "NoExecute")))
        .map(|(key, effect)| Taint { key: key.into(), effect: effect.into(), ..Taint::default() })
        .collect();
    let same = |a: &Taint, b: &Taint| a.key == b.key && a.effect == b.effect;
    let keep = |taint: &&Taint| !is_ours(taint, list) || wanted.iter().any(|other| same(other, taint));
    let kept: Vec<&Taint> = own.iter().filter(keep).collect();
    let added: Vec<&Taint> =
        wanted.iter().filter(|taint| !own.iter().any(|other| same(other, taint))).collect();
    if added.is_empty() && kept.len() == own.len() {
        return (None, wait);
    }
    let value = |taint: &Taint, added: Option<Timestamp>| {
        let mut value = json!({"key": taint.key, "effect": taint.effect});
        if !taint.value.is_empty() {
            value["value"] = json!(taint.value);
        }
        if let Some(time) = added {
            value["timeAdded"] = json!(rfc3339(time));
        }
        value
    };
    let kept = kept.into_iter().map(|taint| value(taint, taint.time_added));
    let added = added.into_iter().map(|taint| value(taint, Some(now)));
    (Some(kept.chain(added).collect()), wait)
}

/// Taints that keep new pods away.
fn closing(node: &NodeView, list: &[Condition]) -> Vec<&'static str> {
    let holds =
        |kind: &str, status: &str| conditions::find(list, kind).is_some_and(|own| &*own.status == status);
    let follows = TAINTS.iter().filter(|(kind, status, _)| holds(kind, status)).map(|(_, _, key)| *key);
    follows.chain(node.spec.unschedulable.then_some(UNSCHEDULABLE)).collect()
}

/// Whether a taint follows from conditions. One that a node was created with stays until the node reports.
fn is_ours(taint: &Taint, list: &[Condition]) -> bool {
    let key = &*taint.key;
    let of_ready = key == NOT_READY || key == UNREACHABLE;
    match &*taint.effect {
        "NoSchedule" if of_ready => ready(list).is_some(),
        "NoSchedule" => key == UNSCHEDULABLE || TAINTS.iter().any(|(_, _, own)| *own == key),
        "NoExecute" => of_ready,
        _ => false,
    }
}

/// The taint that evicts, if it is due; else how long it has to wait.
fn evicting(
    own: &[Taint],
    list: &[Condition],
    tainted: Option<Timestamp>,
    zone: Disruption,
    now: Timestamp,
) -> (Option<&'static str>, Option<Duration>) {
    let wanted = match ready(list).map(|ready| &*ready.status) {
        Some("False") => NOT_READY,
        Some("Unknown") => UNREACHABLE,
        _ => return (None, None),
    };
    if zone.is_everywhere() {
        // Taints that evict go, too.
        return (None, None);
    }
    let has = |key: &str| own.iter().any(|taint| &*taint.key == key && &*taint.effect == "NoExecute");
    if has(NOT_READY) || has(UNREACHABLE) {
        return (Some(wanted), None);
    }
    let Some(pace) = pace(zone) else { return (None, None) };
    let due = tainted.map_or(now, |last| last + SignedDuration::try_from(pace).unwrap_or_default());
    if due <= now { (Some(wanted), None) } else { (None, Some(elapsed(now, due))) }
}

/// Time between two nodes of a zone that are tainted; `None` while none shall be. A zone that fails as a whole is believed
/// to be off, as long as another one lives.
fn pace(zone: Disruption) -> Option<Duration> {
    let Disruption { unready, all, .. } = zone;
    if zone.is_everywhere() {
        return None;
    }
    if !zone.is_full() && unready > 2 && unready * 100 >= all * MUCH {
        return (all > LARGE).then_some(SLOW_PACE);
    }
    Some(PACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_of_a_zone_fail_the_slower_its_nodes_are_tainted() {
        for ((unready, all, elsewhere), want) in [
            ((1, 1, true), None),
            ((1, 1, false), Some(PACE)),
            ((1, 2, true), Some(PACE)),
            ((2, 3, true), Some(PACE)),
            ((3, 5, true), None),
            ((3, 5, false), None),
            ((5, 5, false), Some(PACE)),
            ((30, 60, true), Some(PACE)),
            ((40, 60, true), Some(SLOW_PACE)),
            ((60, 60, true), None),
        ] {
            let zone = Disruption { unready, all, elsewhere };
            assert_eq!(pace(zone), want, "{zone:?}");
        }
    }
}
