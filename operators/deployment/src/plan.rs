//! The decision: which replica sets to adopt, create, scale and forget.

mod recreate;
mod rolling;
mod scale;
pub mod sets;

use crate::{
    build::{self, DESIRED_REPLICAS},
    observe::Observed,
    plan::sets::Sets,
    status::{self, Progress},
};
use proa_kit::{
    Action, ObjectRef, Pairs, Plan, Timestamp, Typed,
    owner::{self, Claim, claim},
    views::DeploymentView,
};
use std::sync::Arc;

/// A plan in the making.
pub(crate) struct Draft<'a> {
    pub(crate) deployment: &'a DeploymentView,
    pub(crate) sets: Sets<'a>,
    pub(crate) progress: Progress,
    name_taken: bool,
    forgotten: Vec<Action>,
}

/// The plan for one deployment.
pub fn plan(deployment: &DeploymentView, observed: &Observed, now: Timestamp) -> Plan {
    let owner = Arc::new(deployment.reference());
    if deployment.spec.selector.is_empty() {
        return selects_everything(deployment, &owner);
    }
    let (mut claims, owned) = claims(deployment, observed, &owner);
    let mut draft = Draft {
        deployment,
        sets: Sets::new(deployment, owned),
        progress: Progress::new(deployment, now),
        name_taken: observed.name_taken,
        forgotten: Vec::new(),
    };
    let rolled = draft.decide(observed);
    claims.extend(draft.sets.writes(&owner));
    claims.append(&mut draft.forgotten);
    let mut plan = Plan { actions: claims, ..Plan::default() };
    finish(&mut plan, &draft, rolled);
    plan
}

/// How far a plan went, which is how much of the status it says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rolled {
    /// Counts and availability only: paused, scaled or going.
    No,
    /// Progress too.
    Yes,
    /// The name of the new replica set is taken by another template.
    Collided,
}

fn selects_everything(deployment: &DeploymentView, owner: &Arc<ObjectRef>) -> Plan {
    let note = "This deployment is selecting all pods. A non-empty selector is required.";
    let mut plan = Plan { actions: vec![Action::warning(owner, "SelectingAll", note)], ..Plan::default() };
    if deployment.status.observed_generation < deployment.metadata.generation {
        let mut status = deployment.status.clone();
        status.observed_generation = deployment.metadata.generation;
        plan.status = Some(status::value(&status));
    }
    plan
}

type Owned<'a> = std::vec::IntoIter<&'a proa_kit::views::ReplicaSetView>;

fn claims<'a>(
    deployment: &DeploymentView,
    observed: &'a Observed,
    owner: &Arc<ObjectRef>,
) -> (Vec<Action>, Owned<'a>) {
    let (mut actions, mut owned) = (Vec::new(), Vec::new());
    for set in &observed.sets {
        match claim(&deployment.metadata, &deployment.spec.selector, &set.metadata) {
            Claim::Owned => owned.push(&**set),
            Claim::Adopt if observed.may_adopt => {
                actions.push(owner::adopt(owner, &set.reference()));
                owned.push(&**set);
            }
            Claim::Release => actions.push(owner::release(owner, &set.reference(), &[])),
            Claim::Adopt | Claim::Foreign => {}
        }
    }
    (actions, owned.into_iter())
}

impl Draft<'_> {
    fn decide(&mut self, observed: &Observed) -> Rolled {
        if self.deployment.metadata.is_deleting() {
            return Rolled::No;
        }
        self.progress.pause_or_resume();
        let scaled = self.deployment.spec.paused || self.is_scaling();
        if scaled {
            self.refresh_new_set();
            self.scale();
            if self.deployment.spec.paused {
                self.forget_history();
            }
            return Rolled::No;
        }
        let going_on =
            if self.deployment.spec.recreates() { self.recreate(&observed.pods) } else { self.roll() };
        match going_on {
            Err(Collision) => return Rolled::Collided,
            Ok(Step::Settled) if status::is_complete(self.deployment, &self.deployment.status) => {
                self.forget_history();
            }
            Ok(_) => {}
        }
        Rolled::Yes
    }
    /// Whether the deployment's size changed since a set was last scaled: then sets grow or shrink in proportion.
    fn is_scaling(&self) -> bool {
        let desired = self.deployment.spec.replicas();
        let active = self.sets.list.iter().filter(|set| set.is_active());
        active.filter_map(|set| set.number(DESIRED_REPLICAS)).any(|noted| noted != desired)
    }
    /// Brings the current set up to date, if there is one. Whether there is.
    fn refresh_new_set(&mut self) -> bool {
        let Some(at) = self.sets.new else { return false };
        self.sets.refresh(at, self.sets.highest_old_revision() + 1);
        self.progress.found(&self.sets.list[at].view.metadata.name);
        true
    }
    /// The current set, created with the size that `size` gives if there is none.
    fn ensure_new_set(&mut self, size: impl Fn(&Self) -> i32) -> Result<usize, Collision> {
        self.refresh_new_set();
        if let Some(at) = self.sets.new {
            return Ok(at);
        }
        if self.name_taken {
            return Err(Collision);
        }
        let at = self.sets.create(size(self), self.sets.highest_old_revision() + 1);
        self.progress.created(&self.sets.list[at].view.metadata.name);
        Ok(at)
    }
    /// Deletes the oldest replica sets without pods beyond the limit.
    fn forget_history(&mut self) {
        let Some(limit) = self.deployment.spec.revision_history_limit.filter(|limit| *limit != i32::MAX)
        else {
            return;
        };
        let mut old = self.sets.old();
        old.retain(|at| !self.sets.list[*at].view.metadata.is_deleting());
        old.sort_by_key(|at| self.sets.list[*at].revision());
        let surplus = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
        for at in old.into_iter().take(surplus) {
            let set = &self.sets.list[at];
            let view = &set.view;
            let settled = view.metadata.generation <= view.status.observed_generation;
            if view.status.replicas == 0 && set.replicas == 0 && view.spec.replicas() == 0 && settled {
                self.forgotten.push(Action::delete(view.reference()));
            }
        }
    }
}

/// How a step of a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sizes changed; what follows waits for the pods.
    Scaled,
    /// Waiting for pods.
    Waiting,
    /// Nothing to scale.
    Settled,
}

/// The name of the new replica set is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Collision;

fn finish(plan: &mut Plan, draft: &Draft<'_>, rolled: Rolled) {
    let deployment = draft.deployment;
    let new = match rolled {
        Rolled::Collided => status::collided(deployment),
        Rolled::No => draft.progress.status(&draft.sets),
        Rolled::Yes => draft.progress.rollout_status(&draft.sets),
    };
    let revision = draft.sets.new_set().filter(|_| !deployment.metadata.is_deleting());
    plan.annotations =
        revision.and_then(|set| revision_note(&deployment.metadata.annotations, set.revision()));
    if new != deployment.status || plan.annotations.is_some() {
        plan.status = Some(status::value(&new));
    }
    if rolled == Rolled::Yes {
        plan.look_again(draft.progress.deadline_in(&new));
    }
}

fn revision_note(annotations: &Pairs, revision: i64) -> Option<Pairs> {
    let text = revision.to_string();
    if revision == 0 || annotations.get(build::REVISION) == Some(&text) {
        return None;
    }
    let others = annotations.iter().filter(|(key, _)| *key != build::REVISION);
    Some(others.chain([(build::REVISION, text.as_str())]).collect())
}
