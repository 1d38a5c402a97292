//! What to do about one pod: everything that was observed of it in, the next steps out.
//!
//! Flow: a pod that is deleted, refused, evicted, out of time or done *ends* (`end`); every other one *runs* (`run`).
//! Invariants: pure; a step is a wish that may be repeated, the worker does each at most once at a time; steps of one
//! plan do not depend on each other. What a step needs is observed before the step is planned.
//! Deliberately absent: the order of sidecars beyond their list, and static pods.
//! Upstream: pkg/kubelet/kuberuntime/kuberuntime_manager.go (computePodActions), pkg/kubelet/pod_workers.go.

pub(crate) mod admission;
pub(crate) mod allocation;
pub(crate) mod containers;
pub(crate) mod end;
mod init;
pub(crate) mod memory;
pub(crate) mod resize;
pub(crate) mod resources;
pub(crate) mod restart;
mod run;
pub(crate) mod start;
mod stop;

use crate::observe::{Observed, Probed};
use containers::{Role, Spec};
use end::End;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use memory::{Failure, Job, Memory};
use proa_runtime_shim::{ContainerState, ContainerStatus};
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything a decision rests on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    /// The latest spec (N1) with the resources that the node gave it, and the status as the API has it.
    pub(crate) pod: &'a Pod,
    /// The API no longer has it.
    pub(crate) is_gone: bool,
    /// What the runtime has.
    pub(crate) observed: &'a Observed,
    /// What probes found, by container id.
    pub(crate) probes: &'a BTreeMap<String, Probed>,
    /// What the worker knows.
    pub(crate) memory: &'a Memory,
    /// The time.
    pub(crate) now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Plan {
    /// Work that can be done now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) steps: Vec<Step>,
    /// Containers that shall stop and were not told yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) kills: Vec<Kill>,
    /// Why containers wait, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) waiting: BTreeMap<String, Waiting>,
    /// When to look again, if nothing happens before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wake: Option<Timestamp>,
    /// The pod ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) end: Option<End>,
    /// Nothing runs and nothing will.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_stopped: bool,
    /// Nothing is left to do for the worker.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_over: bool,
    /// The sandbox is replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) replaces_sandbox: bool,
}

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Step {
    /// Make cgroup and log directory, mount volumes.
    Prepare,
    /// Make a sandbox.
    Sandbox {
        /// Which one of the pod.
        attempt: u32,
    },
    /// Look for a container's image, pull it if need be.
    Image {
        /// Container.
        container: String,
    },
    /// Create and start a container.
    Start {
        /// Container.
        container: String,
        /// Which one of that name.
        attempt: u32,
    },
    /// Change the limits of the pod's cgroup, then those of running containers.
    Resize {
        /// Of the cgroup.
        limits: resize::Limits,
        /// Containers.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        containers: Vec<resize::Target>,
    },
    /// Run a post-start hook.
    PostStart {
        /// Container.
        container: String,
        /// Its id.
        id: String,
    },
    /// Run a pre-stop hook.
    PreStop {
        /// Container.
        container: String,
        /// Its id.
        id: String,
        /// When its time is over.
        deadline: Timestamp,
    },
    /// Stop a container.
    Stop {
        /// Its id.
        id: String,
        /// When it is killed.
        deadline: Timestamp,
    },
    /// Stop a sandbox.
    StopSandbox {
        /// Its id.
        id: String,
    },
    /// Remove a dead container and its log.
    RemoveContainer {
        /// Its id.
        id: String,
    },
    /// Remove a dead sandbox.
    RemoveSandbox {
        /// Its id.
        id: String,
    },
    /// Unmount volumes, remove the cgroup, forget probes.
    Release,
    /// Delete the pod from the API.
    Delete,
}

impl Step {
    /// The work it is, for doing it once at a time.
    pub(crate) fn job(&self) -> Job {
        match self {
            Self::Prepare => Job::Prepare,
            Self::Sandbox { .. } => Job::Sandbox,
            Self::Image { container } => Job::Image(container.clone()),
            Self::Start { container, .. } => Job::Start(container.clone()),
            Self::Resize { .. } => Job::Resize,
            Self::PostStart { id, .. } => Job::PostStart(id.clone()),
            Self::PreStop { id, .. } => Job::PreStop(id.clone()),
            Self::Stop { id, .. } => Job::Stop(id.clone()),
            Self::StopSandbox { id } => Job::StopSandbox(id.clone()),
            Self::RemoveContainer { id } | Self::RemoveSandbox { id } => Job::Remove(id.clone()),
            Self::Release => Job::Release,
            Self::Delete => Job::Delete,
        }
    }
}

