//! Job.

use super::{Meta, meta, null_as_default};
use crate::{conditions::Condition, kind::Kind, selector::LabelSelector, template::Template};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;

/// A job.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct JobView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: JobSpec,
    /// Status.
    #[serde(default)]
    pub status: JobStatus,
}

crate::view!(JobView, Kind::namespaced("batch", "v1", "Job", "jobs"));

/// Spec of a job.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobSpec {
    /// Pods at a time; 1 when absent.
    pub parallelism: Option<i32>,
    /// Successes wanted; any one success ends the job when absent.
    pub completions: Option<i32>,
    /// How long it may run.
    pub active_deadline_seconds: Option<i64>,
    /// Failures allowed; 6 when absent.
    pub backoff_limit: Option<i32>,
    /// Failures allowed per index.
    pub backoff_limit_per_index: Option<i32>,
    /// Indexes that may fail.
    pub max_failed_indexes: Option<i32>,
    /// Rules on pod failures.
    pub pod_failure_policy: Option<Arc<Value>>,
    /// Rules on success.
    pub success_policy: Option<Arc<Value>>,
    /// Which pods.
    pub selector: LabelSelector,
    /// Template of pods.
    pub template: Template,
    /// How long it is kept when finished.
    pub ttl_seconds_after_finished: Option<i64>,
    /// `NonIndexed` or `Indexed`.
    pub completion_mode: Box<str>,
    /// Whether it waits.
    pub suspend: bool,
    /// `TerminatingOrFailed` or `Failed`.
    pub pod_replacement_policy: Box<str>,
    /// Another controller's name.
    pub managed_by: Option<Box<str>>,
}

/// Status of a job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JobStatus {
    /// Conditions.
    #[serde(deserialize_with = "null_as_default")]
    pub conditions: Box<[Condition]>,
    /// When it was first seen, or last resumed.
    pub start_time: Option<Timestamp>,
    /// When it succeeded.
    pub completion_time: Option<Timestamp>,
    /// Pods that are pending or running.
    pub active: i32,
    /// Pods that are going.
    pub terminating: Option<i32>,
    /// Active pods that are ready.
    pub ready: Option<i32>,
    /// Successes counted.
    pub succeeded: i32,
    /// Failures counted.
    pub failed: i32,
    /// Indexes that succeeded.
    pub completed_indexes: Box<str>,
    /// Indexes that failed for good.
    pub failed_indexes: Option<Box<str>>,
    /// Ended pods that still carry the finalizer and are not yet counted.
    pub uncounted_terminated_pods: Option<UncountedPods>,
}

/// Uids of ended pods that are in neither counter yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct UncountedPods {
    /// Succeeded.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub succeeded: Vec<Box<str>>,
    /// Failed.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<Box<str>>,
}
