//! The decision: which nodes get a pod, which pods go, and what the history needs.

pub mod history;
pub mod nodes;
mod rolling;

use crate::{
    build::{HASH, PodTemplate, is_updated, pod_template},
    observe::Observed,
    plan::nodes::{Fit, daemon_spec, fit, node_of},
    status,
};
use proa_kit::{
    Action, Announce, ObjectRef, Plan, Timestamp, Typed,
    owner::{self, Claim, claim},
    rollout::{IntOrPercent, Round},
    views::{DaemonSetView, NodeView, PodView},
};
use std::{collections::BTreeMap, sync::Arc};

/// Creations, and deletions, in one pass.
const BURST: usize = 250;

/// Nodes with what the daemon set has to do with them, and their pods. A node that is gone has no fit.
pub(crate) type Places<'a> = BTreeMap<&'a str, Place<'a>>;

/// One node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place<'a> {
    pub(crate) fit: Option<Fit>,
    pub(crate) pods: Vec<&'a PodView>,
}

impl Place<'_> {
    pub(crate) fn runs(&self) -> bool {
        self.fit == Some(Fit::Runs)
    }
}

/// A plan in the making.
pub(crate) struct Draft<'a> {
    pub(crate) set: &'a DaemonSetView,
    pub(crate) owner: Arc<ObjectRef>,
    pub(crate) hash: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) create_on: Vec<&'a str>,
    pub(crate) delete: Vec<&'a PodView>,
    events: Vec<Action>,
}

/// The plan for one daemon set.
pub fn plan(set: &DaemonSetView, observed: &Observed, now: Timestamp) -> Plan {
    let owner = Arc::new(set.reference());
    let mut plan = Plan::default();
    if set.spec.selector.is_empty() {
        let note = "This daemon set is selecting all pods. A non-empty selector is required.";
        plan.push(Action::warning(&owner, "SelectingAll", note));
        return plan;
    }
    let (Some(spec), false) = (daemon_spec(set), set.metadata.is_deleting()) else { return plan };
    let pods = claimed(set, observed, &owner, &mut plan);
    let history = match history::history(set, observed, &pods) {
        Ok(history) => history,
        Err(history::Collision) => {
            plan.status = Some(status::collided(set));
            return plan;
        }
    };
    let places = places(&observed.nodes, &pods, |node| fit(&spec, node));
    let mut draft = Draft {
        set,
        owner,
        hash: &history.hash,
        now,
        create_on: Vec::new(),
        delete: Vec::new(),
        events: Vec::new(),
    };
    draft.manage(&places, observed, &mut plan);
    if draft.create_on.is_empty() && draft.delete.is_empty() && &*set.spec.update_strategy.kind != "OnDelete"
    {
        draft.roll(&places);
    }
    let forgotten = history.forget(set, &pods);
    plan.actions.extend(history.writes);
    plan.actions.extend(draft.writes());
    plan.actions.extend(forgotten);
    status::report(set, &places, &history.hash, now, &mut plan);
    plan
}

fn claimed<'a>(
    set: &DaemonSetView,
    observed: &'a Observed,
    owner: &Arc<ObjectRef>,
    plan: &mut Plan,
) -> Vec<&'a PodView> {
    let mut pods = Vec::new();
    for pod in &observed.pods {
        match claim(&set.metadata, &set.spec.selector, &pod.metadata) {
            Claim::Owned => pods.push(&**pod),
            Claim::Adopt if observed.may_adopt => {
                plan.push(owner::adopt(owner, &pod.reference()));
                pods.push(&**pod);
            }
            Claim::Release => plan.push(owner::release(owner, &pod.reference(), &[])),
            Claim::Adopt | Claim::Foreign => {}
        }
    }
    pods
}

fn places<'a>(
    nodes: &'a [Arc<NodeView>],
    pods: &[&'a PodView],
    fit: impl Fn(&NodeView) -> Fit,
) -> Places<'a> {
    let mut places: Places<'a> = nodes
        .iter()
        .map(|node| (&*node.metadata.name, Place { fit: Some(fit(node)), pods: Vec::new() }))
        .collect();
    for pod in pods {
        // A pod that ended and is going leaves its place to a new one at once.
        if pod.is_terminal() && pod.metadata.is_deleting() {
            continue;
        }
        if let Some(node) = node_of(pod) {
            places.entry(node).or_default().pods.push(pod);
        }
    }
    for place in places.values_mut() {
        place.pods.sort_by_key(|pod| {
            (pod.spec.node_name.is_empty(), pod.metadata.creation_timestamp, pod.metadata.name.clone())
        });
    }
    places
}

