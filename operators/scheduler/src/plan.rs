//! The decision about one pod: which node, or why none. Pure but for what it assumes in the snapshot.
//!
//! Flow: nodes are asked until enough fit; the best is chosen. When none fits, others may have to make room (`preempt`).
//! Upstream: pkg/scheduler/schedule_one.go (findNodesThatFitPod, prioritizeNodes, numFeasibleNodesToFind).

pub mod filter;
pub mod preempt;
pub mod score;
pub mod trial;

use crate::{
    Lane,
    index::{
        Candidate, Cluster,
        nodes::{Node, Nodes, Slot},
        rules::Rules,
        storage::{PATIENCE, PodClaims},
    },
    status,
};
use filter::{Rejection, pod_rules::Domains, volume_binding};
use preempt::Outcome;
use proa_kit::{Action, Key, Plan, Timestamp, Typed, clock::elapsed, views::PodView};
use std::{sync::Arc, time::Duration};

/// So many fitting nodes are always looked for.
const FEW: usize = 100;
/// The share of nodes looked for, in percent: from this, less in large clusters, but never below the least.
const SHARE: (usize, usize) = (50, 5);
/// A cluster larger by this takes one percent less.
const NODES_PER_PERCENT: usize = 125;

/// Why a pod fits nowhere.
#[derive(Clone, Debug, Default)]
pub struct Misfit {
    /// Number of nodes.
    pub nodes: usize,
    /// Nodes by what they said.
    pub rejections: Vec<(Rejection, usize)>,
    /// Nodes that might take the pod if others went, in order.
    pub resolvable: Vec<Slot>,
    /// Nodes that were not asked, since the pod names others.
    pub unasked: usize,
    /// Why no node was asked at all.
    pub refusal: Option<String>,
}

impl Misfit {
    fn add(&mut self, slot: Slot, rejection: Rejection) {
        count(&mut self.rejections, rejection);
        if rejection.is_resolvable() {
            self.resolvable.push(slot);
        }
    }
    /// All nodes were asked.
    fn complete(mut self) -> Self {
        self.resolvable.sort_unstable();
        self
    }
}

/// Counts what a node said.
fn count(rejections: &mut Vec<(Rejection, usize)>, rejection: Rejection) {
    match rejections.iter_mut().find(|(own, _)| *own == rejection) {
        Some((_, count)) => *count += 1,
        None => rejections.push((rejection, 1)),
    }
}

/// The plan of a lane: the most important pod that waits.
pub fn plan(lane: Lane, cluster: &mut Cluster, now: Timestamp) -> Plan {
    let mut plan = Plan { actions: status::not_bound(cluster.take_failures()), ..Plan::default() };
    if let Some((pod, node)) = cluster.next_bindable(lane) {
        plan.actions.extend(bind(&pod.view, &node));
        return plan;
    }
    let Some((key, pod)) = cluster.next(now) else {
        if let Some(at) = cluster.next_retry() {
            plan.look_again(elapsed(now, at).max(Duration::from_millis(1)));
        }
        return plan;
    };
    let nominated = cluster.nomination(&key);
    let (claims, refusal) = match cluster.storage.ask(&pod, &cluster.nodes) {
        Ok(claims) => (claims, None),
        Err(why) => (PodClaims::default(), Some(why)),
    };
    let chosen = match refusal {
        None => choose(&mut cluster.nodes, &cluster.rules, &pod, &claims, nominated),
        Some(_) => Err(Misfit { nodes: cluster.nodes.len(), refusal, ..Misfit::default() }),
    };
    match chosen {
        Ok(slot) if claims.unbound.is_empty() => {
            let node = cluster.nodes.get(slot).map_or("", |node| &node.name);
            plan.actions.extend(bind(&pod.view, node));
            cluster.assume(lane, key, pod, slot);
        }
        Ok(slot) => {
            plan.actions.extend(bind_volumes(lane, cluster, key, pod, &claims, slot));
            plan.look_again(PATIENCE);
        }
        Err(misfit) => {
            let any =
                |is: fn(Rejection) -> bool| misfit.rejections.iter().any(|(rejection, _)| is(*rejection));
            let is_kept_by_rules = any(Rejection::is_about_pods);
            let is_kept_by_volumes = misfit.refusal.is_some() || any(Rejection::is_about_volumes);
            let kept = Candidate { is_kept_by_rules, is_kept_by_volumes, ..Arc::unwrap_or_clone(pod) };
            plan.actions.extend(fits_nowhere(lane, cluster, key, Arc::new(kept), &claims, &misfit, now));
        }
    }
    plan
}

/// Has the volumes bound that a pod needs; it gets its node once they are, and counts there until then.
fn bind_volumes(
    lane: Lane,
    cluster: &mut Cluster,
    key: Key,
    pod: Arc<Candidate>,
    claims: &PodClaims,
    slot: Slot,
) -> Vec<Action> {
    let view = cluster.nodes.get(slot).and_then(|node| node.view.clone());
    // The node was asked a moment ago.
    let Some(view) = view else { return Vec::new() };
    let choices = volume_binding::choices(claims, &view).unwrap_or_default();
    cluster.assume_until_bound(lane, key, pod, slot, &choices);
    volume_binding::writes(&choices, &view.metadata.name)
}

