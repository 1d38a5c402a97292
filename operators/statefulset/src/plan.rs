//! The decision: which numbers get a pod, which pods go, and in what order.

mod claims;
pub mod history;
mod rolling;

use crate::{build, observe::Observed, status};
use history::{Collision, History, Revision};
use proa_kit::{
    Action, Announce, Meta, ObjectRef, Plan, Timestamp, Typed,
    owner::{self, Claim, claim},
    views::{PersistentVolumeClaimView, PodView, StatefulSetView, stateful_set::StatefulSetStatus},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Creations in one pass when pods need not wait for each other.
pub(crate) const BURST: usize = 500;

/// A plan in the making.
struct Draft<'a> {
    set: &'a StatefulSetView,
    /// Claims by their names.
    present: HashMap<&'a str, &'a Arc<PersistentVolumeClaimView>>,
    owner: Arc<ObjectRef>,
    history: History<'a>,
    now: Timestamp,
    /// Pods by their place among the wanted numbers. Those that are missing take no memory, however many are wanted.
    replicas: BTreeMap<usize, &'a PodView>,
    /// Pods of other numbers, the last first.
    condemned: Vec<&'a PodView>,
    status: StatefulSetStatus,
    actions: Vec<Action>,
}

/// Whether a step lets the next one happen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Goes,
    Waits,
}

/// The plan for one stateful set.
pub fn plan(set: &StatefulSetView, observed: &Observed, now: Timestamp) -> Plan {
    let owner = Arc::new(set.reference());
    let mut plan = Plan::default();
    let pods = claimed(set, observed, &owner, &mut plan);
    let mut history = match history::history(set, observed) {
        Ok(history) => history,
        Err(Collision) => {
            plan.status = Some(status::collided(set));
            return plan;
        }
    };
    plan.actions.append(&mut history.writes);
    let forgotten = history.forget(set, &pods);
    let status = status::status(set, &history, &pods, now);
    let (replicas, condemned) = places(set, &pods);
    let present = observed.claims.iter().map(|claim| (&*claim.metadata.name, claim)).collect();
    let actions = Vec::new();
    let mut draft = Draft { set, present, owner, history, now, replicas, condemned, status, actions };
    if !set.metadata.is_deleting() {
        draft.decide();
    }
    let Draft { status, actions, .. } = draft;
    plan.actions.extend(actions);
    plan.actions.extend(forgotten);
    status::report(set, status, &mut plan);
    if set.spec.min_ready_seconds > 0 {
        for pod in &pods {
            plan.look_again(pod.available_in(set.spec.min_ready_seconds, now));
        }
    }
    plan
}

/// The set's pods, those it adopts among them. Pods of other names are let go.
fn claimed<'a>(
    set: &StatefulSetView,
    observed: &'a Observed,
    owner: &Arc<ObjectRef>,
    plan: &mut Plan,
) -> Vec<&'a PodView> {
    let mut pods = Vec::new();
    for pod in &observed.pods {
        let is_member = build::ordinal(set, pod).is_some();
        match claim(&set.metadata, &set.spec.selector, &pod.metadata) {
            Claim::Owned if is_member => pods.push(&**pod),
            Claim::Adopt if is_member && observed.may_adopt => {
                plan.push(owner::adopt(owner, &pod.reference()));
                pods.push(&**pod);
            }
            Claim::Owned if set.metadata.is_deleting() => {}
            Claim::Owned | Claim::Release => plan.push(owner::release(owner, &pod.reference(), &[])),
            Claim::Adopt | Claim::Foreign => {}
        }
    }
    pods
}

/// Pods by their place among the wanted numbers, and the pods of other numbers, the last first.
fn places<'a>(
    set: &StatefulSetView,
    pods: &[&'a PodView],
) -> (BTreeMap<usize, &'a PodView>, Vec<&'a PodView>) {
    let (mut replicas, mut condemned) = (BTreeMap::new(), Vec::new());
    for pod in pods {
        let Some(ordinal) = build::ordinal(set, pod) else { continue };
        let place = ordinal.checked_sub(set.spec.start()).and_then(|place| usize::try_from(place).ok());
        match place.filter(|place| *place < wanted(set)) {
            Some(place) => {
                replicas.insert(place, *pod);
            }
            None => condemned.push((ordinal, *pod)),
        }
    }
    condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    (replicas, condemned.into_iter().map(|(_, pod)| pod).collect())
}

fn wanted(set: &StatefulSetView) -> usize {
    usize::try_from(set.spec.replicas()).unwrap_or(0)
}

