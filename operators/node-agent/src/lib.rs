//! The node agent: pods bound to this node, carried to a container runtime.
//!
//! A decider with one worker per pod UID: *observe* reads the runtime, *plan* is pure, *act* drives the runtime, *status*
//! is written to the API. Contracts: **N1** one worker per pod UID, the latest spec wins. **N2** the runtime's truth is
//! observed anew; its events only wake. **N3** a restart of agent or containerd disturbs no running container. **N4**
//! what was set up (sandboxes, mounts, network, cgroups) is found again and removed when its pod is gone.
//! Upstream: `pkg/kubelet`.

mod act;
mod build;
mod collect;
mod env;
mod eviction;
mod hooks;
mod images;
mod index;
mod logs;
mod node;
mod observe;
mod plan;
mod probes;
mod server;
mod sources;
mod stats;
mod status;
mod supported;
mod volumes;
mod worker;

use act::{Node, cgroups::Cgroups};
use build::NodeFacts;
use collect::Collector;
use eviction::{Eviction, EvictionConfig, Pressure};
pub use eviction::{EvictionHard, ThresholdError};
use futures::FutureExt as _;
use hooks::Hooks;
use images::Images;
use index::{Index, NodePod};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use plan::{admission, memory::Verdict};
use proa_kit::{
    CachePool, Clock, Filter, Key, Typed as _, Write, Writer,
    clock::SystemClock,
    events::Recorder,
    views::{NodeView, PodView},
};
use proa_runtime_shim::Runtime;
use probes::Probes;
use sources::Sources;
use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use volumes::Volumes;
use worker::{Shop, Worker};

/// Name under which the agent writes, as upstream's.
const NAME: &str = "kubelet";
/// Pause before a runtime that does not answer is asked again at the start.
const RUNTIME_PAUSE: Duration = Duration::from_millis(100);

/// What an agent is told about its node and cluster.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// Name of the node; its identity in the API is `system:node:NAME`.
    pub node: String,
    /// Address of the node (`InternalIP`).
    pub address: IpAddr,
    /// Labels that the node registers with, besides the well-known ones.
    pub labels: Vec<(String, String)>,
    /// Directory of everything that the agent keeps: volumes of pods, their hosts files, termination logs.
    pub root: PathBuf,
    /// Directory of container logs, laid out as upstream: `NAMESPACE_POD_UID/CONTAINER/N.log`.
    pub pod_logs: PathBuf,
    /// Addresses of this node's pods, such as `10.244.0.0/24`; becomes `spec.podCIDR`.
    pub pod_cidr: String,
    /// Name servers of pods whose policy is `ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// The resolver configuration of pods whose policy is `Default`.
    pub resolv_conf: PathBuf,
    /// Cgroup above those of all pods, such as `/proa-NAME`.
    pub cgroup_parent: String,
    /// Most pods that the node takes.
    pub max_pods: u32,
    /// When pods are evicted because the node runs short of something.
    pub eviction_hard: EvictionHard,
    /// The agent's HTTPS server: logs, exec, attach, port-forward, stats.
    pub server: ServerConfig,
}

/// Where and how the agent serves. Only clients with a certificate of the cluster's authority or a token that the API
/// accepts are answered, and only if they may do so to `nodes/proxy` and its siblings.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen; port 0 picks one. The port is published in the node's status.
    pub listen: SocketAddr,
    /// Serving certificate chain, PEM.
    pub certificate: Vec<u8>,
    /// Its key, PEM.
    pub key: Vec<u8>,
    /// Who signs client certificates, PEM.
    pub client_ca: Vec<u8>,
}

