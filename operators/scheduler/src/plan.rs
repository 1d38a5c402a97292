//! The decision about one pod: which node, or why none. Pure but for what it assumes in the snapshot.
//!
//! Upstream: pkg/scheduler/schedule_one.go (findNodesThatFitPod, prioritizeNodes, numFeasibleNodesToFind).

pub mod filter;
pub mod score;

use crate::{
    Lane,
    index::{
        Candidate, Cluster,
        nodes::{Nodes, Slot},
    },
    status,
};
use filter::Rejection;
use proa_kit::{Action, Plan, Timestamp, Typed, clock::elapsed, views::PodView};
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
    /// Nodes that were not asked, since the pod names others.
    pub unasked: usize,
    /// Why no node was asked at all.
    pub refusal: Option<&'static str>,
}

impl Misfit {
    fn count(&mut self, rejection: Rejection) {
        match self.rejections.iter_mut().find(|(own, _)| *own == rejection) {
            Some((_, count)) => *count += 1,
            None => self.rejections.push((rejection, 1)),
        }
    }
}

/// The plan of a lane: the most important pod that waits.
pub fn plan(lane: Lane, cluster: &mut Cluster, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let Some((key, pod)) = cluster.next(now) else {
        if let Some(at) = cluster.next_retry() {
            plan.look_again(elapsed(now, at).max(Duration::from_millis(1)));
        }
        return plan;
    };
    match choose(&mut cluster.nodes, &pod) {
        Ok(slot) => {
            let node = cluster.nodes.get(slot).map_or("", |node| &node.name);
            plan.actions = bind(&pod.view, node);
            cluster.assume(lane, key, pod, slot);
        }
        Err(misfit) => {
            plan.actions = status::unschedulable(&pod, &misfit, now);
            cluster.fits_nowhere(key, pod);
        }
    }
    plan
}

fn bind(pod: &PodView, node: &str) -> Vec<Action> {
    let about = Arc::new(pod.reference());
    let note = format!("Successfully assigned {}/{} to {node}", pod.metadata.namespace, pod.metadata.name);
    vec![Action::bind((*about).clone(), node), status::event(about, "Scheduled", "Binding", note)]
}

/// The best of enough nodes that fit.
pub fn choose(nodes: &mut Nodes, pod: &Candidate) -> Result<Slot, Misfit> {
    let found = feasible(nodes, pod)?;
    Ok(score::best(nodes, pod, &found))
}

/// How many fitting nodes are looked for.
fn enough(nodes: usize) -> usize {
    let share = SHARE.0.saturating_sub(nodes / NODES_PER_PERCENT).max(SHARE.1);
    (nodes * share / 100).max(FEW)
}

/// Nodes that fit, in the order of the search, which goes on where the last one stopped; never empty.
fn feasible(nodes: &mut Nodes, pod: &Candidate) -> Result<Vec<Slot>, Misfit> {
    if let Some(refusal) = filter::pod_rules::refusal(&pod.view.spec) {
        return Err(Misfit { nodes: nodes.len(), refusal: Some(refusal), ..Misfit::default() });
    }
    if let Some(named) = filter::node_affinity::named_nodes(&pod.view.spec) {
        return among(nodes, pod, &named);
    }
    let (slots, wanted) = (nodes.slots().len(), enough(nodes.len()));
    let mut misfit = Misfit { nodes: nodes.len(), ..Misfit::default() };
    let mut found = Vec::with_capacity(wanted.min(nodes.len()));
    let mut looked = 0;
    while looked < slots && found.len() < wanted {
        let at = (nodes.start + looked) % slots;
        looked += 1;
        let node = &nodes.slots()[at];
        if node.view.is_none() {
            continue;
        }
        match filter::node(pod, node) {
            Ok(()) => found.extend(Slot::try_from(at)),
            Err(rejection) => misfit.count(rejection),
        }
    }
    if slots != 0 {
        nodes.start = (nodes.start + looked) % slots;
    }
    if found.is_empty() { Err(misfit) } else { Ok(found) }
}

/// The same when only some nodes come into question.
fn among(nodes: &Nodes, pod: &Candidate, names: &[&str]) -> Result<Vec<Slot>, Misfit> {
    let mut misfit = Misfit { nodes: nodes.len(), ..Misfit::default() };
    let mut found = Vec::new();
    let mut asked = 0;
    for slot in names.iter().filter_map(|name| nodes.find(name)) {
        let Some(node) = nodes.get(slot).filter(|node| node.view.is_some()) else { continue };
        asked += 1;
        match filter::node(pod, node) {
            Ok(()) => found.push(slot),
            Err(rejection) => misfit.count(rejection),
        }
    }
    misfit.unasked = nodes.len() - asked;
    if found.is_empty() { Err(misfit) } else { Ok(found) }
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
