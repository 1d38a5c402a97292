//! What a worker knows of its pod that neither the API nor the runtime holds: work under way, back-offs, failures.
//!
//! Invariant: losing it (the agent restarted) costs at most a repeated attempt; nothing that runs depends on it (N3).

use super::{resize::Limits, restart::Backoff};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceRequirements;
use std::collections::{BTreeMap, BTreeSet};

/// A worker's memory.
#[derive(Clone, Debug, Default)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default, rename_all = "camelCase"))]
pub(crate) struct Memory {
    /// Why the pod may not run here, or no longer.
    pub(crate) verdict: Option<Verdict>,
    /// Since when it ends.
    pub(crate) ending: Option<Ending>,
    /// The node's side of the pod: volumes, cgroup, log directory.
    pub(crate) ground: Ground,
    /// Why the last sandbox could not be made.
    pub(crate) sandbox: Option<Failure>,
    /// Images, by container name.
    pub(crate) images: BTreeMap<String, Image>,
    /// Why a container could not be started, by its name.
    pub(crate) failures: BTreeMap<String, Failure>,
    /// Pauses of restarts, by container name.
    pub(crate) backoffs: BTreeMap<String, Backoff>,
    /// Post-start hooks, by container id.
    pub(crate) post_starts: BTreeMap<String, Hook>,
    /// Resources that running containers were given, by id.
    pub(crate) given: BTreeMap<String, ResourceRequirements>,
    /// Resources that the pod as a whole was given.
    pub(crate) given_pod: Option<ResourceRequirements>,
    /// What its cgroup has.
    pub(crate) cgroup: Option<Limits>,
    /// Why the node has no room for a change of resources.
    pub(crate) no_room: Option<NoRoom>,
    /// Why the last change of resources could not be applied.
    pub(crate) resize_error: Option<String>,
    /// Containers that are to stop, by id.
    pub(crate) stopping: BTreeMap<String, Stopping>,
    /// Work under way.
    pub(crate) jobs: BTreeSet<Job>,
}

/// A decision against a pod that is final.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(crate) struct Verdict {
    /// `Evicted`, `OutOfcpu`, `NodeAffinity` and so on.
    pub(crate) reason: String,
    /// Text for people.
    pub(crate) message: String,
    /// Seconds that its containers get; the spec's own without it.
    #[cfg_attr(test, serde(default))]
    pub(crate) grace: Option<i64>,
    /// Whether the node disrupts it, rather than never having taken it.
    #[cfg_attr(test, serde(default))]
    pub(crate) disruption: bool,
}

/// Why a change of resources waits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(crate) struct NoRoom {
    /// `Deferred` or `Infeasible`.
    pub(crate) reason: String,
    /// Text for people.
    pub(crate) message: String,
}

/// A pod that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(crate) struct Ending {
    /// When it began to end, or got less time.
    pub(crate) since: Timestamp,
    /// Seconds from then.
    pub(crate) grace: i64,
}

/// The node's side of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(rename_all = "camelCase"))]
pub(crate) enum Ground {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// Volumes are mounted.
    Ready,
    /// Something is missing.
    Failed(Failure),
    /// Volumes are unmounted, the cgroup is gone.
    Released,
    /// It could not all be taken away.
    ReleaseFailed(Failure),
}

/// Something that did not work and is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub(crate) struct Failure {
    /// As status shows it.
    pub(crate) reason: String,
    /// Text for people.
    pub(crate) message: String,
    /// When to try again.
    pub(crate) retry: Timestamp,
    /// How often it failed in a row.
    #[cfg_attr(test, serde(default))]
    pub(crate) times: u32,
}

/// An image that a container waits for or has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(rename_all = "camelCase"))]
pub(crate) enum Image {
    /// Here, by id.
    Here(String),
    /// Not to be had; until the moment shown as the error itself, then as backing off.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// Until when the error itself is shown.
        fresh: Timestamp,
    },
}

/// A post-start hook.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(rename_all = "camelCase"))]
pub(crate) enum Hook {
    /// To be run, or running.
    Wanted,
    /// It failed, so the container is stopped.
    Failed(String),
}

/// A container that is to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(serde::Deserialize), serde(rename_all = "camelCase"))]
pub(crate) struct Stopping {
    /// When it is killed.
    pub(crate) deadline: Timestamp,
    /// Its pre-stop hook has run.
    #[cfg_attr(test, serde(default))]
    pub(crate) pre_stopped: bool,
}

/// Work under way; each at most once at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(serde::Deserialize), serde(rename_all = "camelCase"))]
pub(crate) enum Job {
    /// Volumes and cgroup are set up.
    Prepare,
    /// A sandbox is made.
    Sandbox,
    /// A container's image is looked for or pulled.
    Image(String),
    /// A container is created and started.
    Start(String),
    /// Limits of the pod and its containers are changed.
    Resize,
    /// A post-start hook runs.
    PostStart(String),
    /// A pre-stop hook runs.
    PreStop(String),
    /// A container is stopped.
    Stop(String),
    /// A sandbox is stopped.
    StopSandbox(String),
    /// A container or sandbox is removed.
    Remove(String),
    /// Volumes and cgroup are taken away.
    Release,
    /// Status is written.
    Report,
    /// The pod is deleted from the API.
    Delete,
}

impl Memory {
    /// Whether this work is under way.
    pub(crate) fn is_busy(&self, job: &Job) -> bool {
        self.jobs.contains(job)
    }
    /// Whether a container is still being started: its post-start hook is to run, or may turn out to be.
    pub(crate) fn is_starting(&self, name: &str, id: &str) -> bool {
        self.post_starts.contains_key(id) || self.is_busy(&Job::Start(name.to_owned()))
    }
    /// Whether something may still appear in the runtime.
    pub(crate) fn is_making(&self) -> bool {
        self.jobs.iter().any(|job| matches!(job, Job::Sandbox | Job::Start(_)))
    }
    /// Whether something is still being stopped.
    pub(crate) fn is_stopping(&self) -> bool {
        self.jobs.iter().any(|job| matches!(job, Job::Stop(_) | Job::StopSandbox(_)))
    }
    /// Whether volumes are being mounted.
    pub(crate) fn is_preparing(&self) -> bool {
        self.is_busy(&Job::Prepare)
    }
}
