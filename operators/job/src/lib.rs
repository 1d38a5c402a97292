//! The job operator: runs pods until enough of them succeed, or too many fail.
//!
//! Owns: a job's pods, their counting, the job's conditions, deletion of finished jobs after their time to live.
//! Guarantees: every pod that ends is counted exactly once, though pods and operator may go at any moment. A pod carries a
//! finalizer; its uid is written to `uncountedTerminatedPods` first, then the finalizer is removed, then the uid moves into
//! the counter. A stop between any two of these steps only repeats the next one.
//! Backoff between failures is computed from the pods that ended, not remembered.
//! Deliberately absent: generated selectors and labels (the API server's), pod groups of gang scheduling.
//! Upstream: pkg/controller/job/*.go, pkg/controller/ttlafterfinished.

pub mod build;
pub mod observe;
pub mod plan;
pub mod status;

use build::TRACKING;
use observe::Observed;
use proa_kit::{
    Action, Change, Error, Index, Key, Operator, Plan, Read, Reader, Results, Timestamp, Typed, View, Watch,
    Write,
    views::{JobView, PodView},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct JobOperator;

/// Pods that carry the tracking finalizer, by the key of their job: also those whose job is gone.
pub const TRACKED: Index<PodView> = Index {
    name: "tracked",
    values: |pod, found| {
        if let Some(key) = tracked_for(pod) {
            found(key.as_str());
        }
    },
};

/// Key of the job that a pod with the finalizer is tracked for: its controller, or by its label if it has none.
fn tracked_for(pod: &PodView) -> Option<Key> {
    if !pod.metadata.has_finalizer(TRACKING) {
        return None;
    }
    match pod.metadata.controller() {
        Some(_) => pod.metadata.controller_key("batch", "Job"),
        None => {
            let name = pod.metadata.labels.get(build::JOB_NAME).or(pod.metadata.labels.get("job-name"))?;
            Some(Key::new(&pod.metadata.namespace, name))
        }
    }
}

impl Operator for JobOperator {
    const NAME: &'static str = "job-controller";
    type Object = JobView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<JobView>().index(Index::NAMESPACE).into(),
            Watch::owned::<PodView, JobView>().index(Index::ORPHANS).index(TRACKED).also(concerned).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&JobView::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PodView::KIND, &["create", "delete", "patch"]),
            Write::to(&JobView::KIND, &["delete"]),
            Write::sub(&JobView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, job: &Arc<JobView>) -> Result<Observed, Error> {
        observe::observe(reader, job).await
    }
    fn plan(&self, job: &JobView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(job, observed, now)
    }
    fn gone(&self, reader: &Reader, key: &Key) -> Plan {
        let pods = reader.cache::<PodView>().by(&TRACKED, key.as_str());
        let untracked = pods.iter().map(|pod| build::untrack(pod)).collect::<Vec<Action>>();
        let actions = if untracked.is_empty() { Vec::new() } else { vec![Action::parallel(untracked)] };
        Plan { actions, ..Plan::default() }
    }
    /// The planned status takes for granted that the writes succeeded; if one did not, it is planned anew.
    fn settle(
        &self,
        _: &JobView,
        _: &Observed,
        plan: &Plan,
        results: &Results,
        _: Timestamp,
    ) -> Option<Value> {
        plan.status.clone().filter(|_| results.error().is_none())
    }
}

/// RBAC rules that follow from what it watches and writes.
pub fn rules() -> Value {
    proa_kit::operator::operator_rules(&JobOperator)
}

/// Runs it until shutdown.
pub async fn run(client: proa_kit::Client, config: proa_kit::RunConfig) {
    proa_kit::run(JobOperator, client, config).await;
}

/// An orphan wakes the jobs that may adopt it; a tracked pod wakes its job's key, even when the job is gone.
fn concerned(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(pod) = &change.new else { return };
    if let Some(key) = tracked_for(pod) {
        wake(key);
    }
    if pod.metadata.controller().is_some() || pod.metadata.labels.is_empty() {
        return;
    }
    for job in reader.cache::<JobView>().by(&Index::NAMESPACE, &pod.metadata.namespace) {
        if job.spec.selector.matches(&pod.metadata.labels) {
            wake(job.key());
        }
    }
}
