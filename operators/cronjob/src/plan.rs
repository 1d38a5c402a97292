//! The decision: what of the schedule is due, whether a job may start, and which finished jobs go.

pub mod times;

use crate::{build, observe::Observed, status};
use jiff::{SignedDuration, tz::TimeZone};
use proa_kit::{
    Action, Announce, ObjectRef, Plan, Timestamp, Typed,
    action::Propagation,
    views::{CronJobView, JobView, cron_job::CronJobStatus},
};
use proa_meta::cron::{self, Schedule};
use std::sync::Arc;

/// A plan in the making.
struct Draft<'a> {
    cron: &'a CronJobView,
    owner: Arc<ObjectRef>,
    observed: &'a Observed,
    now: Timestamp,
    status: CronJobStatus,
    plan: Plan,
}

/// The plan for one cron job.
pub fn plan(cron: &CronJobView, observed: &Observed, now: Timestamp) -> Plan {
    let owner = Arc::new(cron.reference());
    let mut plan = Plan::default();
    let status = status::seen(cron, observed, &owner, &mut plan);
    let mut draft = Draft { cron, owner, observed, now, status, plan };
    if !cron.metadata.is_deleting() {
        draft.schedule();
    }
    draft.forget();
    let Draft { status, mut plan, .. } = draft;
    if status != cron.status {
        plan.status = Some(status::value(&status));
    }
    plan
}

impl Draft<'_> {
    fn schedule(&mut self) {
        let spec = &self.cron.spec;
        let zone = match spec.time_zone.as_deref() {
            None => self.observed.local.clone(),
            Some(name) => match cron::time_zone(name) {
                Some(zone) => zone,
                None => {
                    let note = format!("invalid timeZone: {name:?}: unknown time zone {name}");
                    return self.warn("UnknownTimeZone", note);
                }
            },
        };
        if spec.suspend {
            return;
        }
        let schedule = match Schedule::parse(&spec.schedule) {
            Ok(schedule) => schedule,
            Err(why) => {
                let note = format!("unparseable schedule: {:?} : {why}", spec.schedule);
                return self.warn("UnparseableSchedule", note);
            }
        };
        let due = match times::due(&schedule, &zone, self.earliest(true), self.now) {
            Ok(due) => due,
            Err(why) => {
                let note = format!("invalid schedule: {} : {why}", spec.schedule);
                return self.warn("InvalidSchedule", note);
            }
        };
        if let Some(time) = due.time {
            if due.is_too_much() {
                let note = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
                self.warn("TooManyMissedTimes", note.to_owned());
            }
            self.start(time);
        }
        self.wake(&schedule, &zone);
    }
    /// Times up to this one do not count: they were seen to, or are further back than the deadline.
    fn earliest(&self, with_deadline: bool) -> Timestamp {
        let created = self.cron.metadata.creation_timestamp.unwrap_or(self.now);
        let last = self.cron.status.last_schedule_time.unwrap_or(created);
        let deadline = self.cron.spec.starting_deadline_seconds.filter(|_| with_deadline);
        let deadline =
            deadline.and_then(|seconds| self.now.checked_sub(SignedDuration::from_secs(seconds)).ok());
        [Some(last), self.observed.changed, deadline].into_iter().flatten().max().unwrap_or(last)
    }
    fn wake(&mut self, schedule: &Schedule, zone: &TimeZone) {
        if let Some(pause) = times::pause(schedule, zone, self.earliest(false), self.now) {
            self.plan.look_again(pause);
        }
    }
    /// Starts the job of a time that is due, unless it was started before or may not run now.
    fn start(&mut self, time: Timestamp) {
        let (spec, name) = (&self.cron.spec, build::job_name(self.cron, time));
        let is_active = self.status.active.iter().any(|active| *active.name == *name);
        if is_active || self.cron.status.last_schedule_time == Some(time) {
            return;
        }
        if &*spec.concurrency_policy == "Forbid" && !self.status.active.is_empty() {
            let note = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return self.plan.push(Action::normal(&self.owner, "JobAlreadyActive", note));
        }
        if let Some(own) = self.observed.jobs.iter().find(|job| *job.metadata.name == *name) {
            // It was created, but the status was not written.
            self.status.active.push(status::reference(own));
            self.status.last_schedule_time = Some(time);
            return;
        }
        if self.observed.strangers.iter().any(|job| *job.metadata.name == *name) {
            return;
        }
        if &*spec.concurrency_policy == "Replace" {
            self.stop_running();
        }
        let job = build::job(self.cron, &self.owner, time);
        let create = Action::create(JobView::KIND, &self.cron.metadata.namespace, job);
        self.plan.push(
            create.announced(
                Announce::about(&self.owner)
                    .success("SuccessfulCreate", "Created job {name}")
                    .failure("FailedCreate", "Error creating job: {error}"),
            ),
        );
    }
    fn stop_running(&mut self) {
        let running = self.status.active.iter();
        let targets = running.map(|active| {
            ObjectRef::new(JobView::KIND, &active.namespace, &active.name).with_uid(&active.uid)
        });
        let deletions: Vec<Action> = targets.map(|target| self.delete(target)).collect();
        if !deletions.is_empty() {
            self.plan.push(Action::parallel(deletions));
        }
    }
    /// Deletes the oldest finished jobs beyond the limits.
    fn forget(&mut self) {
        let spec = &self.cron.spec;
        let mut deletions = Vec::new();
        for (outcome, limit) in
            [("Complete", spec.successful_jobs_history_limit), ("Failed", spec.failed_jobs_history_limit)]
        {
            let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else { continue };
            let jobs = self.observed.jobs.iter().filter(|job| !job.metadata.is_deleting());
            let mut ended: Vec<_> = jobs.filter(|job| status::outcome(job) == Some(outcome)).collect();
            ended.sort_by_key(|job| {
                (job.status.start_time.is_none(), job.status.start_time, job.metadata.name.clone())
            });
            let surplus = ended.len().saturating_sub(limit);
            deletions.extend(ended.into_iter().take(surplus).map(|job| self.delete(job.reference())));
        }
        if !deletions.is_empty() {
            self.plan.push(Action::parallel(deletions));
        }
    }
    fn delete(&self, job: ObjectRef) -> Action {
        let announce = Announce::about(&self.owner)
            .success("SuccessfulDelete", "Deleted job {name}")
            .failure("FailedDelete", "Deleted job: {error}");
        Action::delete(job).propagating(Propagation::Background).announced(announce)
    }
    fn warn(&mut self, reason: &str, note: String) {
        self.plan.push(Action::warning(&self.owner, reason, note));
    }
}
