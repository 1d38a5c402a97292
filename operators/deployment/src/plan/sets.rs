//! The replica sets of a deployment while a plan is made: sizes change in memory, then become one write per set.
//!
//! Invariant: counts for the status come from the sets as observed; decisions see the sizes planned so far.

use crate::build::{self, DESIRED_REPLICAS, MAX_REPLICAS};
use proa_kit::{
    Action, Announce, ObjectRef, Typed, rollout,
    views::{DeploymentView, Meta, ReplicaSetView},
};
use serde_json::{Value, json};
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// One replica set.
#[derive(Clone, Debug)]
pub struct Set<'a> {
    /// As observed; of a set still to be created, what it will be.
    pub view: Cow<'a, ReplicaSetView>,
    /// Planned size.
    pub replicas: i32,
    created: bool,
    annotations: BTreeMap<String, String>,
    min_ready_seconds: Option<i32>,
}

impl<'a> Set<'a> {
    /// One that exists.
    pub fn existing(view: &'a ReplicaSetView) -> Self {
        Self {
            replicas: view.spec.replicas(),
            view: Cow::Borrowed(view),
            created: false,
            annotations: BTreeMap::new(),
            min_ready_seconds: None,
        }
    }
    /// Whether it shall have pods.
    pub fn is_active(&self) -> bool {
        self.replicas > 0
    }
    /// A numeric annotation.
    pub fn number(&self, annotation: &str) -> Option<i32> {
        self.view.metadata.annotations.get(annotation)?.parse().ok()
    }
    /// Its revision; 0 when it has none.
    pub fn revision(&self) -> i64 {
        let own = self.annotations.get(build::REVISION).map(String::as_str);
        own.or(self.view.metadata.annotations.get(build::REVISION))
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }
    /// Whether its status is about its present size. Until then nothing is certain about its pods.
    fn is_reported(&self) -> bool {
        self.view.status.observed_generation >= self.view.metadata.generation && !self.created
    }
    /// Pods that are available for certain: a set that was scaled since its report may have lost any of them, and one that
    /// is still shrinking reports pods that it was told to delete.
    pub fn certainly_available(&self) -> i32 {
        if self.is_reported() { self.view.status.available_replicas.min(self.replicas) } else { 0 }
    }
    /// Pods that are certainly not available, so that no one misses them.
    pub fn certainly_unhealthy(&self) -> i32 {
        if self.is_reported() { (self.replicas - self.view.status.available_replicas).max(0) } else { 0 }
    }
    fn is_touched(&self) -> bool {
        self.created
            || !self.annotations.is_empty()
            || self.min_ready_seconds.is_some()
            || self.replicas != self.view.spec.replicas()
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Sets<'a> {
    deployment: &'a DeploymentView,
    /// Oldest first.
    pub list: Vec<Set<'a>>,
    /// Which of them has the deployment's template.
    pub new: Option<usize>,
    touched: Vec<usize>,
}

impl<'a> Sets<'a> {
    /// Finds the set of the current template among those that exist.
    pub fn new(deployment: &'a DeploymentView, views: impl Iterator<Item = &'a ReplicaSetView>) -> Self {
        let mut list: Vec<Set<'a>> = views.map(Set::existing).collect();
        list.sort_by(|a, b| age(&a.view.metadata).cmp(&age(&b.view.metadata)));
        let new = list.iter().position(|set| {
            set.view.spec.template.is_equal_ignoring_label(&deployment.spec.template, build::HASH)
        });
        Self { deployment, list, new, touched: Vec::new() }
    }
    /// The set of the current template.
    pub fn new_set(&self) -> Option<&Set<'a>> {
        self.list.get(self.new?)
    }
    /// Places of the other sets, oldest first.
    pub fn old(&self) -> Vec<usize> {
        (0..self.list.len()).filter(|at| Some(*at) != self.new).collect()
    }
    /// Places of the other sets that shall have pods.
    pub fn active_old(&self) -> Vec<usize> {
        self.old().into_iter().filter(|at| self.list[*at].is_active()).collect()
    }
    /// Planned pods of all sets.
    pub fn total(&self) -> i32 {
        self.list.iter().map(|set| set.replicas).sum()
    }
    /// Available pods of all sets.
    pub fn available(&self) -> i32 {
        self.list.iter().map(|set| set.view.status.available_replicas).sum()
    }
    /// Pods of all sets that are available for certain.
    pub fn certainly_available(&self) -> i32 {
        self.list.iter().map(Set::certainly_available).sum()
    }
    /// Highest revision of the other sets.
    pub fn highest_old_revision(&self) -> i64 {
        self.old().into_iter().map(|at| self.list[at].revision()).max().unwrap_or(0)
    }
    /// Changes the size of one set, and notes the deployment's size on it. Whether the size changed.
    pub fn scale(&mut self, at: usize, to: i32) -> bool {
        let changed = self.list[at].replicas != to;
        if changed {
            self.note_size(at);
            self.list[at].replicas = to;
            self.touch(at);
        }
        changed
    }
    /// Notes the deployment's size on a set, though its own may stay.
    pub fn note_size(&mut self, at: usize) {
        let desired = self.deployment.spec.replicas();
        let notes = [(DESIRED_REPLICAS, desired), (MAX_REPLICAS, desired + max_surge(self.deployment))];
        for (annotation, number) in notes {
            if self.list[at].number(annotation) != Some(number) {
                self.list[at].annotations.insert(annotation.to_owned(), number.to_string());
                self.touch(at);
            }
        }
    }
    /// Brings annotations and minReadySeconds of the current set up to date.
    pub fn refresh(&mut self, at: usize, revision: i64) {
        let set = &mut self.list[at];
        let changes = build::annotation_changes(self.deployment, &set.view.metadata.annotations, revision);
        let min_ready = self.deployment.spec.min_ready_seconds;
        if set.view.spec.min_ready_seconds != min_ready {
            set.min_ready_seconds = Some(min_ready);
        }
        if !changes.is_empty() || set.min_ready_seconds.is_some() {
            set.annotations.extend(changes);
            self.touch(at);
        }
    }
    /// Adds the set of the current template.
    pub fn create(&mut self, replicas: i32, revision: i64) -> usize {
        let mut view = ReplicaSetView::default();
        view.metadata.name = build::replica_set_name(self.deployment).into();
        view.spec.replicas = Some(replicas);
        let annotations = build::annotation_changes(self.deployment, &view.metadata.annotations, revision);
        let set =
            Set { view: Cow::Owned(view), replicas, created: true, annotations, min_ready_seconds: None };
        self.list.push(set);
        let at = self.list.len() - 1;
        self.new = Some(at);
        self.note_size(at);
        self.touch(at);
        at
    }
    fn touch(&mut self, at: usize) {
        if !self.touched.contains(&at) {
            self.touched.push(at);
        }
    }
    /// The writes, in the order in which sets were first changed.
    pub fn writes(&self, owner: &Arc<ObjectRef>) -> Vec<Action> {
        let touched = self.touched.iter().map(|at| &self.list[*at]).filter(|set| set.is_touched());
        touched.map(|set| if set.created { self.creation(set, owner) } else { change(set, owner) }).collect()
    }
    fn creation(&self, set: &Set<'a>, owner: &Arc<ObjectRef>) -> Action {
        let object = build::replica_set(self.deployment, set.replicas, &set.annotations);
        let name = &set.view.metadata.name;
        let failure = format!("Failed to create new replica set \"{name}\": {{error}}");
        let mut announce = Announce::about(owner).failure("ReplicaSetCreateError", &failure);
        if set.replicas > 0 {
            let note = format!("Scaled up replica set {name} from 0 to {}", set.replicas);
            announce = announce.success("ScalingReplicaSet", &note);
        }
        Action::create(ReplicaSetView::KIND, &owner.namespace, object).announced(announce)
    }
}

