//! The status of a cron job: its running jobs, and when it last started one and saw one succeed.

use crate::{build::SCHEDULED, observe::Observed};
use proa_kit::{
    Action, ObjectRef, Plan, Results, Timestamp, Typed,
    act::Written,
    clock::rfc3339,
    conditions,
    views::{
        CronJobView, JobView,
        cron_job::{CronJobStatus, Reference},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// How a job ended, if it did.
pub fn outcome(job: &JobView) -> Option<&'static str> {
    ["Complete", "Failed"].into_iter().find(|kind| conditions::is_true(&job.status.conditions, kind))
}

/// What the jobs say, before anything is done. Events about it go into the plan.
pub(crate) fn seen(
    cron: &CronJobView,
    observed: &Observed,
    owner: &Arc<ObjectRef>,
    plan: &mut Plan,
) -> CronJobStatus {
    let mut status = cron.status.clone();
    for job in &observed.jobs {
        let (name, uid) = (&job.metadata.name, &job.metadata.uid);
        let is_active = status.active.iter().any(|active| active.uid == *uid);
        match outcome(job) {
            None if !is_active => {
                let note = format!("Saw a job that the controller did not create or forgot: {name}");
                plan.push(Action::warning(owner, "UnexpectedJob", note));
            }
            None => {}
            Some(outcome) => {
                if is_active {
                    status.active.retain(|active| active.uid != *uid);
                    let note = format!("Saw completed job: {name}, condition: {outcome}");
                    plan.push(Action::normal(owner, "SawCompletedJob", note));
                }
                if outcome == "Complete" {
                    status.last_successful_time = status.last_successful_time.max(job.status.completion_time);
                }
            }
        }
    }
    let all = || observed.jobs.iter().chain(&observed.strangers);
    status.active.retain(|active| {
        let is_there = all().any(|job| job.metadata.uid == active.uid);
        if !is_there {
            let note = format!("Active job went missing: {}", active.name);
            plan.push(Action::normal(owner, "MissingJob", note));
        }
        is_there
    });
    status
}

/// The status after the writes: without the jobs that were deleted, with the one that was started.
pub(crate) fn settle(cron: &CronJobView, plan: &Plan, results: &Results) -> Option<Value> {
    let planned = plan.status.as_ref().and_then(|status| CronJobStatus::deserialize(status).ok());
    let mut status = planned.unwrap_or_else(|| cron.status.clone());
    for written in results.0.iter().flatten() {
        match written {
            Written::Deleted { uid, .. } => status.active.retain(|active| active.uid != *uid),
            Written::At { key, uid, resource_version, .. } => {
                status.active.push(refer(key.namespace(), key.name(), uid, *resource_version));
                status.last_schedule_time = scheduled(plan).or(status.last_schedule_time);
            }
            Written::Nothing => {}
        }
    }
    (status != cron.status).then(|| value(&status))
}

/// The time that the planned job was scheduled for.
fn scheduled(plan: &Plan) -> Option<Timestamp> {
    plan.actions.iter().find_map(|action| {
        let Action::Create(create) = action else { return None };
        create.object["metadata"]["annotations"][SCHEDULED].as_str()?.parse().ok()
    })
}

/// A reference to a job.
pub(crate) fn reference(job: &JobView) -> Reference {
    let meta = &job.metadata;
    refer(&meta.namespace, &meta.name, &meta.uid, meta.resource_version)
}

fn refer(namespace: &str, name: &str, uid: &str, resource_version: u64) -> Reference {
    Reference {
        kind: JobView::KIND.kind.into(),
        namespace: namespace.into(),
        name: name.into(),
        uid: uid.into(),
        api_version: JobView::KIND.api_version().into(),
        resource_version: resource_version.to_string().into(),
    }
}

pub(crate) fn value(status: &CronJobStatus) -> Value {
    let mut value = json!({});
    if !status.active.is_empty() {
        value["active"] = json!(status.active);
    }
    for (field, time) in
        [("lastScheduleTime", status.last_schedule_time), ("lastSuccessfulTime", status.last_successful_time)]
    {
        if let Some(time) = time {
            value[field] = json!(rfc3339(time));
        }
    }
    value
}