/// Makes room for a pod that fits nowhere, if that helps, and says what came of it.
fn fits_nowhere(
    lane: Lane,
    cluster: &mut Cluster,
    key: Key,
    pod: Arc<Candidate>,
    claims: &PodClaims,
    misfit: &Misfit,
    now: Timestamp,
) -> Vec<Action> {
    let nominated = cluster.nomination(&key);
    let Cluster { nodes, rules, budgets, .. } = cluster;
    let outcome = preempt::preempt(nodes, rules, budgets, (&pod, claims), nominated, misfit, now);
    let mut actions = status::unschedulable(&pod, misfit, &outcome, now);
    match outcome {
        Outcome::Found(choice) => {
            let lower = cluster.preempt(lane, key, pod.clone(), &choice);
            actions.extend(status::preempted(&pod, &choice, &lower, now));
        }
        Outcome::Ineligible(_) => cluster.fits_nowhere(key, pod),
        Outcome::Unhelpful(_) => {
            cluster.withdraw(&key);
            cluster.fits_nowhere(key, pod);
        }
    }
    actions
}

fn bind(pod: &PodView, node: &str) -> Vec<Action> {
    let about = Arc::new(pod.reference());
    let note = format!("Successfully assigned {}/{} to {node}", pod.metadata.namespace, pod.metadata.name);
    vec![Action::bind((*about).clone(), node), status::event(about, "Scheduled", "Binding", note)]
}

/// The node that room was made on, if it is there by now; else the best of enough nodes that fit.
pub fn choose(
    nodes: &mut Nodes,
    rules: &Rules,
    pod: &Candidate,
    claims: &PodClaims,
    nominated: Option<Slot>,
) -> Result<Slot, Misfit> {
    let (found, looked) = feasible(nodes, rules, pod, claims, nominated)?;
    nodes.start = (nodes.start + looked) % nodes.slots().len().max(1);
    Ok(score::best(nodes, rules, pod, &found))
}

/// How many fitting nodes are looked for.
fn enough(nodes: usize) -> usize {
    let share = SHARE.0.saturating_sub(nodes / NODES_PER_PERCENT).max(SHARE.1);
    (nodes * share / 100).max(FEW)
}

/// Nodes that fit, in the order of the search, which goes on where the last one stopped; never empty. And how many were
/// looked at.
fn feasible(
    nodes: &Nodes,
    rules: &Rules,
    pod: &Candidate,
    claims: &PodClaims,
    nominated: Option<Slot>,
) -> Result<(Vec<Slot>, usize), Misfit> {
    let mut misfit = Misfit { nodes: nodes.len(), ..Misfit::default() };
    let domains = Domains::of(pod, rules, nodes);
    let fits = |node: &Node| trial::fits(pod, claims, node, &domains);
    if let Some(slot) = nominated
        && nodes.get(slot).is_some_and(|node| fits(node).is_ok())
    {
        return Ok((vec![slot], 0));
    }
    let mut found = Vec::new();
    if let Some(named) = filter::node_affinity::named_nodes(&pod.view.spec) {
        misfit.unasked = among(nodes, &named, fits, &mut found, &mut misfit);
        return if found.is_empty() { Err(misfit.complete()) } else { Ok((found, 0)) };
    }
    let (slots, wanted) = (nodes.slots().len(), enough(nodes.len()));
    let mut looked = 0;
    while looked < slots && found.len() < wanted {
        let at = (nodes.start + looked) % slots;
        looked += 1;
        let (node, Ok(slot)) = (&nodes.slots()[at], Slot::try_from(at)) else { continue };
        if node.view.is_none() {
            continue;
        }
        match fits(node) {
            Ok(()) => found.push(slot),
            Err(rejection) => misfit.add(slot, rejection),
        }
    }
    if found.is_empty() { Err(misfit.complete()) } else { Ok((found, looked)) }
}

/// The same when only some nodes come into question; how many do not.
fn among(
    nodes: &Nodes,
    names: &[&str],
    fits: impl Fn(&Node) -> Result<(), Rejection>,
    found: &mut Vec<Slot>,
    misfit: &mut Misfit,
) -> usize {
    let mut asked = 0;
    for slot in names.iter().filter_map(|name| nodes.find(name)) {
        let Some(node) = nodes.get(slot).filter(|node| node.view.is_some()) else { continue };
        asked += 1;
        match fits(node) {
            Ok(()) => found.push(slot),
            Err(rejection) => misfit.add(slot, rejection),
        }
    }
    nodes.len() - asked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_clusters_are_sampled_as_upstream_samples_them() {
        for (nodes, want) in [(10, 100), (100, 100), (1000, 420), (5000, 500), (10_000, 500)] {
            assert_eq!(enough(nodes), want, "{nodes}");
        }
    }
}