fn age(meta: &Meta) -> (Option<proa_kit::Timestamp>, &str) {
    (meta.creation_timestamp, &meta.name)
}

fn change(set: &Set<'_>, owner: &Arc<ObjectRef>) -> Action {
    let mut patch = json!({});
    if !set.annotations.is_empty() {
        patch["metadata"]["annotations"] = json!(set.annotations);
    }
    if let Some(seconds) = set.min_ready_seconds {
        patch["spec"]["minReadySeconds"] = json!(seconds);
    }
    let (from, to) = (set.view.spec.replicas(), set.replicas);
    let meta = &set.view.metadata;
    let target = set.view.reference().at(meta.resource_version);
    if from == to {
        return Action::merge(target, patch);
    }
    patch["spec"]["replicas"] = Value::from(to);
    let direction = if from < to { "up" } else { "down" };
    let note = format!("Scaled {direction} replica set {} from {from} to {to}", meta.name);
    Action::merge(target, patch).announced(Announce::about(owner).success("ScalingReplicaSet", &note))
}

/// Pods that may be too many while rolling.
pub fn max_surge(deployment: &DeploymentView) -> i32 {
    fenceposts(deployment).0
}

/// Pods that may be missing while rolling.
pub fn max_unavailable(deployment: &DeploymentView) -> i32 {
    let desired = deployment.spec.replicas();
    if desired == 0 { 0 } else { fenceposts(deployment).1.min(desired) }
}

fn fenceposts(deployment: &DeploymentView) -> (i32, i32) {
    if deployment.spec.recreates() {
        return (0, 0);
    }
    let limits = deployment.spec.strategy.rolling_update.clone().unwrap_or_default();
    rollout::fenceposts(
        limits.max_surge.as_ref(),
        limits.max_unavailable.as_ref(),
        deployment.spec.replicas(),
    )
}