/// Why an agent does not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A file or directory of the node cannot be used.
    #[error("{what} {path}")]
    File {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The server does not start.
    #[error("start the node's server")]
    Server(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The node cannot be registered.
    #[error("register the node")]
    Node(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Runs a node until shutdown: registers it, runs its pods, serves. Pods go on running afterwards (N3).
///
/// # Errors
/// Directories, the server's address or certificates, or the Node in the API cannot be used.
pub async fn run<R: Runtime>(
    client: Client,
    runtime: R,
    config: AgentConfig,
    shutdown: CancellationToken,
) -> Result<(), AgentError> {
    let own = config.clone();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let recorder = Recorder::start(client.clone(), NAME, &config.node, clock.clone());
    let index = Index::default();
    let serving =
        server::serve(client.clone(), runtime.clone(), config.clone(), index.clone(), shutdown.clone())
            .await
            .map_err(|error| AgentError::Server(Box::new(error)))?;
    let (pressure, news) = (watch::Sender::new(Pressure::default()), Arc::new(Notify::new()));
    let inputs = node::Inputs {
        port: serving.address.port(),
        pressure: pressure.subscribe(),
        images: news.clone(),
        runtime_grace: node::RUNTIME_GRACE,
    };
    let registered =
        node::run(client.clone(), runtime.clone(), &own, inputs, recorder.clone(), shutdown.clone());
    let cgroups = file("read", Path::new("/proc/self/mounts"), Cgroups::detect(&config.cgroup_parent))?;
    let config = Arc::new(config);
    let pods = Pods { client, runtime, config, index, cgroups, pressure, news, clock, recorder };
    let result = tokio::select! {
        result = registered => result.map_err(|error| AgentError::Node(Box::new(error))),
        result = pods.run(shutdown.clone()) => result,
    };
    shutdown.cancel();
    serving.ended().await;
    result
}

/// What the pods' part of an agent is made of.
struct Pods<R> {
    client: Client,
    runtime: R,
    config: Arc<AgentConfig>,
    index: Index,
    cgroups: Cgroups,
    pressure: watch::Sender<Pressure>,
    /// Woken when images came or went.
    news: Arc<Notify>,
    clock: Arc<dyn Clock>,
    recorder: Recorder,
}

impl<R: Runtime> Pods<R> {
    /// Runs the node's pods until shutdown.
    async fn run(self, shutdown: CancellationToken) -> Result<(), AgentError> {
        let Some(runtime_name) = shutdown.run_until_cancelled(runtime_name(&self.runtime)).await else {
            return Ok(());
        };
        let node = Arc::new(self.node(runtime_name)?);
        let caches = CachePool::own(self.client.clone());
        let own = caches.cache::<NodeView>(
            &NodeView::KIND,
            &Filter::fields(&format!("metadata.name={}", self.config.node)),
        );
        let pods = caches.cache::<NodePod>(
            &NodePod::KIND,
            &Filter::fields(&format!("spec.nodeName={}", self.config.node)),
        );
        let (over, ended) = mpsc::unbounded_channel();
        let key = Key::new("", &self.config.node);
        let room = {
            let (own, key) = (own.clone(), key.clone());
            move |pod: &Pod, others: &[Arc<Pod>]| {
                let node = own.get(&key)?;
                admission::no_room(pod, others.iter().map(|other| &**other), &node)
            }
        };
        let admission = {
            let (facts, pressure) = (node.facts.clone(), self.pressure.subscribe());
            move |pod: &Pod, others: &[Arc<Pod>]| {
                let node = own.get(&key);
                admit(pod, others, node.as_deref(), *pressure.borrow(), &facts)
            }
        };
        let shop = Arc::new(Shop {
            node: node.clone(),
            index: self.index.clone(),
            admission: Arc::new(admission),
            room: Arc::new(room),
            over,
            shutdown: shutdown.clone(),
        });
        let workers = TaskTracker::new();
        let subscription = {
            let (index, workers) = (self.index.clone(), workers.clone());
            pods.subscribe(move |change| {
                if let Some(uid) = index.take_in(change) {
                    workers.spawn(Worker::run(shop.clone(), uid));
                }
            })
        };
        let collector = Arc::new(Collector::new(node.clone(), self.index.clone(), self.news.clone()));
        let collect = async {
            pods.ready().await;
            collector.run(ended).await;
        };
        let host =
            Host { index: self.index.clone(), collector: collector.clone(), config: self.config.clone() };
        let evict = eviction::run(
            host,
            self.runtime.clone(),
            &self.config.node,
            self.config.root.clone(),
            EvictionConfig::new(self.config.eviction_hard.clone()),
            self.recorder.clone(),
            self.pressure.clone(),
            shutdown.clone(),
        );
        let index = self.index.clone();
        let refresh =
            node.volumes.run(shutdown.clone(), move |pod, _| index.wake_for_sources(build::uid(pod)));
        let rotate = logs::keep_rotated(self.runtime.clone(), logs::Limits::default(), shutdown.clone());
        let follow = observe::follow::follow(self.runtime.clone(), self.index.clone());
        let background =
            futures::future::join5(follow, collect.boxed(), evict.boxed(), refresh.boxed(), rotate.boxed());
        shutdown.run_until_cancelled(background).await;
        drop(subscription);
        workers.close();
        workers.wait().await;
        Ok(())
    }
    fn node(&self, runtime_name: String) -> Result<Node<R>, AgentError> {
        let config = &self.config;
        for directory in [&config.root, &config.pod_logs] {
            file("create", directory, std::fs::create_dir_all(directory))?;
        }
        let facts = file("read facts of the node for", &config.root, NodeFacts::read(config))?;
        let dns = file("read", &config.resolv_conf, build::dns::read(&config.resolv_conf))?;
        let sources = Sources::new(self.client.clone(), self.clock.clone());
        let volumes = Volumes::new(config.clone(), sources.clone(), facts.clone());
        let index = self.index.clone();
        let probes =
            Probes::new(self.runtime.clone(), self.recorder.clone(), move |uid: &str| index.wake(uid));
        let images = Images::new(self.runtime.clone(), sources.clone(), self.news.clone());
        Ok(Node {
            runtime: self.runtime.clone(),
            runtime_name,
            config: config.clone(),
            facts,
            dns,
            sources,
            volumes,
            probes,
            hooks: Hooks::new(self.runtime.clone(), self.recorder.clone()),
            images,
            cgroups: self.cgroups.clone(),
            writer: Writer::new(self.client.clone(), NAME, writes(), self.recorder.clone()),
            clock: self.clock.clone(),
        })
    }
}

/// What the agent writes about pods.
fn writes() -> Vec<Write> {
    vec![Write::to(&PodView::KIND, &["delete"]), Write::sub(&PodView::KIND, "status", &["patch"])]
}

fn file<T>(what: &'static str, path: &Path, result: io::Result<T>) -> Result<T, AgentError> {
    result.map_err(|source| AgentError::File { what, path: path.to_owned(), source })
}

/// The runtime's name, once it answers.
async fn runtime_name<R: Runtime>(runtime: &R) -> String {
    loop {
        match runtime.version().await {
            Ok(version) => return version.name,
            Err(error) => tracing::debug!(%error, "the container runtime does not answer yet"),
        }
        tokio::time::sleep(RUNTIME_PAUSE).await;
    }
}

/// Why the node does not take a pod, if so.
fn admit(
    pod: &Pod,
    others: &[Arc<Pod>],
    node: Option<&NodeView>,
    pressure: Pressure,
    facts: &NodeFacts,
) -> Option<Verdict> {
    if let Some((reason, message)) = eviction::refusal(pod, pressure) {
        return Some(admission::rejected(reason, &message));
    }
    if let Some(refused) = supported::refusal(pod, facts) {
        return Some(admission::rejected(refused.reason, &refused.message));
    }
    admission::refusal(pod, others.iter().map(|other| &**other), node?)
}

/// What evictions need of the rest.
struct Host<R> {
    index: Index,
    collector: Arc<Collector<R>>,
    config: Arc<AgentConfig>,
}

impl<R: Runtime> eviction::Host for Host<R> {
    fn active(&self) -> Vec<Arc<Pod>> {
        self.index.active()
    }
    async fn evict(&self, pod: &Arc<Pod>, eviction: Eviction) {
        let Eviction { message, grace, is_disruption } = eviction;
        let grace = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let verdict = Verdict {
            reason: eviction::REASON.to_owned(),
            message,
            grace: Some(grace),
            disruption: is_disruption,
        };
        if let Some(mut is_stopped) = self.index.evict(build::uid(pod), verdict) {
            // The worker may end first, when the pod is deleted meanwhile.
            drop(is_stopped.wait_for(|is_stopped| *is_stopped).await);
        }
    }
    async fn reclaim(&self) {
        self.collector.reclaim().await;
    }
    fn empty_dir(&self, pod_uid: &str, volume: &str) -> PathBuf {
        volumes::layout::Layout::new(&self.config.root).volume(pod_uid, "kubernetes.io~empty-dir", volume)
    }
    fn log_directory(&self, pod: &Pod) -> PathBuf {
        build::log_directory(pod, &self.config)
    }
}
