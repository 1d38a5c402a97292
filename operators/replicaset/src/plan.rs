//! The decision: which pods to adopt, let go, create and delete.

use crate::{PodSet, observe::Observed, status};
use proa_kit::{
    Action, Announce, ObjectRef, Plan, Timestamp, Typed,
    owner::{self, Claim, claim},
    pods::{Candidate, DELETION_COST, sort_for_deletion},
    views::PodView,
};
use std::{collections::HashMap, sync::Arc};

/// Writes in one pass.
const BURST: usize = 500;

/// The pods of a replica set, sorted by what it does with them.
pub(crate) struct Claimed<'a> {
    /// Its active pods, those it adopts among them.
    pub(crate) active: Vec<&'a PodView>,
    /// Its pods that are going.
    pub(crate) terminating: usize,
    adopted: Vec<&'a PodView>,
    released: Vec<&'a PodView>,
}

/// Sorts the observed pods.
pub(crate) fn claimed<'a>(set: &impl PodSet, observed: &'a Observed) -> Claimed<'a> {
    let mut all = Claimed { active: Vec::new(), terminating: 0, adopted: Vec::new(), released: Vec::new() };
    for pod in &observed.pods {
        let claim = claim(set.meta(), &set.spec().selector, &pod.metadata);
        if !pod.is_active() {
            all.terminating += usize::from(claim == Claim::Owned && pod.is_terminating());
            continue;
        }
        match claim {
            Claim::Owned => all.active.push(pod),
            Claim::Adopt if observed.may_adopt => {
                all.active.push(pod);
                all.adopted.push(pod);
            }
            Claim::Release => all.released.push(pod),
            Claim::Adopt | Claim::Foreign => {}
        }
    }
    all
}

/// Number of claims at the start of a plan: what follows are creations or deletions.
pub(crate) fn claims(set: &impl PodSet, observed: &Observed) -> usize {
    let claimed = claimed(set, observed);
    claimed.adopted.len() + claimed.released.len()
}

/// The plan for one replica set.
pub fn plan(set: &impl PodSet, observed: &Observed, now: Timestamp) -> Plan {
    let owner = Arc::new(set.reference());
    let claimed = claimed(set, observed);
    let mut plan = Plan::default();
    plan.actions.extend(claimed.adopted.iter().map(|pod| owner::adopt(&owner, &pod.reference())));
    plan.actions.extend(claimed.released.iter().map(|pod| owner::release(&owner, &pod.reference(), &[])));
    if !set.meta().is_deleting() {
        plan.actions.extend(manage(set, &owner, &claimed.active, &observed.related, now));
    }
    plan.status = status::changed(set, &claimed, None, now);
    if set.spec().min_ready_seconds > 0 {
        for pod in &claimed.active {
            plan.look_again(pod.available_in(set.spec().min_ready_seconds, now));
        }
    }
    plan
}

fn manage(
    set: &impl PodSet,
    owner: &Arc<ObjectRef>,
    active: &[&PodView],
    related: &[Arc<PodView>],
    now: Timestamp,
) -> Option<Action> {
    let wanted = usize::try_from(set.spec().replicas()).unwrap_or(0);
    if active.len() < wanted {
        let missing = (wanted - active.len()).min(BURST);
        let create = create(set, owner);
        return Some(Action::slow_start(vec![create; missing]));
    }
    let surplus = (active.len() - wanted).min(BURST);
    if surplus == 0 {
        return None;
    }
    let deletions = to_delete(active, related, surplus, now).into_iter().map(|pod| delete(pod, owner));
    Some(Action::parallel(deletions.collect()))
}

fn create(set: &impl PodSet, owner: &Arc<ObjectRef>) -> Action {
    Action::create(PodView::KIND, &set.meta().namespace, set.spec().template.pod(owner)).announced(
        Announce::about(owner)
            .success("SuccessfulCreate", "Created pod: {name}")
            .failure("FailedCreate", "Error creating: {error}"),
    )
}

fn delete(pod: &PodView, owner: &Arc<ObjectRef>) -> Action {
    Action::delete(pod.reference()).announced(
        Announce::about(owner)
            .success("SuccessfulDelete", "Deleted pod: {name}")
            .failure("FailedDelete", "Error deleting: {error}"),
    )
}

/// The pods that are missed least.
fn to_delete<'a>(
    active: &[&'a PodView],
    related: &[Arc<PodView>],
    surplus: usize,
    now: Timestamp,
) -> Vec<&'a PodView> {
    let mut on_node: HashMap<&str, usize> = HashMap::new();
    for pod in related {
        *on_node.entry(&pod.spec.node_name).or_default() += 1;
    }
    let mut candidates: Vec<Candidate<'a>> = active
        .iter()
        .map(|&pod| Candidate {
            pod,
            rank: on_node.get(&*pod.spec.node_name).copied().unwrap_or(0),
            cost: pod.metadata.annotations.get(DELETION_COST).and_then(|cost| cost.parse().ok()).unwrap_or(0),
        })
        .collect();
    sort_for_deletion(&mut candidates, now);
    candidates.iter().take(surplus).map(|candidate| candidate.pod).collect()
}
