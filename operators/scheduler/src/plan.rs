//! The decision about one pod: which node, or why none. Pure but for what it assumes in the snapshot.
//!
//! Upstream: pkg/scheduler/schedule_one.go (findNodesThatFitPod, prioritizeNodes, numFeasibleNodesToFind).

pub mod filter;
pub mod score;

use crate::{
    Lane,
    index::{
        Candidate, Cluster,
        nodes::{Node, Nodes, Slot},
        rules::Rules,
    },
    status,
};
use filter::{Rejection, pod_rules::Domains};
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
    match choose(&mut cluster.nodes, &cluster.rules, &pod) {
        Ok(slot) => {
            let node = cluster.nodes.get(slot).map_or("", |node| &node.name);
            plan.actions = bind(&pod.view, node);
            cluster.assume(lane, key, pod, slot);
        }
        Err(misfit) => {
            plan.actions = status::unschedulable(&pod, &misfit, now);
            let is_kept_by_rules = misfit.rejections.iter().any(|(rejection, _)| rejection.is_about_pods());
            cluster.fits_nowhere(key, Arc::new(Candidate { is_kept_by_rules, ..Arc::unwrap_or_clone(pod) }));
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
pub fn choose(nodes: &mut Nodes, rules: &Rules, pod: &Candidate) -> Result<Slot, Misfit> {
    let (found, looked) = feasible(nodes, rules, pod)?;
    nodes.start = (nodes.start + looked) % nodes.slots().len().max(1);
    Ok(score::best(nodes, pod, &found))
}

/// How many fitting nodes are looked for.
fn enough(nodes: usize) -> usize {
    let share = SHARE.0.saturating_sub(nodes / NODES_PER_PERCENT).max(SHARE.1);
    (nodes * share / 100).max(FEW)
}

/// Nodes that fit, in the order of the search, which goes on where the last one stopped; never empty. And how many were
/// looked at.
fn feasible(nodes: &Nodes, rules: &Rules, pod: &Candidate) -> Result<(Vec<Slot>, usize), Misfit> {
    let mut misfit = Misfit { nodes: nodes.len(), refusal: pod.rules.refusal, ..Misfit::default() };
    if misfit.refusal.is_some() {
        return Err(misfit);
    }
    let domains = Domains::of(pod, rules, nodes);
    let fits = |node: &Node| {
        filter::node(pod, node)?;
        domains.as_ref().map_or(Ok(()), |domains| domains.allow(node))
    };
    let mut found = Vec::new();
    if let Some(named) = filter::node_affinity::named_nodes(&pod.view.spec) {
        misfit.unasked = among(nodes, &named, fits, &mut found, &mut misfit);
        return if found.is_empty() { Err(misfit) } else { Ok((found, 0)) };
    }
    let (slots, wanted) = (nodes.slots().len(), enough(nodes.len()));
    let mut looked = 0;
    while looked < slots && found.len() < wanted {
        let at = (nodes.start + looked) % slots;
        looked += 1;
        let node = &nodes.slots()[at];
        if node.view.is_none() {
            continue;
        }
        match fits(node) {
            Ok(()) => found.extend(Slot::try_from(at)),
            Err(rejection) => misfit.count(rejection),
        }
    }
    if found.is_empty() { Err(misfit) } else { Ok((found, looked)) }
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
            Err(rejection) => misfit.count(rejection),
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
