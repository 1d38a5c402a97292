//! The decision: count what ended, judge the job, create and delete pods.

pub mod backoff;
mod counting;
pub mod indexes;
mod judging;
mod managing;
mod pods;
pub mod policy;

use crate::{observe::Observed, status};
use pods::Pods;
use proa_kit::{
    Action, ObjectRef, Plan, Timestamp, Typed,
    action::Propagation,
    clock::elapsed,
    conditions::Condition,
    views::{JobView, job::JobStatus},
};
use std::{sync::Arc, time::Duration};

/// The name by which a job says that this operator manages it.
const MANAGED_BY: &str = "kubernetes.io/job-controller";

/// A plan in the making.
pub(crate) struct Draft<'a> {
    job: &'a JobView,
    owner: Arc<ObjectRef>,
    now: Timestamp,
    pods: Pods<'a>,
    status: JobStatus,
    /// How the job ends, once that is clear.
    verdict: Option<Condition>,
    plan: Plan,
}

/// The plan for one job.
pub fn plan(job: &JobView, observed: &Observed, now: Timestamp) -> Plan {
    let owner = Arc::new(job.reference());
    let mut plan = Plan::default();
    if job.spec.managed_by.as_deref().is_some_and(|manager| manager != MANAGED_BY) {
        return plan;
    }
    let strays: Vec<Action> = observed.strays.iter().map(|pod| crate::build::untrack(pod)).collect();
    if !strays.is_empty() {
        plan.push(Action::parallel(strays));
    }
    if let Some(at) = status::finished_at(job) {
        expire(job, at, now, &mut plan);
        return plan;
    }
    if !matches!(&*job.spec.completion_mode, "" | "NonIndexed" | "Indexed") {
        let note = "Skipped Job sync because completion mode is unknown";
        plan.push(Action::warning(&owner, "UnknownCompletionMode", note));
        return plan;
    }
    let pods = Pods::claim(job, observed, &owner, &mut plan);
    Draft { job, owner, now, pods, status: job.status.clone(), verdict: None, plan }.finish()
}

/// Deletes a finished job when its time to live is over.
fn expire(job: &JobView, finished: Option<Timestamp>, now: Timestamp, plan: &mut Plan) {
    let (Some(ttl), Some(finished)) = (job.spec.ttl_seconds_after_finished, finished) else { return };
    if job.metadata.is_deleting() {
        return;
    }
    let ttl = Duration::from_secs(u64::try_from(ttl).unwrap_or(0));
    let left = ttl.saturating_sub(elapsed(finished, now));
    if left.is_zero() {
        let target = job.reference().at(job.metadata.resource_version);
        plan.push(Action::delete(target).propagating(Propagation::Foreground));
    } else {
        plan.look_again(left);
    }
}

impl Draft<'_> {
    fn finish(mut self) -> Plan {
        if self.status.start_time.is_none() && !self.job.spec.suspend {
            self.status.start_time = Some(self.now);
        }
        self.status.active = number(self.pods.active.len());
        self.status.ready = Some(number(self.pods.active.iter().filter(|pod| pod.is_ready()).count()));
        self.status.terminating = Some(number(self.pods.terminating()));
        self.judge();
        if self.verdict.is_some() {
            self.stop_all();
        } else {
            self.manage();
        }
        self.count();
        if self.status != self.job.status || self.job.status.uncounted_terminated_pods.is_none() {
            self.plan.status = Some(status::value(&self.status));
        }
        self.plan
    }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
