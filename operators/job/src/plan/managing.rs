//! Creating and deleting a job's pods while it runs, is suspended, or ends.

use super::{Draft, number};
use crate::{
    build::{self, IndexFailures},
    plan::backoff,
    plan::indexes::{failures_before, ignored_before, index_of},
    status::{SUCCESS_CRITERIA_MET, SUSPENDED, condition, ensure},
};
use proa_kit::{
    Action, Announce, Timestamp, Typed,
    conditions::Condition,
    pods::{Candidate, sort_for_deletion},
    views::PodView,
};
use std::{collections::HashMap, time::Duration};

/// Creations, or deletions, in one pass.
const BURST: usize = 500;

impl<'a> Draft<'a> {
    /// The job ends: its pods go, and stay counted as going until they are gone.
    pub(super) fn stop_all(&mut self) {
        let active = self.pods.active.clone();
        self.delete(&active, Tracking::Kept);
    }
    pub(super) fn manage(&mut self) {
        let managed = !self.job.metadata.is_deleting();
        if managed {
            if self.job.spec.suspend { self.suspend() } else { self.scale() }
        }
        if self.is_complete() {
            let message = "Reached expected number of succeeded pods";
            self.verdict = Some(condition(SUCCESS_CRITERIA_MET, "CompletionsReached", message, self.now));
        } else if managed {
            self.note_suspension();
        }
    }
    fn is_complete(&self) -> bool {
        let succeeded = self.succeeded();
        let enough = match self.job.spec.completions {
            None => succeeded > 0,
            Some(wanted) => succeeded >= wanted,
        };
        enough && self.status.active == 0
    }
    fn suspend(&mut self) {
        let active = self.pods.active.clone();
        self.delete(&active, Tracking::Ended);
    }
    fn note_suspension(&mut self) {
        let mut conditions = self.status.conditions.to_vec();
        let (status, reason, note) = match self.job.spec.suspend {
            true => ("True", "JobSuspended", "Job suspended"),
            false => ("False", "JobResumed", "Job resumed"),
        };
        let new = Condition { status: status.into(), ..condition(SUSPENDED, reason, note, self.now) };
        if ensure(&mut conditions, new) {
            let event = if self.job.spec.suspend { "Suspended" } else { "Resumed" };
            self.plan.push(Action::normal(&self.owner, event, note));
            self.status.start_time = (!self.job.spec.suspend).then_some(self.now);
        }
        self.status.conditions = conditions.into();
    }
    fn scale(&mut self) {
        let active = self.status.active;
        let parallelism = self.job.spec.parallelism.unwrap_or(1);
        let succeeded = self.succeeded();
        let wanted = match self.job.spec.completions {
            None if succeeded > 0 => active,
            None => parallelism,
            Some(completions) => (completions - succeeded).clamp(0, parallelism.max(0)),
        };
        let mut surplus = self.surplus(usize::try_from(active - wanted).unwrap_or(0));
        if !surplus.is_empty() {
            surplus.truncate(BURST);
            return self.delete(&surplus, Tracking::Ended);
        }
        let going = if self.pods.replaces_only_failed() { self.status.terminating.unwrap_or(0) } else { 0 };
        let missing = usize::try_from(wanted - going - active).unwrap_or(0).min(BURST);
        if missing > 0 {
            self.create(missing);
        }
    }
    /// Pods to delete: those of doubled or invalid indexes, and the least useful until there are `at_least` so many.
    fn surplus(&self, at_least: usize) -> Vec<&'a PodView> {
        let (mut surplus, rest) =
            if self.pods.is_indexed() { self.doubled() } else { (Vec::new(), self.pods.active.clone()) };
        let more = at_least.saturating_sub(surplus.len());
        surplus.extend(least_useful(&rest, self.now).into_iter().take(more));
        surplus
    }
    fn doubled(&self) -> (Vec<&'a PodView>, Vec<&'a PodView>) {
        let (mut surplus, mut kept) = (Vec::new(), Vec::new());
        let mut by_index: HashMap<i32, Vec<&'a PodView>> = HashMap::new();
        for pod in &self.pods.active {
            match index_of(pod).filter(|index| *index < self.pods.completions()) {
                Some(index) => by_index.entry(index).or_default().push(pod),
                None => surplus.push(*pod),
            }
        }
        for pods in by_index.into_values() {
            let mut pods = least_useful(&pods, self.now);
            kept.extend(pods.pop());
            surplus.extend(pods);
        }
        (surplus, kept)
    }
    fn create(&mut self, missing: usize) {
        let per_index = self.job.spec.backoff_limit_per_index.is_some() && self.pods.is_indexed();
        if !per_index {
            let ended = |phase: &str| -> Vec<&PodView> {
                self.pods.all.iter().copied().filter(|pod| &*pod.status.phase == phase).collect()
            };
            let failed: Vec<&PodView> =
                self.pods.all.iter().copied().filter(|pod| self.pods.has_failed(pod)).collect();
            let wait = backoff::remaining(&ended("Succeeded"), &failed, self.now);
            if !wait.is_zero() {
                return self.plan.look_again(wait);
            }
        }
        let objects = if self.pods.is_indexed() {
            self.indexed_pods(missing)
        } else {
            vec![build::pod(self.job, &self.owner); missing]
        };
        if objects.is_empty() {
            return;
        }
        self.status.active += number(objects.len());
        let announce = Announce::about(&self.owner)
            .success("SuccessfulCreate", "Created pod: {name}")
            .failure("FailedCreate", "Error creating: {error}");
        let create =
            |object| Action::create(PodView::KIND, &self.owner.namespace, object).announced(announce.clone());
        let creations = objects.into_iter().map(create).collect();
        self.plan.push(Action::slow_start(creations));
    }
    /// Pods of the lowest indexes that neither have one nor are done, as far as their backoff is over.
    fn indexed_pods(&mut self, missing: usize) -> Vec<serde_json::Value> {
        let (_, succeeded) = self.pods.succeeded_indexes();
        let failed = self.failed_indexes();
        let mut taken = succeeded.union(&self.pods.valid_indexes(self.pods.active.iter().copied()));
        if self.pods.replaces_only_failed() {
            let going = self.pods.all.iter().copied().filter(|pod| pod.is_terminating());
            taken = taken.union(&self.pods.valid_indexes(going));
        }
        let Some(failed) = failed else {
            let free = taken.lowest_missing(missing, self.pods.completions());
            return free
                .into_iter()
                .map(|index| build::indexed_pod(self.job, &self.owner, index, None))
                .collect();
        };
        let last = self.pods.last_failed(&succeeded, &failed);
        let free = taken.union(&failed).lowest_missing(missing, self.pods.completions());
        let wait = |index: &i32| backoff::remaining_of_index(last.get(index).copied(), self.now);
        let shortest = free.iter().map(&wait).filter(|wait| !wait.is_zero()).min();
        let ready: Vec<i32> = free.into_iter().filter(|index| wait(index).is_zero()).collect();
        let pods = ready.into_iter().map(|index| {
            let failures = self.failures_after(last.get(&index).copied());
            build::indexed_pod(self.job, &self.owner, index, Some(failures))
        });
        let pods = pods.collect();
        self.plan.look_again(shortest.unwrap_or(Duration::ZERO));
        pods
    }
    /// Failures of an index, its last pod's among them.
    fn failures_after(&self, last: Option<&PodView>) -> IndexFailures {
        let Some(pod) = last else { return IndexFailures::default() };
        let counts = self.pods.verdict(pod).counts();
        IndexFailures {
            counted: failures_before(pod) + i32::from(counts),
            ignored: ignored_before(pod) + i32::from(!counts),
        }
    }
    fn delete(&mut self, pods: &[&PodView], tracking: Tracking) {
        if pods.is_empty() {
            return;
        }
        if tracking == Tracking::Ended {
            let tracked = pods.iter().filter(|pod| self.pods.is_tracked(pod));
            let untracked: Vec<Action> = tracked.map(|pod| build::untrack(pod)).collect();
            self.plan.push(Action::parallel(untracked));
        }
        let announce = Announce::about(&self.owner)
            .success("SuccessfulDelete", "Deleted pod: {name}")
            .failure("FailedDelete", "Error deleting: {error}");
        let deletions = pods.iter().map(|pod| Action::delete(pod.reference()).announced(announce.clone()));
        self.plan.push(Action::parallel(deletions.collect()));
        let ready = number(pods.iter().filter(|pod| pod.is_ready()).count());
        self.status.active -= number(pods.len());
        self.status.ready = self.status.ready.map(|own| own - ready);
        self.status.terminating = self.status.terminating.map(|own| own + number(pods.len()));
    }
}

/// Whether pods that are deleted stay tracked: those that the operator no longer wants shall not count as failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tracking {
    Kept,
    Ended,
}

fn least_useful<'a>(pods: &[&'a PodView], now: Timestamp) -> Vec<&'a PodView> {
    let mut candidates: Vec<Candidate<'a>> =
        pods.iter().map(|&pod| Candidate { pod, rank: 0, cost: 0 }).collect();
    sort_for_deletion(&mut candidates, now);
    candidates.into_iter().map(|candidate| candidate.pod).collect()
}
