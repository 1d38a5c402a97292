//! The status of a job: conditions and their texts, and the value as the API has it.

use proa_kit::{
    Timestamp,
    clock::rfc3339,
    conditions::{self, Condition},
    views::{JobView, job::JobStatus},
};
use serde_json::{Value, json};

/// The job succeeded and all its pods are gone.
pub const COMPLETE: &str = "Complete";
/// The job failed and all its pods are gone.
pub const FAILED: &str = "Failed";
/// The job will succeed once its pods are gone.
pub const SUCCESS_CRITERIA_MET: &str = "SuccessCriteriaMet";
/// The job will fail once its pods are gone.
pub const FAILURE_TARGET: &str = "FailureTarget";
/// The job waits.
pub const SUSPENDED: &str = "Suspended";

/// A condition that is true from now.
pub fn condition(kind: &str, reason: &str, message: &str, now: Timestamp) -> Condition {
    Condition { last_probe_time: Some(now), ..Condition::new(kind, "True", reason, message, now) }
}

/// When the job finished, if it did.
pub fn finished_at(job: &JobView) -> Option<Option<Timestamp>> {
    let ended = [COMPLETE, FAILED].iter().filter_map(|kind| conditions::find(&job.status.conditions, kind));
    ended.filter(|condition| condition.is_true()).map(|condition| condition.last_transition_time).next()
}

/// The condition of this type, if it is true.
pub fn true_condition<'a>(list: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions::find(list, kind).filter(|condition| condition.is_true())
}

/// Sets a condition unless it is there as it is, or would say nothing but `False`. Whether the list changed.
pub fn ensure(list: &mut Vec<Condition>, new: Condition) -> bool {
    match list.iter_mut().find(|own| own.kind == new.kind) {
        Some(own) if (&own.status, &own.reason, &own.message) == (&new.status, &new.reason, &new.message) => {
            false
        }
        Some(own) => {
            *own = new;
            true
        }
        None if &*new.status == "False" => false,
        None => {
            list.push(new);
            true
        }
    }
}

/// The status as the API has it.
pub fn value(status: &JobStatus) -> Value {
    let mut value =
        json!({"uncountedTerminatedPods": status.uncounted_terminated_pods.clone().unwrap_or_default()});
    for (field, count) in
        [("active", status.active), ("succeeded", status.succeeded), ("failed", status.failed)]
    {
        if count != 0 {
            value[field] = json!(count);
        }
    }
    for (field, count) in [("terminating", status.terminating), ("ready", status.ready)] {
        if let Some(count) = count {
            value[field] = json!(count);
        }
    }
    for (field, time) in [("startTime", status.start_time), ("completionTime", status.completion_time)] {
        if let Some(time) = time {
            value[field] = json!(rfc3339(time));
        }
    }
    if !status.completed_indexes.is_empty() {
        value["completedIndexes"] = json!(status.completed_indexes);
    }
    if let Some(indexes) = &status.failed_indexes {
        value["failedIndexes"] = json!(indexes);
    }
    if !status.conditions.is_empty() {
        value["conditions"] = json!(status.conditions);
    }
    value
}
