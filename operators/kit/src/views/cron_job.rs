//! CronJob.

use super::{Meta, meta, null_as_default};
use crate::kind::Kind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A cron job.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CronJobView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: CronJobSpec,
    /// Status.
    #[serde(default)]
    pub status: CronJobStatus,
}

crate::view!(CronJobView, Kind::namespaced("batch", "v1", "CronJob", "cronjobs"));

/// Spec of a cron job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobSpec {
    /// When, in cron's words.
    pub schedule: Box<str>,
    /// Time zone of the schedule; the operator's own when absent.
    pub time_zone: Option<Box<str>>,
    /// How late a job may start.
    pub starting_deadline_seconds: Option<i64>,
    /// `Allow`, `Forbid` or `Replace`.
    pub concurrency_policy: Box<str>,
    /// Whether it waits.
    pub suspend: bool,
    /// Metadata and spec of its jobs.
    pub job_template: Arc<Value>,
    /// Jobs that succeeded to keep; all when absent.
    pub successful_jobs_history_limit: Option<i32>,
    /// Jobs that failed to keep; all when absent.
    pub failed_jobs_history_limit: Option<i32>,
}

/// Status of a cron job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CronJobStatus {
    /// Jobs that run.
    #[serde(deserialize_with = "null_as_default")]
    pub active: Vec<Reference>,
    /// Time for which a job was last started.
    pub last_schedule_time: Option<Timestamp>,
    /// When a job last succeeded.
    pub last_successful_time: Option<Timestamp>,
}

/// A reference to an object, as core/v1 has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Reference {
    /// Kind.
    pub kind: Box<str>,
    /// Namespace.
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Uid.
    pub uid: Box<str>,
    /// API version.
    pub api_version: Box<str>,
    /// Version when it was referred to.
    pub resource_version: Box<str>,
}
