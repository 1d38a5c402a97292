//! The status of a deployment: counts of its replica sets, availability, progress.

use crate::plan::sets::{Sets, max_unavailable};
use proa_kit::{
    Action, Error, Plan, Results, Timestamp,
    clock::elapsed,
    conditions::{self, Condition},
    views::{DeploymentView, ReplicaSetView, deployment::DeploymentStatus},
};
use serde_json::{Value, json};
use std::time::Duration;

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";

const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";
const NEW_AVAILABLE: &str = "NewReplicaSetAvailable";

/// The status as it develops over one plan.
#[derive(Clone, Debug)]
pub struct Progress {
    name: Box<str>,
    desired: i32,
    least: i32,
    generation: i64,
    deadline: Option<Duration>,
    old: DeploymentStatus,
    paused: bool,
    conditions: Vec<Condition>,
    now: Timestamp,
}

impl Progress {
    /// Starts from the status there is.
    pub fn new(deployment: &DeploymentView, now: Timestamp) -> Self {
        let deadline = deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX);
        Self {
            name: deployment.metadata.name.clone(),
            desired: deployment.spec.replicas(),
            least: deployment.spec.replicas() - max_unavailable(deployment),
            generation: deployment.metadata.generation,
            deadline: deadline.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
            old: deployment.status.clone(),
            paused: deployment.spec.paused,
            conditions: deployment.status.conditions.to_vec(),
            now,
        }
    }
    fn set(&mut self, kind: &str, status: &str, reason: &str, message: &str) {
        let condition = self.condition(kind, status, reason, message);
        conditions::set_by_reason(&mut self.conditions, condition);
    }
    fn condition(&self, kind: &str, status: &str, reason: &str, message: &str) -> Condition {
        let condition = Condition::new(kind, status, reason, message, self.now);
        Condition { last_update_time: Some(self.now), ..condition }
    }
    fn progressing(&self) -> Option<&Condition> {
        conditions::find(&self.conditions, PROGRESSING)
    }
    fn reason(&self) -> Option<&str> {
        self.progressing().map(|condition| &*condition.reason)
    }
    /// A pause stops the clock of progress, and resuming starts it anew. A rollout that timed out stays so.
    pub fn pause_or_resume(&mut self) {
        if self.deadline.is_none() || self.reason() == Some(TIMED_OUT) {
            return;
        }
        match (self.paused, self.reason() == Some(PAUSED)) {
            (true, false) => self.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused"),
            (false, true) => self.set(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed"),
            _ => {}
        }
    }
    /// The template's replica set was there.
    pub fn found(&mut self, set: &str) {
        if self.deadline.is_some() && self.progressing().is_none() {
            self.set(PROGRESSING, "True", "FoundNewReplicaSet", &format!("Found new replica set \"{set}\""));
        }
    }
    /// The template's replica set is being created.
    pub fn created(&mut self, set: &str) {
        if self.deadline.is_some() {
            self.set(
                PROGRESSING,
                "True",
                "NewReplicaSetCreated",
                &format!("Created new replica set \"{set}\""),
            );
        }
    }
    /// Counts and availability.
    pub fn status(&self, sets: &Sets<'_>) -> DeploymentStatus {
        let mut progress = self.clone();
        let all = || sets.list.iter().map(|set| &*set.view);
        let available = sets.available();
        let total: i32 = all().map(|set| set.spec.replicas()).sum();
        if available >= self.least {
            let message = "Deployment has minimum availability.";
            progress.set(AVAILABLE, "True", "MinimumReplicasAvailable", message);
        } else {
            let message = "Deployment does not have minimum availability.";
            progress.set(AVAILABLE, "False", "MinimumReplicasUnavailable", message);
        }
        DeploymentStatus {
            observed_generation: self.generation,
            replicas: all().map(|set| set.status.replicas).sum(),
            updated_replicas: sets.new_set().map_or(0, |set| set.view.status.replicas),
            ready_replicas: all().map(|set| set.status.ready_replicas).sum(),
            available_replicas: available,
            unavailable_replicas: (total - available).max(0),
            terminating_replicas: terminating(all()),
            collision_count: self.old.collision_count,
            conditions: progress.conditions.into(),
        }
    }
    /// Counts, availability, and how the rollout goes.
    pub fn rollout_status(&self, sets: &Sets<'_>) -> DeploymentStatus {
        let mut status = self.status(sets);
        let mut progress = Self { conditions: status.conditions.to_vec(), ..self.clone() };
        progress.judge(&status, sets.new_set().map(|set| &*set.view.metadata.name));
        progress.report_failure(sets);
        status.conditions = progress.conditions.into();
        status
    }
    fn judge(&mut self, status: &DeploymentStatus, new: Option<&str>) {
        if self.deadline.is_none() {
            return conditions::remove(&mut self.conditions, PROGRESSING);
        }
        let was_complete = status.replicas == status.updated_replicas && self.reason() == Some(NEW_AVAILABLE);
        if was_complete {
            return;
        }
        let subject = match new {
            Some(set) => format!("ReplicaSet \"{set}\""),
            None => format!("Deployment \"{}\"", self.name),
        };
        if self.completes(status) {
            self.set(PROGRESSING, "True", NEW_AVAILABLE, &format!("{subject} has successfully progressed."));
        } else if self.advances(status) {
            self.note_advance(&format!("{subject} is progressing."));
        } else if self.timed_out() {
            self.set(PROGRESSING, "False", TIMED_OUT, &format!("{subject} has timed out progressing."));
        }
    }
    /// Every advance starts the clock anew, so the condition is replaced though its reason is the same.
    fn note_advance(&mut self, message: &str) {
        let mut condition = self.condition(PROGRESSING, "True", "ReplicaSetUpdated", message);
        if let Some(old) = self.progressing().filter(|old| old.is_true()) {
            condition.last_transition_time = old.last_transition_time;
        }
        conditions::remove(&mut self.conditions, PROGRESSING);
        self.conditions.push(condition);
    }
    fn completes(&self, status: &DeploymentStatus) -> bool {
        completes(self.desired, self.generation, status)
    }
    fn advances(&self, new: &DeploymentStatus) -> bool {
        let old = &self.old;
        new.updated_replicas > old.updated_replicas
            || new.replicas - new.updated_replicas < old.replicas - old.updated_replicas
            || new.ready_replicas > old.ready_replicas
            || new.available_replicas > old.available_replicas
    }
    fn timed_out(&self) -> bool {
        let (Some(condition), Some(deadline)) = (self.progressing(), self.deadline) else { return false };
        match &*condition.reason {
            NEW_AVAILABLE => false,
            TIMED_OUT => true,
            _ => elapsed(condition.last_update_time.unwrap_or(self.now), self.now) > deadline,
        }
    }
    fn report_failure(&mut self, sets: &Sets<'_>) {
        let first = sets.new_set().into_iter().chain(&sets.list);
        let failure = first
            .filter_map(|set| conditions::find(&set.view.status.conditions, REPLICA_FAILURE))
            .next()
            .cloned();
        match failure {
            None => conditions::remove(&mut self.conditions, REPLICA_FAILURE),
            Some(failure) => {
                let failure = Condition { last_update_time: failure.last_transition_time, ..failure };
                conditions::set_by_reason(&mut self.conditions, failure);
            }
        }
    }
    /// Time until a rollout that stands still is late; zero when there is nothing to wait for.
    pub fn deadline_in(&self, status: &DeploymentStatus) -> Duration {
        let condition = conditions::find(&status.conditions, PROGRESSING);
        let (Some(deadline), Some(condition)) = (self.deadline, condition) else { return Duration::ZERO };
        if self.completes(status) || &*condition.reason == TIMED_OUT {
            return Duration::ZERO;
        }
        let since = elapsed(condition.last_update_time.unwrap_or(self.now), self.now);
        deadline.saturating_sub(since) + Duration::from_secs(1)
    }
}

