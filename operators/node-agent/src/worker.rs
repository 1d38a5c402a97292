//! One task per pod uid (N1): look, plan, act, report; then wait for news.
//!
//! Flow: wake -> `observe` if the runtime may have changed -> `plan` -> begin the steps that are not under way ->
//! write status if it differs -> wait for mail, a finished step or the plan's time. Invariants: a step runs at most once
//! at a time; a status write never holds a step up and at most one is under way; whatever fails is paused, not looped.
//! When the pod is over, the collector is told its uid. Upstream: pkg/kubelet/pod_workers.go, pkg/kubelet/kubelet.go.

mod jobs;
mod outcome;
mod report;
#[cfg(test)]
mod tests;

use crate::{
    act::{Node, Subject, tell::Teller},
    build,
    index::{Index, Mail, News, Shown},
    observe::{self, Observed, Probed},
    plan::{
        self, Plan, Situation, Step, allocation,
        containers::{self, Spec},
        memory::{self, Ending, Ground, Image, Job, Memory, Stopping},
        resize,
        restart::Backoff,
        start,
    },
    probes::{Kind, Running, Verdict},
};
use jiff::Timestamp;
use jobs::Jobs;
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use proa_runtime_shim::{ContainerState, Runtime};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// First pause after the runtime did not answer, or an end that cannot be read yet.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Most doublings of it.
const MOST_DOUBLINGS: u32 = 8;

/// Why the node does not take a pod beside others, if so.
pub(crate) type Admission = dyn Fn(&Pod, &[Arc<Pod>]) -> Option<memory::Verdict> + Send + Sync;

/// Why the node has no room for a pod's changed resources beside others, if so.
pub(crate) type Room = dyn Fn(&Pod, &[Arc<Pod>]) -> Option<memory::NoRoom> + Send + Sync;

/// What all workers share.
pub(crate) struct Shop<R> {
    pub(crate) node: Arc<Node<R>>,
    pub(crate) index: Index,
    /// Decides whether the node takes a pod.
    pub(crate) admission: Arc<Admission>,
    /// Decides whether it has room for changed resources.
    pub(crate) room: Arc<Room>,
    /// Pods that are over.
    pub(crate) over: mpsc::UnboundedSender<String>,
    pub(crate) shutdown: CancellationToken,
}

/// The worker of one pod.
pub(crate) struct Worker<R> {
    shop: Arc<Shop<R>>,
    uid: String,
    mail: Arc<Mail>,
    /// The pod as the API has it.
    wanted: Arc<Pod>,
    /// The same with the resources that the node gave it.
    pod: Arc<Pod>,
    is_gone: bool,
    teller: Teller,
    observed: Observed,
    is_stale: bool,
    /// Ends that the runtime does not show yet, and how often it was asked.
    ended: BTreeMap<String, u32>,
    /// How often in a row the runtime did not answer.
    unanswered: u32,
    memory: Memory,
    mounted: Arc<crate::volumes::Mounted>,
    images: HashMap<String, proa_runtime_shim::Image>,
    /// Resources of containers that are being started, by name.
    giving: HashMap<String, ResourceRequirements>,
    /// What the pod's cgroup is given with its volumes.
    preparing: Option<resize::Limits>,
    /// What the change of resources under way gives.
    resizing: Option<Resizing>,
    /// Resources were being changed when the last plan was made.
    was_resizing: bool,
    jobs: Jobs,
    /// What was told about waiting containers.
    told: BTreeMap<String, plan::Waiting>,
    is_replacing: bool,
    /// The last difference of status that was written.
    last_patch: Option<serde_json::Value>,
}

