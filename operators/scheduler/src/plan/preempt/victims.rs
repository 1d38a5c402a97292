//! Which pods would have to go from one node, as few and as unimportant as possible.
//!
//! All pods of lower priority are taken away; if the pod then fits, they come back one by one as long as it still does:
//! first those whose going would break a disruption budget, the more important ones first.
//! Upstream: plugins/defaultpreemption/default_preemption.go (SelectVictimsOnNode).

use super::NoChoice;
use crate::{
    index::{Candidate, budgets::Budgets, nodes::Node},
    plan::{filter::pod_rules::Domains, trial::Trial},
};
use proa_kit::Timestamp;
use std::{cmp::Reverse, sync::Arc};

/// Pods that would go from a node.
#[derive(Debug)]
pub(super) struct Victims {
    /// The most important first.
    pub(super) pods: Vec<Arc<Candidate>>,
    /// How many of them would break a disruption budget.
    pub(super) violations: usize,
}

/// The pods that would have to go for `pod` to fit.
pub(super) fn select(
    pod: &Candidate,
    node: &Node,
    domains: &Domains<'_>,
    budgets: &Budgets,
    now: Timestamp,
) -> Result<Victims, NoChoice> {
    let mut lower: Vec<Arc<Candidate>> = node.lower(pod).cloned().collect();
    if lower.is_empty() {
        return Err(NoChoice::WithoutVictims);
    }
    let mut trial = Trial::new(pod, node, domains);
    lower.iter().for_each(|other| trial.remove(other));
    trial.fits().map_err(NoChoice::Rejected)?;
    sort(&mut lower, now);
    let (breaking, others) = budgets.split(lower);
    let mut pods: Vec<Arc<Candidate>> = Vec::new();
    for other in breaking.iter().chain(&others) {
        trial.add(other);
        if trial.fits().is_err() {
            trial.remove(other);
            pods.push(other.clone());
        }
    }
    let violations = pods.iter().filter(|own| breaking.iter().any(|other| Arc::ptr_eq(own, other))).count();
    sort(&mut pods, now);
    // A node that takes the pod as it is would have been found before.
    if pods.is_empty() { Err(NoChoice::WithoutVictims) } else { Ok(Victims { pods, violations }) }
}

/// The most important first: by priority, then by how long they have run.
fn sort(pods: &mut [Arc<Candidate>], now: Timestamp) {
    pods.sort_by_key(|pod| (Reverse(pod.priority()), pod.started(now)));
}
