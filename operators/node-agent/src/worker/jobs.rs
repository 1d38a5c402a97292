//! A worker's steps under way: each at most once, a stop replaced by a faster one, failures paused.

use crate::{
    act::Outcome,
    plan::{Step, memory::Job},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use proa_kit::Error;
use std::collections::{BTreeMap, BTreeSet};
use tokio::{
    task::{AbortHandle, Id, JoinSet},
    time::Instant,
};

/// First pause of a step that failed.
const FIRST: SignedDuration = SignedDuration::from_millis(500);
/// Longest one.
const LONGEST: SignedDuration = SignedDuration::from_secs(10);

/// What a job came to.
pub(super) enum Done {
    /// A step.
    Step(Outcome),
    /// A status write: the pod as the API has it now.
    Report(Result<Box<Pod>, Error>),
}

struct UnderWay {
    id: Id,
    since: Instant,
    abort: AbortHandle,
    deadline: Option<Timestamp>,
}

/// Steps under way.
#[derive(Default)]
pub(super) struct Jobs {
    set: JoinSet<Done>,
    under_way: BTreeMap<Job, UnderWay>,
    paused: BTreeMap<Job, (u32, Timestamp)>,
}

impl Jobs {
    /// What is under way.
    pub(super) fn running(&self) -> BTreeSet<Job> {
        self.under_way.keys().cloned().collect()
    }
    /// Begins a step, unless it is under way. A stop with an earlier deadline replaces the one under way.
    pub(super) fn begin(&mut self, step: &Step, work: impl Future<Output = Outcome> + Send + 'static) {
        let job = step.job();
        let deadline = match step {
            Step::Stop { deadline, .. } => Some(*deadline),
            _ => None,
        };
        if let Some(present) = self.under_way.get(&job) {
            let is_faster = deadline.zip(present.deadline).is_some_and(|(new, old)| new < old);
            if !is_faster {
                return;
            }
            present.abort.abort();
        }
        self.spawn(job, deadline, async move { Done::Step(work.await) });
    }
    /// Begins a status write.
    pub(super) fn report(&mut self, work: impl Future<Output = Result<Box<Pod>, Error>> + Send + 'static) {
        self.spawn(Job::Report, None, async move { Done::Report(work.await) });
    }
    fn spawn(
        &mut self,
        job: Job,
        deadline: Option<Timestamp>,
        work: impl Future<Output = Done> + Send + 'static,
    ) {
        let abort = self.set.spawn(work);
        self.under_way.insert(job, UnderWay { id: abort.id(), since: Instant::now(), abort, deadline });
    }
    /// Ends work whose result no longer matters.
    pub(super) fn abort(&mut self, which: impl Fn(&Job) -> bool) {
        self.under_way.retain(|job, under_way| {
            let ends = which(job);
            if ends {
                under_way.abort.abort();
            }
            !ends
        });
    }
    /// The next finished job; waits for one. `None` for one that was aborted.
    pub(super) async fn next(&mut self) -> Option<(Job, Done)> {
        if self.set.is_empty() {
            std::future::pending::<()>().await;
        }
        let finished = self.set.join_next_with_id().await?;
        self.take(finished)
    }
    /// A finished job without waiting; the outer `None` when there is none.
    pub(super) fn try_next(&mut self) -> Option<Option<(Job, Done)>> {
        let finished = self.set.try_join_next_with_id()?;
        Some(self.take(finished))
    }
    fn take(&mut self, finished: Result<(Id, Done), tokio::task::JoinError>) -> Option<(Job, Done)> {
        let id = match &finished {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let job = self.under_way.iter().find(|(_, under_way)| under_way.id == id).map(|(job, _)| job.clone());
        if let Some(job) = &job
            && let Some(done) = self.under_way.remove(job)
        {
            tracing::debug!(?job, took = ?done.since.elapsed(), "step ended");
        }
        match (job, finished) {
            (Some(job), Ok((_, done))) => Some((job, done)),
            (_, Err(error)) if error.is_panic() => {
                tracing::error!(%error, "a step of a pod broke off");
                None
            }
            _ => None,
        }
    }
    /// Until when a job must not begin.
    pub(super) fn paused(&self, job: &Job, now: Timestamp) -> Option<Timestamp> {
        self.paused.get(job).map(|(_, until)| *until).filter(|until| now < *until)
    }
    /// Pauses a job that failed, longer each time.
    pub(super) fn failed(&mut self, job: Job, now: Timestamp) {
        let times = self.paused.get(&job).map_or(0, |(times, _)| *times);
        self.paused.insert(job, (times + 1, now + doubled(FIRST, times, LONGEST)));
    }
    /// Pauses a job that need not be repeated for a while.
    pub(super) fn rest(&mut self, job: Job, until: Timestamp) {
        self.paused.insert(job, (0, until));
    }
    /// A job succeeded.
    pub(super) fn succeeded(&mut self, job: &Job) {
        self.paused.remove(job);
    }
}

/// A pause after so many failures.
pub(super) fn doubled(first: SignedDuration, times: u32, longest: SignedDuration) -> SignedDuration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}