impl<R: Runtime> Worker<R> {
    /// Works on a pod until it is over or the agent ends.
    pub(crate) async fn run(shop: Arc<Shop<R>>, uid: String) {
        let (Some(mail), Some(latest)) = (shop.index.mail(&uid), shop.index.latest(&uid)) else { return };
        let teller = Teller::new(shop.node.writer.recorder().clone(), &latest.pod);
        let worker = Self {
            shop,
            uid,
            mail,
            wanted: latest.pod,
            memory: Memory { given_pod: Some(own_resources(&latest.allocated)), ..Memory::default() },
            pod: latest.allocated,
            is_gone: latest.is_gone,
            teller,
            observed: Observed::default(),
            is_stale: true,
            ended: BTreeMap::new(),
            unanswered: 0,
            mounted: Arc::default(),
            images: HashMap::new(),
            giving: HashMap::new(),
            preparing: None,
            resizing: None,
            was_resizing: false,
            jobs: Jobs::default(),
            told: BTreeMap::new(),
            is_replacing: false,
            last_patch: None,
        };
        let span = tracing::info_span!("pod", pod = build::display(&worker.pod));
        worker.work().instrument(span).await;
    }
    async fn work(mut self) {
        self.admit();
        loop {
            let news = self.mail.take();
            self.hear(news);
            self.look().await;
            let wake = match self.unanswered {
                0 => {
                    let plan = self.plan();
                    if plan.is_over {
                        return self.leave();
                    }
                    plan.wake
                }
                _ => None,
            };
            if !self.wait(wake).await {
                return;
            }
        }
    }
    /// Decides whether the node takes the pod, unless that was decided before.
    fn admit(&mut self) {
        let phase = self.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let is_ending = self.is_gone || self.pod.metadata.deletion_timestamp.is_some();
        if is_ending || matches!(phase, Some("Succeeded" | "Failed")) {
            return;
        }
        let admission = self.shop.admission.clone();
        if let Some(verdict) = self.shop.index.admit(&self.uid, |pod, others| admission(pod, others)) {
            let note = verdict.message.strip_prefix("Pod was rejected: ").unwrap_or(&verdict.message);
            self.teller.warn_pod(&verdict.reason, note);
        }
    }
    fn hear(&mut self, news: News) {
        let News { is_stale, ended, has_new_sources } = news;
        self.is_stale |= is_stale;
        for id in ended {
            self.ended.entry(id).or_insert(0);
        }
        if has_new_sources {
            self.memory.failures.retain(|_, failure| failure.reason != build::CREATE_CONTAINER_CONFIG_ERROR);
            if let Ground::Failed(_) = self.memory.ground {
                self.memory.ground = Ground::Unknown;
            }
        }
        if let Some(latest) = self.shop.index.latest(&self.uid) {
            self.is_gone = latest.is_gone;
            self.memory.verdict = latest.verdict;
            self.take_pod(latest.pod);
        }
    }
    /// Takes the pod over unless a newer one is known.
    fn take_pod(&mut self, pod: Arc<Pod>) {
        let version = |pod: &Pod| -> u64 {
            pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
        };
        if version(&pod) >= version(&self.wanted) {
            self.drop_outdated(&pod);
            self.pod = allocation::carried(&pod, &self.pod);
            self.wanted = pod;
        }
    }
    /// What was found out for the old spec does not hold for a new one.
    fn drop_outdated(&mut self, new: &Pod) {
        let (old, new_meta) = (&self.pod.metadata, &new.metadata);
        let same_content = old.generation == new_meta.generation
            && old.labels == new_meta.labels
            && old.annotations == new_meta.annotations;
        if !same_content && matches!(self.memory.ground, Ground::Ready | Ground::Failed(_)) {
            // Volumes may show labels, and an added container may use others.
            self.memory.ground = Ground::Unknown;
        }
        for container in containers::all(new) {
            let name = container.name();
            let old = containers::find(&self.pod, name).map(Spec::image);
            if old.is_some_and(|image| image != container.image()) {
                self.memory.images.remove(name);
                self.memory.failures.remove(name);
                self.images.remove(name);
            }
        }
    }
    /// Reads the runtime, if it may have changed.
    async fn look(&mut self) {
        if !self.is_stale && self.unanswered == 0 {
            return;
        }
        let node = &self.shop.node;
        match observe::observe(&node.runtime, &self.uid, &self.observed, &node.config.root).await {
            Ok(observed) => {
                (self.observed, self.is_stale, self.unanswered) = (observed, false, 0);
                self.ended.retain(|id, _| self.observed.shows_alive(id));
                let alive = |id: &String| {
                    self.observed.containers.iter().any(|c| c.container.id == *id && plan::is_alive(c))
                };
                self.memory.stopping.retain(|id, _| alive(id));
                self.memory.post_starts.retain(|id, _| alive(id));
                self.memory.given.retain(|id, _| alive(id));
                self.adopt();
            }
            Err(error) => {
                self.unanswered = self.unanswered.saturating_add(1);
                tracing::warn!(%error, "runtime cannot be read");
            }
        }
    }
    /// Takes over what containers were given that an earlier agent started.
    fn adopt(&mut self) {
        for status in self.observed.containers.iter().filter(|status| plan::is_alive(status)) {
            let id = &status.container.id;
            if !self.memory.given.contains_key(id)
                && let Some(given) = resize::reported(&self.pod, id)
            {
                self.memory.given.insert(id.clone(), given);
            }
        }
    }
    /// Plans and acts until nothing more follows at once.
    fn plan(&mut self) -> Plan {
        loop {
            let now = self.shop.node.clock.now();
            self.memory.jobs = self.jobs.running();
            self.allocate();
            let probes = self.probes();
            let situation = Situation {
                pod: &self.pod,
                is_gone: self.is_gone,
                observed: &self.observed,
                probes: &probes,
                memory: &self.memory,
                now,
            };
            let mut plan = plan::plan(&situation);
            let is_resizing = plan.end.is_none() && resize::is_applying(&situation);
            if self.note(&plan, now) {
                continue;
            }
            self.report(&probes, &mut plan, now);
            self.tell(&plan);
            if self.was_resizing && !is_resizing && plan.end.is_none() {
                self.teller.tell_pod("ResizeCompleted", &resize::message("completed", &self.pod, ""));
            }
            self.was_resizing = is_resizing;
            self.begin(&mut plan, now);
            return plan;
        }
    }
    fn probes(&self) -> BTreeMap<String, Probed> {
        let is_host = build::is_host_network(&self.pod);
        let own = self.observed.addresses().first().copied();
        let node = &self.shop.node;
        let Some(address) = own.or(is_host.then_some(node.config.address)) else { return BTreeMap::new() };
        let running: Vec<Running> = self
            .observed
            .containers
            .iter()
            .filter(|status| status.container.state == ContainerState::Running)
            .filter(|status| !self.memory.is_starting(&status.container.name, &status.container.id))
            .map(|status| Running {
                name: status.container.name.clone(),
                id: status.container.id.clone(),
                since: status.started.unwrap_or(status.container.created),
            })
            .collect();
        let verdicts = node.probes.observe(&self.pod, address, &running, self.memory.ending.is_some());
        verdicts.into_iter().map(|(id, verdict)| (id, verdict.into())).collect()
    }
    /// Gives the pod the resources that it asks for, if they are others than it has and there is room.
    fn allocate(&mut self) {
        let is_ending = self.is_gone || self.wanted.metadata.deletion_timestamp.is_some();
        if is_ending || self.memory.verdict.is_some() || !allocation::differs(&self.wanted, &self.pod) {
            self.memory.no_room = None;
            return;
        }
        let (room, wanted) = (&self.shop.room, &self.wanted);
        let no_room = self.shop.index.allocate(&self.uid, wanted, |others| room(wanted, others));
        match &no_room {
            None => {
                self.pod = wanted.clone();
                self.memory.resize_error = None;
                self.teller.tell_pod("ResizeStarted", &resize::message("started", &self.pod, ""));
            }
            Some(why) if no_room != self.memory.no_room => {
                let note = resize::message(&why.reason, wanted, &why.message);
                self.teller.warn_pod(&format!("Resize{}", why.reason), &note);
            }
            Some(_) => {}
        }
        self.memory.no_room = no_room;
    }
    /// Notes what the plan decided for good; whether that changes the plan.
    fn note(&mut self, plan: &Plan, now: Timestamp) -> bool {
        let mut is_new = false;
        if let Some(end) = &plan.end
            && self.memory.ending.is_none_or(|ending| end.grace < ending.grace)
        {
            self.note_end(end, now);
            is_new = true;
        }
        for kill in &plan.kills {
            match self.memory.stopping.get_mut(&kill.id) {
                Some(stopping) => stopping.deadline = kill.deadline,
                None => {
                    if let Some(spec) = containers::find(&self.pod, &kill.container) {
                        self.teller.tell(spec, "Killing", &kill.message);
                    }
                    let stopping = Stopping { deadline: kill.deadline, pre_stopped: false };
                    self.memory.stopping.insert(kill.id.clone(), stopping);
                }
            }
            is_new = true;
        }
        is_new
    }
    fn note_end(&mut self, end: &plan::end::End, now: Timestamp) {
        if self.memory.ending.is_none() {
            self.jobs.abort(|job| matches!(job, Job::Image(_) | Job::PostStart(_) | Job::Prepare));
            self.memory.post_starts.clear();
            if let Some((reason, message)) =
                end.failed.as_ref().filter(|(reason, _)| reason == "DeadlineExceeded")
            {
                self.teller.tell_pod(reason, message);
            }
        }
        self.memory.ending = Some(Ending { since: now, grace: end.grace });
    }
    /// Tells people what they would otherwise have to find out.
    fn tell(&mut self, plan: &Plan) {
        if plan.replaces_sandbox && !self.is_replacing {
            self.teller.tell_pod("SandboxChanged", "Pod sandbox changed, it will be killed and re-created.");
        }
        self.is_replacing = plan.replaces_sandbox;
        for (name, waiting) in &plan.waiting {
            if self.told.get(name) != Some(waiting)
                && let Some(spec) = containers::find(&self.pod, name)
            {
                self.tell_waiting(spec, waiting);
            }
        }
        self.told.clone_from(&plan.waiting);
    }
    fn tell_waiting(&self, spec: Spec<'_>, waiting: &plan::Waiting) {
        match waiting.reason.as_str() {
            start::CRASH_LOOP => {
                let (name, pod) = (spec.name(), build::display(&self.pod));
                let note = format!("Back-off restarting failed container {name} in pod {pod}");
                self.teller.warn(spec, "BackOff", &note);
            }
            "ImagePullBackOff" => {
                self.teller.tell(spec, "BackOff", &format!("Back-off pulling image \"{}\"", spec.image()));
                self.teller.warn(spec, "Failed", "Error: ImagePullBackOff");
            }
            _ => {}
        }
    }
    /// Begins the steps that are not under way and not paused.
    fn begin(&mut self, plan: &mut Plan, now: Timestamp) {
        for step in std::mem::take(&mut plan.steps) {
            if let Some(until) = self.jobs.paused(&step.job(), now) {
                plan.wake = Some(plan.wake.map_or(until, |wake| wake.min(until)));
                continue;
            }
            match &step {
                Step::Start { container, .. } => {
                    self.note_start(container, now);
                    self.note_resources(container);
                }
                Step::Prepare => {
                    self.preparing = Some(resize::limits(&self.pod, &self.observed, &self.memory));
                }
                Step::Resize { limits, containers } => self.note_resize(*limits, containers),
                _ => {}
            }
            let subject = self.subject(&step);
            let node = self.shop.node.clone();
            self.jobs.begin(&step.clone(), async move { node.perform(step, subject).await });
        }
    }
    /// A container that ended before pauses longer next time.
    fn note_start(&mut self, container: &str, now: Timestamp) {
        let last =
            self.observed.of(container).find(|status| status.container.state == ContainerState::Exited);
        if let Some(finished) = last.and_then(|status| status.finished) {
            let present = self.memory.backoffs.get(container).copied();
            self.memory.backoffs.insert(container.to_owned(), Backoff::next(present, finished, now));
        }
    }
    /// What a container is being given.
    fn note_resources(&mut self, container: &str) {
        let resources = containers::find(&self.pod, container).and_then(Spec::resources).cloned();
        self.giving.insert(container.to_owned(), resources.unwrap_or_default());
    }
    /// What the pod and its containers are being given. One is under way at a time, as the step is.
    fn note_resize(&mut self, limits: resize::Limits, targets: &[resize::Target]) {
        let of = |target: &resize::Target| {
            let resources = containers::find(&self.pod, &target.container).and_then(Spec::resources).cloned();
            (target.id.clone(), resources.unwrap_or_default())
        };
        let containers = targets.iter().map(of).collect();
        self.resizing = Some(Resizing { limits, pod: own_resources(&self.pod), containers });
    }
    fn subject(&self, step: &Step) -> Subject {
        let (index, uid) = (self.shop.index.clone(), self.uid.clone());
        let image = match step {
            Step::Start { container, .. } => self.images.get(container).cloned(),
            _ => None,
        };
        let shares = match step {
            Step::Prepare | Step::Release | Step::Resize { .. } => self.shop.index.burstable_shares(),
            _ => 0,
        };
        Subject {
            pod: self.pod.clone(),
            teller: self.teller.clone(),
            sandbox: self.observed.sandboxes.first().cloned(),
            containers: self.observed.containers.clone().into(),
            mounted: self.mounted.clone(),
            image,
            limits: resize::limits(&self.pod, &self.observed, &self.memory),
            burstable_shares: shares,
            register: Arc::new(move |id| index.own(id, &uid)),
        }
    }
    /// Waits until there is something to do; whether to go on.
    async fn wait(&mut self, wake: Option<Timestamp>) -> bool {
        let until = self.until(wake);
        let sleep = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        let finished = tokio::select! {
            biased;
            () = self.shop.shutdown.cancelled() => return false,
            finished = self.jobs.next() => Some(finished),
            () = self.mail.wait() => None,
            () = sleep => None,
        };
        if let Some(finished) = finished {
            self.finish(finished);
        }
        while let Some(finished) = self.jobs.try_next() {
            self.finish(finished);
        }
        true
    }
    /// The earliest moment that matters: the plan's, or the next try to read the runtime.
    fn until(&mut self, wake: Option<Timestamp>) -> Option<Instant> {
        let now = self.shop.node.clock.now();
        let planned = wake.map(|wake| Duration::try_from(wake.duration_since(now)).unwrap_or_default());
        let again = self.ended.values_mut().map(|tries| {
            *tries = tries.saturating_add(1);
            pause(*tries)
        });
        let again = again.min();
        self.is_stale |= again.is_some();
        let unanswered = (self.unanswered > 0).then(|| pause(self.unanswered + 3));
        planned.into_iter().chain(again).chain(unanswered).min().map(|pause| Instant::now() + pause)
    }
    /// The pod is over: what is left of it is the collector's.
    fn leave(self) {
        self.shop.node.probes.forget(&self.uid);
        self.shop.index.remove(&self.uid);
        // Without a collector the agent is ending.
        drop(self.shop.over.send(self.uid));
    }
    /// Publishes what the server may say about the pod.
    fn publish(&self, status: k8s_openapi::api::core::v1::PodStatus, is_stopped: bool) {
        let shown = Shown { status, observed: self.observed.clone() };
        self.shop.index.publish(&self.uid, shown, is_stopped);
    }
    /// The image of a container, in the plan's memory and for the start.
    fn keep_image(&mut self, container: String, image: proa_runtime_shim::Image) {
        self.memory.images.insert(container.clone(), Image::Here(image.id.clone()));
        self.images.insert(container, image);
    }
}

/// What a change of resources gives.
struct Resizing {
    limits: resize::Limits,
    pod: ResourceRequirements,
    containers: Vec<(String, ResourceRequirements)>,
}

/// Resources of the pod as a whole.
fn own_resources(pod: &Pod) -> ResourceRequirements {
    containers::spec(pod).resources.clone().unwrap_or_default()
}

/// A pause that doubles.
fn pause(tries: u32) -> Duration {
    FIRST_PAUSE * (1 << tries.min(MOST_DOUBLINGS))
}

impl From<Verdict> for Probed {
    fn from(verdict: Verdict) -> Self {
        let failed = verdict.failed.map(|failed| failed.probe);
        Self {
            started: verdict.started,
            ready: verdict.ready,
            startup_failed: failed == Some(Kind::Startup),
            liveness_failed: failed == Some(Kind::Liveness),
        }
    }
}
