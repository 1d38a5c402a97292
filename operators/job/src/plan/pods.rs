//! A job's pods, sorted by what they mean to it.

use crate::{
    build::TRACKING,
    observe::Observed,
    plan::backoff,
    plan::indexes::{Indexes, failures_before, ignored_before, index_of},
    plan::policy::{FailurePolicy, Verdict},
};
use proa_kit::{
    ObjectRef, Plan, Typed,
    owner::{self, Claim, claim},
    views::{JobView, PodView},
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The pods, and what was counted of them before.
pub(crate) struct Pods<'a> {
    job: &'a JobView,
    /// All.
    pub(crate) all: Vec<&'a PodView>,
    /// Neither ended nor going.
    pub(crate) active: Vec<&'a PodView>,
    adopted: HashSet<&'a str>,
    uncounted: (HashSet<&'a str>, HashSet<&'a str>),
    policy: Option<FailurePolicy>,
}

impl<'a> Pods<'a> {
    pub(crate) fn claim(
        job: &'a JobView,
        observed: &'a Observed,
        owner: &Arc<ObjectRef>,
        plan: &mut Plan,
    ) -> Self {
        let (mut all, mut adopted) = (Vec::new(), HashSet::new());
        for pod in &observed.pods {
            match claim(&job.metadata, &job.spec.selector, &pod.metadata) {
                Claim::Owned => all.push(&**pod),
                Claim::Adopt if observed.may_adopt => {
                    plan.push(owner::adopt_with_finalizers(owner, &pod.reference(), &[TRACKING]));
                    adopted.insert(&*pod.metadata.uid);
                    all.push(pod);
                }
                Claim::Release => plan.push(owner::release(owner, &pod.reference(), &[TRACKING])),
                Claim::Adopt | Claim::Foreign => {}
            }
        }
        let active = all.iter().copied().filter(|pod| pod.is_active()).collect();
        let uids = |uids: &'a [Box<str>]| uids.iter().map(|uid| &**uid).collect();
        let uncounted = job.status.uncounted_terminated_pods.as_ref();
        let uncounted =
            uncounted.map_or_else(Default::default, |pods| (uids(&pods.succeeded), uids(&pods.failed)));
        Self { job, all, active, adopted, uncounted, policy: FailurePolicy::of(job) }
    }
    pub(crate) fn is_tracked(&self, pod: &PodView) -> bool {
        self.adopted.contains(&*pod.metadata.uid) || pod.metadata.has_finalizer(TRACKING)
    }
    pub(crate) fn terminating(&self) -> usize {
        self.all.iter().filter(|pod| pod.is_terminating()).count()
    }
    /// Whether its success is in the status already.
    pub(crate) fn is_noted_succeeded(&self, pod: &PodView) -> bool {
        self.uncounted.0.contains(&*pod.metadata.uid)
    }
    /// Whether its failure is in the status already.
    pub(crate) fn is_noted_failed(&self, pod: &PodView) -> bool {
        self.uncounted.1.contains(&*pod.metadata.uid)
    }
    /// Failed, or as good as failed: a pod that goes counts as failed unless the job waits for it to end.
    pub(crate) fn has_failed(&self, pod: &PodView) -> bool {
        let going = pod.metadata.is_deleting() && &*pod.status.phase != "Succeeded";
        &*pod.status.phase == "Failed" || (going && !self.replaces_only_failed())
    }
    pub(crate) fn replaces_only_failed(&self) -> bool {
        &*self.job.spec.pod_replacement_policy == "Failed" || self.policy.is_some()
    }
    pub(crate) fn verdict(&self, pod: &PodView) -> Verdict {
        self.policy.as_ref().map_or(Verdict::Count, |policy| policy.judge(pod))
    }
    /// A valid index; every pod of a job without indexes has one.
    pub(crate) fn has_valid_index(&self, pod: &PodView) -> bool {
        !self.is_indexed() || index_of(pod).is_some_and(|index| index < self.completions())
    }
    pub(crate) fn is_indexed(&self) -> bool {
        &*self.job.spec.completion_mode == "Indexed"
    }
    pub(crate) fn completions(&self) -> i32 {
        self.job.spec.completions.unwrap_or(0)
    }
    /// Successes not yet in the status.
    pub(crate) fn newly_succeeded(&self) -> usize {
        let new = self.all.iter().filter(|pod| &*pod.status.phase == "Succeeded" && self.is_tracked(pod));
        new.filter(|pod| self.has_valid_index(pod) && !self.is_noted_succeeded(pod)).count()
    }
    /// Failures that count and are not yet in the status.
    pub(crate) fn newly_failed(&self) -> usize {
        let new = self.all.iter().filter(|pod| self.has_failed(pod) && self.is_tracked(pod));
        new.filter(|pod| {
            self.has_valid_index(pod) && !self.is_noted_failed(pod) && self.verdict(pod).counts()
        })
        .count()
    }
    /// Indexes noted as succeeded before, and with those that succeeded since.
    pub(crate) fn succeeded_indexes(&self) -> (Indexes, Indexes) {
        let before = Indexes::parse(&self.job.status.completed_indexes, self.completions());
        let now = self.all.iter().filter(|pod| &*pod.status.phase == "Succeeded" && self.is_tracked(pod));
        let now: Indexes = self.valid_indexes(now.copied());
        let all = before.union(&now);
        (before, all)
    }
    /// Indexes that failed for good.
    pub(crate) fn failed_indexes(&self, limit: i32) -> Indexes {
        let before = self.job.status.failed_indexes.as_deref().unwrap_or("");
        let before = Indexes::parse(before, self.completions());
        let is_over = |pod: &&&PodView| match self.verdict(pod) {
            Verdict::FailIndex => true,
            Verdict::Ignore => false,
            Verdict::Count | Verdict::FailJob(_) => failures_before(pod) >= limit,
        };
        let now = self.all.iter().filter(|pod| self.has_failed(pod) && self.is_tracked(pod)).filter(is_over);
        before.union(&self.valid_indexes(now.copied()))
    }
    pub(crate) fn valid_indexes<'b>(&self, pods: impl Iterator<Item = &'b PodView>) -> Indexes {
        pods.filter_map(index_of).filter(|index| *index < self.completions()).collect()
    }
    /// The last failed pod of each index that waits for a new one; it keeps its finalizer until then, since its
    /// annotations hold the count of failures.
    pub(crate) fn last_failed(&self, succeeded: &Indexes, failed: &Indexes) -> HashMap<i32, &'a PodView> {
        let active = self.valid_indexes(self.active.iter().copied());
        let mut last: HashMap<i32, &'a PodView> = HashMap::new();
        for pod in self.all.iter().filter(|pod| self.has_failed(pod) && self.is_tracked(pod)) {
            let Some(index) = index_of(pod).filter(|index| *index < self.completions()) else { continue };
            if succeeded.has(index) || failed.has(index) || active.has(index) {
                continue;
            }
            let rank =
                |pod: &PodView| (failures_before(pod) + ignored_before(pod), backoff::finished_at(pod));
            let newest = last.entry(index).or_insert(pod);
            if rank(newest) <= rank(pod) {
                *newest = pod;
            }
        }
        last
    }
}