impl<'a> Draft<'a> {
    fn decide(&mut self) {
        let goes_on = if self.is_ordered() {
            self.one_by_one() == Flow::Goes && self.shrink_one_by_one() == Flow::Goes
        } else {
            self.all_at_once();
            true
        };
        if goes_on && &*self.set.spec.update_strategy.kind != "OnDelete" {
            self.roll();
        }
    }
    fn is_ordered(&self) -> bool {
        &*self.set.spec.pod_management_policy != "Parallel"
    }
    /// Every number in turn: the first that is not as it should be ends the pass.
    fn one_by_one(&mut self) -> Flow {
        for place in 0..wanted(self.set) {
            let Some(pod) = self.replicas.get(&place).copied() else {
                let (claims, creation) = self.create(place);
                self.actions.extend(claims.into_iter().chain(creation));
                return Flow::Waits;
            };
            if pod.is_terminal() {
                self.remove(pod);
                return Flow::Waits;
            }
            if &*pod.status.phase == "Pending" {
                self.mend(pod, true);
            }
            if pod.metadata.is_deleting() || !is_running(pod) || !self.is_available(pod) {
                return Flow::Waits;
            }
            self.identify(pod);
            self.mend(pod, false);
        }
        Flow::Goes
    }
    /// The last of the condemned goes when all others are well; one that is not well goes when it is the first such.
    fn shrink_one_by_one(&mut self) -> Flow {
        let Some(last) = self.condemned.first().copied() else { return Flow::Goes };
        self.mend_condemned();
        let unavailable = self.condemned.iter().rev().find(|pod| self.is_unavailable(pod));
        let is_first = unavailable.is_some_and(|pod| pod.metadata.uid == last.metadata.uid);
        let is_well = is_running(last) && self.is_available(last);
        if !last.metadata.is_deleting() && (is_well || is_first) {
            self.remove(last);
        }
        Flow::Waits
    }
    fn all_at_once(&mut self) {
        let pods: Vec<&'a PodView> = self.replicas.values().copied().collect();
        for pod in pods.iter().filter(|pod| !pod.is_terminal()) {
            self.identify(pod);
            self.mend(pod, &*pod.status.phase == "Pending");
        }
        let ended = pods.iter().filter(|pod| pod.is_terminal() && !pod.metadata.is_deleting());
        let mut writes: Vec<Action> = ended.map(|pod| self.delete(pod)).collect();
        let missing = (0..wanted(self.set)).filter(|place| !self.replicas.contains_key(place));
        let mut claims = Vec::new();
        for place in missing.take(BURST) {
            let (of_pod, pod) = self.create(place);
            claims.extend(of_pod);
            writes.extend(pod);
        }
        // A pod without its claims would only wait.
        if !claims.is_empty() {
            self.actions.push(Action::slow_start(claims));
        }
        if !writes.is_empty() {
            self.actions.push(Action::slow_start(writes));
        }
        self.mend_condemned();
        let going = self.condemned.iter().filter(|pod| !pod.metadata.is_deleting());
        let deletions: Vec<Action> = going.map(|pod| self.delete(pod)).collect();
        if !deletions.is_empty() {
            self.actions.push(Action::slow_start(deletions));
        }
    }
    /// Claims of pods that are to go may go with them.
    fn mend_condemned(&mut self) {
        for pod in self.condemned.clone() {
            self.mend(pod, false);
        }
    }
    fn identify(&mut self, pod: &PodView) {
        if !build::is_identified(pod)
            && let Some(ordinal) = build::ordinal(self.set, pod)
        {
            self.actions.push(build::identify(pod, ordinal));
        }
    }
    fn is_available(&self, pod: &PodView) -> bool {
        pod.is_available(self.set.spec.min_ready_seconds, self.now)
    }
    fn is_unavailable(&self, pod: &PodView) -> bool {
        !self.is_available(pod) || pod.metadata.is_deleting()
    }
    /// Pods before the partition are created as they were before the update.
    fn revision(&self, place: usize) -> &Revision {
        let strategy = &self.set.spec.update_strategy;
        let kept = match &strategy.rolling_update {
            Some(limits) => limits.partition.unwrap_or(0),
            None if &*strategy.kind == "RollingUpdate" => self.set.status.current_replicas,
            None => 0,
        };
        let is_kept = usize::try_from(kept).is_ok_and(|kept| place < kept);
        if is_kept { &self.history.current } else { &self.history.update }
    }
    /// The writes that make a pod's claims, and the pod with what goes with it.
    fn create(&self, place: usize) -> (Vec<Action>, Vec<Action>) {
        let number = i32::try_from(place).unwrap_or(i32::MAX);
        let ordinal = self.set.spec.start().saturating_add(number);
        let name = build::pod_name(self.set, ordinal);
        let claims = self.claims(ordinal);
        if self.is_stale(&claims, &name) {
            return (Vec::new(), Vec::new());
        }
        let made = self.make(&claims, &name);
        if let Some(going) = claims.going() {
            let set = &self.set.metadata.name;
            let note =
                format!("Create Pod {name} in StatefulSet {set} failed error: pvc {going} is being deleted");
            return (made, vec![Action::warning(&self.owner, "FailedCreate", note)]);
        }
        let Revision { name: revision, template } = self.revision(place);
        let pod = build::pod(self.set, &self.owner, template, revision, ordinal);
        let create = Action::create(PodView::KIND, &self.set.metadata.namespace, pod);
        let create = create.announced(self.announce("Create", &name));
        let meta =
            Meta { name: name.into(), namespace: self.set.metadata.namespace.clone(), ..Meta::default() };
        let owned = self.own(&claims, &meta);
        (made, [create].into_iter().chain(owned).collect())
    }
    fn remove(&mut self, pod: &PodView) {
        if !pod.metadata.is_deleting() {
            let deletion = self.delete(pod);
            self.actions.push(deletion);
        }
    }
    fn delete(&self, pod: &PodView) -> Action {
        Action::delete(pod.reference()).announced(self.announce("Delete", &pod.metadata.name))
    }
    fn announce(&self, verb: &str, pod: &str) -> Announce {
        let what = format!("{verb} Pod {pod} in StatefulSet {}", self.set.metadata.name);
        Announce::about(&self.owner)
            .success(&format!("Successful{verb}"), &format!("{what} successful"))
            .failure(&format!("Failed{verb}"), &format!("{what} failed error: {{error}}"))
    }
}

fn is_running(pod: &PodView) -> bool {
    &*pod.status.phase == "Running" && pod.is_ready()
}
