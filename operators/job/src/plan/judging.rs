//! How a job ends: by what was decided before, by its policies, its limits, its deadline, or by enough successes.

use super::{Draft, number};
use crate::{
    plan::indexes::Indexes,
    plan::policy::{self, Verdict},
    status::{FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, condition, true_condition},
};
use proa_kit::{clock::elapsed, conditions::Condition, views::PodView};
use std::time::Duration;

/// Failures allowed when the job does not say.
const BACKOFF_LIMIT: i32 = 6;

impl Draft<'_> {
    pub(super) fn judge(&mut self) {
        self.verdict = self
            .decided_before()
            .or_else(|| self.failed_by_policy())
            .or_else(|| self.failed_by_limits())
            .or_else(|| self.judge_indexes());
        if self.verdict.is_none() {
            self.wait_for_deadline();
        }
    }
    /// Successes so far, those not yet in the status among them.
    pub(super) fn succeeded(&self) -> i32 {
        if self.pods.is_indexed() {
            return self.pods.succeeded_indexes().1.total();
        }
        let noted = self.job.status.uncounted_terminated_pods.as_ref().map_or(0, |pods| pods.succeeded.len());
        self.job.status.succeeded + number(noted + self.pods.newly_succeeded())
    }
    fn failed(&self) -> i32 {
        let noted = self.job.status.uncounted_terminated_pods.as_ref().map_or(0, |pods| pods.failed.len());
        self.job.status.failed + number(noted + self.pods.newly_failed())
    }
    fn failure(&self, reason: &str, message: &str) -> Condition {
        condition(FAILURE_TARGET, reason, message, self.now)
    }
    fn decided_before(&self) -> Option<Condition> {
        let conditions = &self.job.status.conditions;
        if let Some(met) = true_condition(conditions, SUCCESS_CRITERIA_MET) {
            return Some(met.clone());
        }
        let target = true_condition(conditions, FAILURE_TARGET)?;
        Some(condition(FAILED, &target.reason, &target.message, self.now))
    }
    fn failed_by_policy(&self) -> Option<Condition> {
        let failed = self.pods.all.iter().filter(|pod| self.pods.has_failed(pod));
        failed.into_iter().find_map(|pod| match self.pods.verdict(pod) {
            Verdict::FailJob(message) => Some(self.failure("PodFailurePolicy", &message)),
            Verdict::Count | Verdict::Ignore | Verdict::FailIndex => None,
        })
    }
    fn failed_by_limits(&self) -> Option<Condition> {
        let limit = self.job.spec.backoff_limit.unwrap_or(BACKOFF_LIMIT);
        if self.failed() > limit || self.restarts_too_often(limit) {
            return Some(self.failure("BackoffLimitExceeded", "Job has reached the specified backoff limit"));
        }
        let message = "Job was active longer than specified deadline";
        self.deadline_in().filter(Duration::is_zero).map(|_| self.failure("DeadlineExceeded", message))
    }
    /// With `OnFailure` containers are restarted in their pods, and restarts count.
    fn restarts_too_often(&self, limit: i32) -> bool {
        let policy = self.job.spec.template.value().pointer("/spec/restartPolicy");
        if policy.and_then(serde_json::Value::as_str) != Some("OnFailure") {
            return false;
        }
        let alive = self.pods.all.iter().filter(|pod| matches!(&*pod.status.phase, "Running" | "Pending"));
        let restarts: i32 = alive.map(|pod| restarts(pod)).sum();
        if limit == 0 { restarts > 0 } else { restarts >= limit }
    }
    /// Time left of `activeDeadlineSeconds`.
    fn deadline_in(&self) -> Option<Duration> {
        let deadline = u64::try_from(self.job.spec.active_deadline_seconds?).ok()?;
        let start = self.status.start_time.filter(|_| !self.job.spec.suspend)?;
        Some(Duration::from_secs(deadline).saturating_sub(elapsed(start, self.now)))
    }
    fn wait_for_deadline(&mut self) {
        if let Some(left) = self.deadline_in() {
            self.plan.look_again(left);
        }
    }
    fn judge_indexes(&mut self) -> Option<Condition> {
        if !self.pods.is_indexed() {
            return None;
        }
        let (_, succeeded) = self.pods.succeeded_indexes();
        if let Some(failed) = self.failed_indexes() {
            let over = self.job.spec.max_failed_indexes.is_some_and(|most| failed.total() > most);
            if over {
                let message = "Job has exceeded the specified maximal number of failed indexes";
                return Some(self.failure("MaxFailedIndexesExceeded", message));
            }
            if !failed.is_empty() && failed.total() + succeeded.total() >= self.pods.completions() {
                return Some(self.failure("FailedIndexes", "Job has failed indexes"));
            }
        }
        let message = policy::success(self.job, &succeeded)?;
        Some(condition(SUCCESS_CRITERIA_MET, "SuccessPolicy", &message, self.now))
    }
    /// Indexes that failed for good; `None` when failures are not limited per index.
    pub(super) fn failed_indexes(&self) -> Option<Indexes> {
        let limit = self.job.spec.backoff_limit_per_index.filter(|_| self.pods.is_indexed())?;
        Some(self.pods.failed_indexes(limit))
    }
}

fn restarts(pod: &PodView) -> i32 {
    let all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    all.map(|status| status.restart_count).sum()
}