impl<'a> Draft<'a> {
    fn manage(&mut self, places: &Places<'a>, observed: &Observed, plan: &mut Plan) {
        for (node, place) in places {
            match place.fit {
                Some(Fit::Runs) if place.pods.is_empty() => self.create_on.push(node),
                Some(Fit::Runs | Fit::MayStay) => self.thin_out(node, place, observed, plan),
                Some(Fit::Never) => {
                    self.delete.extend(place.pods.iter().filter(|pod| !pod.metadata.is_deleting()));
                }
                // The node is gone; what was never bound to it never will be.
                None => self.delete.extend(place.pods.iter().filter(|pod| pod.spec.node_name.is_empty())),
            }
        }
    }
    fn thin_out(&mut self, node: &'a str, place: &Place<'a>, observed: &Observed, plan: &mut Plan) {
        let mut running = Vec::new();
        for pod in place.pods.iter().filter(|pod| !pod.metadata.is_deleting()) {
            match &*pod.status.phase {
                "Failed" => match observed.waits.get(node) {
                    Some(wait) => plan.look_again(*wait),
                    None => self.drop_ended(pod, node),
                },
                "Succeeded" => self.drop_ended(pod, node),
                _ => running.push(*pod),
            }
        }
        if !self.allows_surge() {
            self.delete.extend(running.into_iter().skip(1));
        } else if running.is_empty() && place.runs() {
            self.create_on.push(node);
        } else if running.len() > 1 {
            self.keep_two(&running);
        }
    }
    fn drop_ended(&mut self, pod: &'a PodView, node: &str) {
        let name = format!("{}/{}", pod.metadata.namespace, pod.metadata.name);
        let event = if &*pod.status.phase == "Failed" {
            let note = format!("Found failed daemon pod {name} on node {node}, will try to kill it");
            Action::warning(&self.owner, "FailedDaemonPod", note)
        } else {
            let note = format!("Found succeeded daemon pod {name} on node {node}, will try to delete it");
            Action::normal(&self.owner, "SucceededDaemonPod", note)
        };
        self.events.push(event);
        self.delete.push(pod);
    }
    /// While surging, one pod of the old template stays until one of the new one is available.
    fn keep_two(&mut self, running: &[&'a PodView]) {
        let (mut new, mut old): (Option<&PodView>, Option<&'a PodView>) = (None, None);
        for pod in running {
            let is_new = pod.metadata.labels.get(HASH) == Some(self.hash);
            match (is_new, new, old) {
                (true, None, _) => new = Some(pod),
                (false, _, None) => old = Some(pod),
                _ => self.delete.push(pod),
            }
        }
        if let (Some(new), Some(old)) = (new, old)
            && (!old.is_ready() || self.is_available(new))
        {
            self.delete.push(old);
        }
    }
    pub(crate) fn is_available(&self, pod: &PodView) -> bool {
        pod.is_available(self.set.spec.min_ready_seconds, self.now)
    }
    pub(crate) fn is_updated(&self, pod: &PodView) -> bool {
        is_updated(self.set, &pod.metadata.labels, self.hash)
    }
    fn allows_surge(&self) -> bool {
        self.limit(|limits| limits.max_surge.clone(), 1) > 0
    }
    pub(crate) fn limit(
        &self,
        which: impl Fn(&proa_kit::views::deployment::RollingUpdate) -> Option<IntOrPercent>,
        desired: i32,
    ) -> i32 {
        let strategy = &self.set.spec.update_strategy;
        let limits = strategy.rolling_update.as_ref().filter(|_| &*strategy.kind != "OnDelete");
        limits.and_then(which).and_then(|limit| limit.scaled(desired, Round::Up)).unwrap_or(0)
    }
    fn writes(mut self) -> Vec<Action> {
        let mut writes = std::mem::take(&mut self.events);
        self.create_on.truncate(BURST);
        self.delete.truncate(BURST);
        if !self.create_on.is_empty() {
            let template = pod_template(self.set, self.hash);
            let creations = self.create_on.iter().map(|node| self.create(&template, node)).collect();
            writes.push(Action::slow_start(creations));
        }
        if !self.delete.is_empty() {
            writes.push(Action::parallel(self.delete.iter().map(|pod| self.delete(pod)).collect()));
        }
        writes
    }
    fn create(&self, template: &PodTemplate, node: &str) -> Action {
        let pod = template.pod(&self.owner, node);
        Action::create(PodView::KIND, &self.set.metadata.namespace, pod).announced(
            Announce::about(&self.owner)
                .success("SuccessfulCreate", "Created pod: {name}")
                .failure("FailedCreate", "Error creating: {error}"),
        )
    }
    fn delete(&self, pod: &PodView) -> Action {
        Action::delete(pod.reference()).announced(
            Announce::about(&self.owner)
                .success("SuccessfulDelete", "Deleted pod: {name}")
                .failure("FailedDelete", "Error deleting: {error}"),
        )
    }
}
