//! Counting pods that ended, once each, and ending the job when all are counted and gone.
//!
//! A pod that is not yet in the status keeps its finalizer in this pass: the status goes first. A pod that is noted loses
//! it, and moves into the counters with the status that is written after that.

use super::Draft;
use crate::{
    build,
    plan::indexes::{Indexes, index_of},
    status::{COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, condition, ensure, true_condition},
};
use proa_kit::{Action, views::PodView};
use std::collections::{HashMap, HashSet};

/// Pods noted in one pass.
const BURST: usize = 500;

/// What counting does with a pod that ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Noted before, or nothing to note: it may go.
    Untrack,
    NoteSucceeded,
    NoteFailed,
    NoteIndex(i32),
}

impl<'a> Draft<'a> {
    pub(super) fn count(&mut self) {
        let (before, _) = self.pods.succeeded_indexes();
        let mut uncounted = self.status.uncounted_terminated_pods.take().unwrap_or_default();
        let (mut untracked, mut noted, mut indexes) = (Vec::new(), 0, Vec::new());
        for (pod, step) in self.steps(&before) {
            match step {
                Step::Untrack => untracked.push(pod),
                _ if noted >= BURST => {}
                Step::NoteSucceeded => uncounted.succeeded.push(pod.metadata.uid.clone()),
                Step::NoteFailed => uncounted.failed.push(pod.metadata.uid.clone()),
                Step::NoteIndex(index) => indexes.push(index),
            }
            noted += usize::from(step != Step::Untrack);
        }
        let gone: HashSet<&str> = untracked.iter().map(|pod| &*pod.metadata.uid).collect();
        let tracked = self.pods.all.iter().filter(|pod| self.pods.is_tracked(pod));
        let held: HashSet<&str> =
            tracked.map(|pod| &*pod.metadata.uid).filter(|uid| !gone.contains(uid)).collect();
        let moved = |uids: &mut Vec<Box<str>>| {
            let before = uids.len();
            uids.retain(|uid| held.contains(&**uid));
            super::number(before - uids.len())
        };
        let (more_succeeded, more_failed) = (moved(&mut uncounted.succeeded), moved(&mut uncounted.failed));
        self.status.failed += more_failed;
        if self.pods.is_indexed() {
            let succeeded = before.union(&indexes.iter().copied().collect());
            self.status.succeeded = succeeded.total();
            self.status.completed_indexes = succeeded.to_string().into();
            self.status.failed_indexes = self.failed_indexes().map(|failed| failed.to_string().into());
        } else {
            self.status.succeeded += more_succeeded;
        }
        if !untracked.is_empty() {
            let actions: Vec<Action> = untracked.iter().map(|pod| build::untrack(pod)).collect();
            self.plan.push(Action::parallel(actions));
        }
        let settled = uncounted.succeeded.is_empty() && uncounted.failed.is_empty() && noted <= BURST;
        // An index is noted in `completedIndexes`, not by uid, so a pod that was just noted holds the end back too.
        let settled = settled && indexes.is_empty();
        self.status.uncounted_terminated_pods = Some(uncounted);
        self.conclude(settled);
    }
    fn steps(&self, before: &Indexes) -> Vec<(&'a PodView, Step)> {
        let waiting: HashMap<i32, &'a PodView> = match self.failed_indexes() {
            Some(failed) => self.pods.last_failed(&self.pods.succeeded_indexes().1, &failed),
            None => HashMap::new(),
        };
        let ended = self.pods.all.iter().filter(|pod| self.pods.is_tracked(pod));
        ended.filter_map(|pod| Some((*pod, self.step(pod, before, &waiting)?))).collect()
    }
    fn step(&self, pod: &PodView, before: &Indexes, waiting: &HashMap<i32, &PodView>) -> Option<Step> {
        let succeeded = &*pod.status.phase == "Succeeded";
        let failed = self.pods.has_failed(pod);
        let ends = self.job.metadata.is_deleting() || self.verdict.is_some();
        if !(ends || succeeded || failed) {
            return None;
        }
        let held =
            || index_of(pod).and_then(|index| waiting.get(&index)).is_some_and(|own| std::ptr::eq(*own, pod));
        if !ends && !succeeded && held() {
            return None;
        }
        Some(if succeeded && !self.pods.is_noted_failed(pod) {
            self.step_of_success(pod, before)
        } else if failed || self.fails() {
            let counts = self.pods.has_valid_index(pod) && self.pods.verdict(pod).counts();
            if counts && !self.pods.is_noted_failed(pod) { Step::NoteFailed } else { Step::Untrack }
        } else {
            Step::Untrack
        })
    }
    fn step_of_success(&self, pod: &PodView, before: &Indexes) -> Step {
        if !self.pods.is_indexed() {
            return if self.pods.is_noted_succeeded(pod) { Step::Untrack } else { Step::NoteSucceeded };
        }
        match index_of(pod).filter(|index| *index < self.pods.completions() && !before.has(*index)) {
            Some(index) => Step::NoteIndex(index),
            None => Step::Untrack,
        }
    }
    /// Whether the job ends without success; then pods that still run count as failed.
    fn fails(&self) -> bool {
        self.verdict.as_ref().is_some_and(|verdict| &*verdict.kind != SUCCESS_CRITERIA_MET)
    }
    /// Says how the job ends, and that it ended once nothing is left to count or to wait for.
    fn conclude(&mut self, settled: bool) {
        let Some(verdict) = self.verdict.take() else { return };
        let mut conditions = self.status.conditions.to_vec();
        let interim = matches!(&*verdict.kind, FAILURE_TARGET | SUCCESS_CRITERIA_MET);
        if interim && true_condition(&conditions, &verdict.kind).is_none() {
            conditions.push(verdict.clone());
        }
        let complete = &*verdict.kind == SUCCESS_CRITERIA_MET;
        let ended = settled && self.status.terminating == Some(0);
        if ended {
            let kind = if complete { COMPLETE } else { FAILED };
            ensure(&mut conditions, condition(kind, &verdict.reason, &verdict.message, self.now));
        }
        self.status.conditions = conditions.into();
        if !ended {
            return;
        }
        if complete {
            self.status.completion_time = Some(self.now);
            if self.job.spec.completions.is_some_and(|wanted| self.status.succeeded > wanted) {
                let note = "Too many succeeded pods running after completion count reached";
                self.plan.push(Action::warning(&self.owner, "TooManySucceededPods", note));
            }
            self.plan.push(Action::normal(&self.owner, "Completed", "Job completed"));
        } else {
            self.plan.push(Action::warning(&self.owner, &verdict.reason, &*verdict.message));
        }
    }
}