/// A container that shall stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Kill {
    /// Container.
    pub(crate) container: String,
    /// Its id.
    pub(crate) id: String,
    /// When it is killed.
    pub(crate) deadline: Timestamp,
    /// Text of the event.
    pub(crate) message: String,
}

/// Why a container waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Waiting {
    /// One word.
    pub(crate) reason: String,
    /// Text for people.
    pub(crate) message: String,
}

impl From<&Failure> for Waiting {
    fn from(failure: &Failure) -> Self {
        Self { reason: failure.reason.clone(), message: failure.message.clone() }
    }
}

impl Plan {
    /// Wakes the worker then, or earlier.
    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |present| present.min(at)));
    }
}

/// The plan.
pub(crate) fn plan(s: &Situation<'_>) -> Plan {
    let mut plan = Plan::default();
    match end::of(s) {
        Some(end) => end::plan(s, end, &mut plan),
        None => run::plan(s, &mut plan),
    }
    stop::plan(s, &mut plan);
    plan.steps.retain(|step| !s.memory.is_busy(&step.job()) || matches!(step, Step::Stop { .. }));
    plan
}

impl<'a> Situation<'a> {
    /// The newest container of a name.
    pub(crate) fn latest(&self, name: &str) -> Option<&'a ContainerStatus> {
        self.observed.latest(name)
    }
    /// What the probes of a container found.
    fn probed(&self, id: &str) -> Probed {
        self.probes.get(id).copied().unwrap_or_default()
    }
    /// Whether the API was asked to delete it.
    pub(crate) fn is_deleting(&self) -> bool {
        self.is_gone || self.pod.metadata.deletion_timestamp.is_some()
    }
    /// The phase as the API has it.
    pub(crate) fn reported_phase(&self) -> &'a str {
        self.pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
    }
    /// Whether the API has it as ended.
    pub(crate) fn is_reported_ended(&self) -> bool {
        matches!(self.reported_phase(), "Succeeded" | "Failed")
    }
    /// Containers that run or may run.
    fn alive(&self) -> impl Iterator<Item = &'a ContainerStatus> {
        self.observed.containers.iter().filter(|status| is_alive(status))
    }
    /// The newest container of a name, if it is in the present sandbox.
    fn present(&self, name: &str) -> Option<&'a ContainerStatus> {
        let sandbox = &self.observed.sandboxes.first()?.id;
        self.latest(name).filter(|status| status.container.sandbox == *sandbox)
    }
    /// Whether any app container was ever created in the present sandbox: then initialization is over.
    pub(crate) fn has_initialized(&self) -> bool {
        containers::apps(self.pod).any(|app| {
            self.present(app.name()).is_some_and(|status| status.container.state != ContainerState::Unknown)
        })
    }
    /// Whether a container that is not running is to be started.
    pub(crate) fn is_wanted(&self, container: Spec<'_>) -> bool {
        if self.is_deleting() {
            return false;
        }
        let Some(status) = self.latest(container.name()) else { return true };
        match status.container.state {
            ContainerState::Running => false,
            _ if container.role() == Role::Ephemeral => false,
            ContainerState::Unknown | ContainerState::Created => true,
            ContainerState::Exited => restart::after_exit(self.pod, container, status.exit_code).is_wanted(),
        }
    }
}

/// Whether it runs, as far as one knows.
pub(crate) fn is_alive(status: &ContainerStatus) -> bool {
    matches!(status.container.state, ContainerState::Running | ContainerState::Unknown)
}

/// Seconds after a moment.
fn after(moment: Timestamp, seconds: i64) -> Timestamp {
    // A grace period is bounded by validation, but a sum must not panic whatever it says.
    moment.checked_add(SignedDuration::from_secs(seconds.max(0))).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