fn terminating<'a>(sets: impl Iterator<Item = &'a ReplicaSetView>) -> Option<i32> {
    let mut total = 0;
    for set in sets {
        match set.status.terminating_replicas {
            Some(count) => total += count,
            None if set.status.observed_generation == 0 => {}
            None => return None,
        }
    }
    Some(total)
}

fn completes(desired: i32, generation: i64, status: &DeploymentStatus) -> bool {
    [status.updated_replicas, status.replicas, status.available_replicas]
        .iter()
        .all(|count| *count == desired)
        && status.observed_generation >= generation
}

/// Whether a status says that the rollout is complete.
pub fn is_complete(deployment: &DeploymentView, status: &DeploymentStatus) -> bool {
    completes(deployment.spec.replicas(), deployment.metadata.generation, status)
}

/// The status after a hash collision: the next hash is another.
pub fn collided(deployment: &DeploymentView) -> DeploymentStatus {
    let mut status = deployment.status.clone();
    status.collision_count = Some(status.collision_count.unwrap_or(0) + 1);
    status
}

/// The status after the writes: as planned, unless the new replica set could not be created.
pub(crate) fn settle(
    deployment: &DeploymentView,
    plan: &Plan,
    results: &Results,
    now: Timestamp,
) -> Option<Value> {
    let Some(error) = results.error() else { return plan.status.clone() };
    let (name, error) = failed_creation(plan, results).unwrap_or(("", error));
    let told = !name.is_empty() && !error.is_already_exists() && !error.is_namespace_terminating();
    if !told || deployment.spec.progress_deadline_seconds.is_none_or(|seconds| seconds == i32::MAX) {
        return None;
    }
    let message = format!("Failed to create new replica set \"{name}\": {}", error.message());
    let mut progress = Progress::new(deployment, now);
    progress.set(PROGRESSING, "False", "ReplicaSetCreateError", &message);
    let mut status = deployment.status.clone();
    status.conditions = progress.conditions.into();
    (status != deployment.status).then(|| value(&status))
}

/// Name of the replica set that could not be created, and why.
fn failed_creation<'a>(plan: &'a Plan, results: &'a Results) -> Option<(&'a str, &'a Error)> {
    let writes = plan.actions.iter().filter(|action| !matches!(action, Action::Event(_)));
    writes.zip(&results.0).find_map(|(action, result)| match (action, result) {
        (Action::Create(create), Err(error)) if !matches!(error, Error::Skipped) => {
            Some((create.object.pointer("/metadata/name")?.as_str()?, error))
        }
        _ => None,
    })
}

/// The status as the API has it.
pub fn value(status: &DeploymentStatus) -> Value {
    let mut value = json!({"observedGeneration": status.observed_generation});
    for (field, count) in [
        ("replicas", status.replicas),
        ("updatedReplicas", status.updated_replicas),
        ("readyReplicas", status.ready_replicas),
        ("availableReplicas", status.available_replicas),
        ("unavailableReplicas", status.unavailable_replicas),
    ] {
        if count != 0 {
            value[field] = json!(count);
        }
    }
    for (field, count) in
        [("terminatingReplicas", status.terminating_replicas), ("collisionCount", status.collision_count)]
    {
        if let Some(count) = count {
            value[field] = json!(count);
        }
    }
    if !status.conditions.is_empty() {
        value["conditions"] = json!(status.conditions);
    }
    value
}
