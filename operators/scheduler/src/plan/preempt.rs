//! Preemption: when a pod fits nowhere, which pods of lower priority would have to go, and on which node.
//!
//! Flow: of the nodes that said no for a reason that other pods are part of, enough are tried without all pods of lower
//! priority (`victims`); where the pod then fits, as many of those as possible stay. The node where that does the least
//! harm wins. Pure: who goes is an answer, not yet a fact.
//! Guarantees: a pod that no pod on any node is less important than costs no look at a node.
//! Deliberately absent: extenders, groups of pods that go together, resizes that wait for room.
//! Upstream: pkg/scheduler/framework/preemption/preemption.go, plugins/defaultpreemption/default_preemption.go.

mod victims;

use super::{
    Misfit,
    filter::{self, Rejection, pod_rules::Domains},
};
use crate::index::{
    Candidate,
    budgets::Budgets,
    nodes::{Nodes, Slot},
    rules::Rules,
    storage::PodClaims,
};
use proa_kit::Timestamp;
use std::{cmp::Reverse, sync::Arc};
use victims::Victims;

/// The least number of nodes to choose from, and the share of all that come into question, in percent.
const CANDIDATES: (usize, usize) = (100, 10);

/// What comes of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The pod may not make others go, or not now.
    Ineligible(&'static str),
    /// Nothing that it may do would help.
    Unhelpful(Unhelpful),
    /// These make room.
    Found(Choice),
}

/// Why no node would take the pod.
#[derive(Clone, Debug, Default)]
pub struct Unhelpful {
    /// Nodes where the pod would not fit either, by what they said.
    pub rejections: Vec<(Rejection, usize)>,
    /// Nodes with no pod of lower priority.
    pub without_victims: usize,
    /// Nodes that other pods do not keep the pod from.
    pub not_tried: usize,
}

/// Where room is made, and how.
#[derive(Clone, Debug)]
pub struct Choice {
    /// The node.
    pub slot: Slot,
    /// Its name.
    pub node: Box<str>,
    /// Pods that go, the most important first.
    pub victims: Vec<Arc<Candidate>>,
}

/// Why one node is no choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoChoice {
    WithoutVictims,
    Rejected(Rejection),
}

/// What can be done for a pod that fits nowhere, by what the nodes said.
pub fn preempt(
    nodes: &Nodes,
    rules: &Rules,
    budgets: &Budgets,
    (pod, claims): (&Candidate, &PodClaims),
    nominated: Option<Slot>,
    misfit: &Misfit,
    now: Timestamp,
) -> Outcome {
    if misfit.nodes == 0 {
        return Outcome::Unhelpful(Unhelpful::default());
    }
    if !pod.may_preempt() {
        return Outcome::Ineligible("not eligible due to preemptionPolicy=Never.");
    }
    if nominated.is_some_and(|slot| is_awaited(nodes, pod, slot, misfit)) {
        return Outcome::Ineligible("not eligible due to a terminating pod on the nominated node.");
    }
    let nodes_to_try = &misfit.resolvable;
    let mut unhelpful = Unhelpful { not_tried: misfit.nodes - nodes_to_try.len(), ..Unhelpful::default() };
    if nodes.lowest_priority().is_none_or(|lowest| lowest >= pod.priority()) {
        unhelpful.without_victims = nodes_to_try.len();
        return Outcome::Unhelpful(unhelpful);
    }
    let domains = Domains::of(pod, rules, nodes);
    let (most, mut clean, mut breaking) = (enough(nodes_to_try.len()), Vec::new(), Vec::new());
    // Upstream starts anywhere; where the last search stopped is as good, and the same each time that it is tried.
    let (before, after) =
        nodes_to_try.split_at(nodes_to_try.partition_point(|slot| (*slot as usize) < nodes.start));
    for slot in after.iter().chain(before).copied() {
        let Some(node) = nodes.get(slot) else { continue };
        // Volumes stay where they are, whoever goes.
        if let Err(rejection) = filter::volumes(claims, node) {
            super::count(&mut unhelpful.rejections, rejection);
            continue;
        }
        match victims::select(pod, node, &domains, budgets, now) {
            Ok(victims) if victims.violations == 0 => clean.push((slot, node, victims)),
            Ok(victims) => breaking.push((slot, node, victims)),
            Err(NoChoice::WithoutVictims) => unhelpful.without_victims += 1,
            Err(NoChoice::Rejected(rejection)) => super::count(&mut unhelpful.rejections, rejection),
        }
        if !clean.is_empty() && clean.len() + breaking.len() >= most {
            break;
        }
    }
    breaking.truncate(most);
    clean.append(&mut breaking);
    let best = clean.into_iter().min_by_key(|(_, _, victims)| harm(victims, now));
    best.map_or(Outcome::Unhelpful(unhelpful), |(slot, node, victims)| {
        Outcome::Found(Choice { slot, node: node.name.clone(), victims: victims.pods })
    })
}

/// Whether room is being made already: pods are on their way out on the node that the pod is nominated for, and that
/// node is not lost for another reason.
fn is_awaited(nodes: &Nodes, pod: &Candidate, nominated: Slot, misfit: &Misfit) -> bool {
    misfit.resolvable.binary_search(&nominated).is_ok()
        && nodes.get(nominated).is_some_and(|node| node.lower(pod).any(|own| own.is_going_for_another()))
}

/// How many nodes are enough to choose from.
fn enough(nodes: usize) -> usize {
    (nodes * CANDIDATES.1 / 100).max(CANDIDATES.0).min(nodes)
}

/// What makes one choice worse than another: broken budgets, then the highest priority among those that go, then the sum
/// of priorities (counted from the lowest there is, so that each pod makes it larger), then their number, then how long
/// the most important of them have run.
fn harm(victims: &Victims, now: Timestamp) -> (usize, i32, i64, usize, Reverse<Timestamp>) {
    let pods = &victims.pods;
    let highest = pods.iter().map(|pod| pod.priority()).max().unwrap_or(i32::MIN);
    let sum = pods.iter().map(|pod| i64::from(pod.priority()) - i64::from(i32::MIN)).sum();
    let of_highest = pods.iter().filter(|pod| pod.priority() == highest);
    let earliest = of_highest.map(|pod| pod.started(now)).min().unwrap_or(now);
    (victims.violations, highest, sum, pods.len(), Reverse(earliest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_nodes_but_not_less_than_a_hundred_are_enough() {
        for (nodes, want) in [(0, 0), (3, 3), (100, 100), (500, 100), (5000, 500)] {
            assert_eq!(enough(nodes), want, "{nodes}");
        }
    }
}
