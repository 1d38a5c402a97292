//! Startup, liveness and readiness probes of running containers.
//!
//! Owns: one task per container that has probes; it ends with the container id. Each probe has one timer; nothing polls.
//! Invariants: what a row of outcomes means is decided by `state` alone; a change of a verdict wakes the pod's worker
//! and nothing else; the first probe runs as soon as `initialDelaySeconds` allow, without upstream's jitter; a
//! container that the API already calls started or ready stays so until a probe says otherwise (N3). Deliberately
//! absent: killing containers and its events, which are the pod worker's.
//! Upstream: `pkg/kubelet/prober`, `pkg/probe`.

pub(crate) mod action;
mod command;
mod exec;
mod grpc;
pub(crate) mod http;
mod state;
mod target;
mod tcp;
#[cfg(test)]
pub(crate) mod tests;
mod worker;

pub(crate) use target::Target;

use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};
use parking_lot::Mutex;
use proa_kit::{Timestamp, events::Recorder};
use proa_runtime_shim::Runtime;
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use worker::Worker;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Before it succeeds, the others wait.
    Startup,
    /// Its failure ends the container.
    Liveness,
    /// Its failure takes the container out of its services.
    Readiness,
}

impl Kind {
    /// As events and messages name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Liveness => "Liveness",
            Self::Readiness => "Readiness",
        }
    }
}

/// A probe because of which the container must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// `Startup` or `Liveness`.
    pub(crate) probe: Kind,
    /// Grace period of the probe, instead of the pod's.
    pub(crate) grace_seconds: Option<i64>,
}

/// What the probes say of a running container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Its startup probe succeeded, or it has none.
    pub(crate) started: bool,
    /// It is started and its readiness probe succeeds, or it has none.
    pub(crate) ready: bool,
    /// It must end.
    pub(crate) failed: Option<Failed>,
}

impl Verdict {
    /// Of a container without probes.
    const GOOD: Self = Self { started: true, ready: true, failed: None };
}

/// A container that runs now.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    /// Name in the pod.
    pub(crate) name: String,
    /// Id in the runtime.
    pub(crate) id: String,
    /// When it was started.
    pub(crate) since: Timestamp,
}

type Wake = dyn Fn(&str) + Send + Sync;

/// The probes of all pods. Cheap to clone; the tasks end with the last clone.
pub(crate) struct Probes<R> {
    shared: Arc<Shared<R>>,
}

impl<R> Clone for Probes<R> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

struct Shared<R> {
    runtime: R,
    recorder: Recorder,
    wake: Arc<Wake>,
    /// By pod uid, then container id.
    pods: Mutex<HashMap<String, HashMap<String, Probed>>>,
}

/// A container with probes.
struct Probed {
    verdict: Arc<Mutex<Verdict>>,
    /// Ends startup and liveness probes while the pod ends.
    stopping: CancellationToken,
    task: AbortHandle,
}

impl Drop for Probed {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl<R: Runtime> Probes<R> {
    /// Probes whose changes call `wake` with the pod's uid.
    pub(crate) fn new(runtime: R, recorder: Recorder, wake: impl Fn(&str) + Send + Sync + 'static) -> Self {
        let shared = Shared { runtime, recorder, wake: Arc::new(wake), pods: Mutex::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Makes the probes those of the containers that run now, and says how each of these is, by container id.
    /// `stopping`: the pod ends, so nothing is restarted any more.
    pub(crate) fn observe(
        &self,
        pod: &Arc<Pod>,
        address: IpAddr,
        running: &[Running],
        stopping: bool,
    ) -> BTreeMap<String, Verdict> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let mut pods = self.shared.pods.lock();
        let probed = pods.entry(uid.to_owned()).or_default();
        probed.retain(|id, _| running.iter().any(|container| container.id == *id));
        let mut verdicts = BTreeMap::new();
        for container in running {
            let verdict = self.observe_one(probed, pod, address, container, stopping);
            verdicts.insert(container.id.clone(), verdict);
        }
        if probed.is_empty() {
            pods.remove(uid);
        }
        verdicts
    }

    fn observe_one(
        &self,
        probed: &mut HashMap<String, Probed>,
        pod: &Arc<Pod>,
        address: IpAddr,
        running: &Running,
        stopping: bool,
    ) -> Verdict {
        if !probed.contains_key(&running.id) {
            let Some(spec) = container(pod, &running.name).filter(|spec| has_probes(spec)) else {
                return Verdict::GOOD;
            };
            let started = self.start(pod, spec, address, running);
            probed.insert(running.id.clone(), started);
        }
        let one = &probed[&running.id];
        if stopping {
            one.stopping.cancel();
        }
        *one.verdict.lock()
    }

    /// Ends the probes of a pod.
    pub(crate) fn forget(&self, uid: &str) {
        self.shared.pods.lock().remove(uid);
    }

    fn start(&self, pod: &Arc<Pod>, spec: &Container, address: IpAddr, running: &Running) -> Probed {
        let verdict = Arc::new(Mutex::new(first_verdict(pod, spec, &running.id)));
        let stopping = CancellationToken::new();
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let wake = self.shared.wake.clone();
        let worker = Worker {
            target: Target::new(pod, spec.clone(), running.id.clone(), address),
            runtime: self.shared.runtime.clone(),
            recorder: self.shared.recorder.clone(),
            since: running.since,
            verdict: verdict.clone(),
            changed: Box::new(move || wake(&uid)),
            stopping: stopping.clone(),
        };
        Probed { verdict, stopping, task: tokio::spawn(worker.run()).abort_handle() }
    }
}

fn has_probes(container: &Container) -> bool {
    container.startup_probe.is_some()
        || container.liveness_probe.is_some()
        || container.readiness_probe.is_some()
}

/// A container of the pod, init containers included.
fn container<'a>(pod: &'a Pod, name: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    let init = spec.init_containers.iter().flatten();
    spec.containers.iter().chain(init).find(|container| container.name == name)
}

/// What holds before the first probe ran: what the API says of the same container, or else that it is not up yet.
fn first_verdict(pod: &Pod, spec: &Container, id: &str) -> Verdict {
    let known = status(pod, id);
    let started = spec.startup_probe.is_none() || known.is_some_and(|status| status.started == Some(true));
    let ready = started && (spec.readiness_probe.is_none() || known.is_some_and(|status| status.ready));
    Verdict { started, ready, failed: None }
}

fn status<'a>(pod: &'a Pod, id: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let mut all = all.filter(|status| status.container_id.as_deref().is_some_and(|known| is_id(known, id)));
    all.next()
}

/// Whether `containerd://ID` names the container.
fn is_id(known: &str, id: &str) -> bool {
    known.split_once("://").is_some_and(|(_, known)| known == id)
}
