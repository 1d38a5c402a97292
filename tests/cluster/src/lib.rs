//! A whole cluster in the process of a test: the real server on the memory store, the operators that the test names,
//! and simulated nodes.
//!
//! Clients reach the server through `Api::call` with the same filters as every request; each operator has its own
//! identity and its own permissions, so a missing rule fails here and not first in a user's cluster. Deliberately
//! absent: sockets, certificates and the command line, which the end-to-end tests run. Which operators there are is
//! not known here: they are handed in, so that any of them may use this crate in its tests; `Builder::workloads` hands in
//! those that most others rely on.

#[cfg(feature = "workloads")]
mod workloads;

mod faults;

pub use faults::{Faults, Tap, Written};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Client, ResourceExt,
    runtime::{WatchStreamExt, wait::await_condition, watcher},
};
use proa_assembly::{Core, Settings, StartError};
use proa_kit::{CachePool, RunConfig};
use proa_meta::User;
use proa_node_simulator::{Delays, Simulation};
use proa_policy::{
    bootstrap,
    tokens::{KeyError, SigningKey},
};
use proa_store::Memory;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Debug, pin::pin, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Fills the caches that the operators share, under an identity of its own.
const CACHE: &str = "cache";
/// Longer than anything takes that a test waits for, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a cluster did not start.
#[derive(Debug)]
pub enum Error {
    /// No key for tokens.
    Key(KeyError),
    /// The core did not start.
    Core(StartError),
    /// An object cannot be watched.
    Watch(kube::runtime::wait::Error),
    /// An object never got to be as it was waited for.
    Never(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(_) => f.write_str("make a key for tokens"),
            Self::Core(_) => f.write_str("start the core"),
            Self::Watch(_) => f.write_str("watch an object"),
            Self::Never(state) => write!(f, "the object never got there; last it was {state}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Key(source) => Some(source),
            Self::Core(source) => Some(source),
            Self::Watch(source) => Some(source),
            Self::Never(_) => None,
        }
    }
}

type Run = Box<dyn FnOnce(Client, RunConfig) -> BoxFuture<'static, ()> + Send>;

struct Operator {
    name: &'static str,
    rules: Value,
    /// None: only the identity is there.
    run: Option<Run>,
}

/// What a cluster is to be made of.
#[derive(Default)]
pub struct Builder {
    operators: Vec<Operator>,
    nodes: u32,
    delays: Option<Delays>,
}

impl Builder {
    /// With an operator: its name, the RBAC rules it needs, and what runs it.
    #[must_use]
    pub fn operator<F>(mut self, name: &'static str, rules: Value, run: fn(Client, RunConfig) -> F) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let run: Run = Box::new(move |client, config| Box::pin(run(client, config)));
        self.operators.push(Operator { name, rules, run: Some(run) });
        self
    }
    /// With the identity and the RBAC rules of an operator that the test runs itself, to stop it and start it again:
    /// [`Cluster::operator`] is its client.
    #[must_use]
    pub fn identity(mut self, name: &'static str, rules: Value) -> Self {
        self.operators.push(Operator { name, rules, run: None });
        self
    }
    /// With this many simulated nodes.
    #[must_use]
    pub fn nodes(mut self, nodes: u32) -> Self {
        self.nodes = nodes;
        self
    }
    /// With pods that take this long.
    #[must_use]
    pub fn delays(mut self, delays: Delays) -> Self {
        self.delays = Some(delays);
        self
    }
    /// Starts the server, then operators and nodes. Does not wait for the nodes: [`Cluster::nodes_ready`] does.
    ///
    /// # Errors
    /// The server does not start.
    pub async fn start(self) -> Result<Cluster, Error> {
        let core = Core::start(Memory::new(), settings(&self.operators)?).await.map_err(Error::Core)?;
        let shutdown = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let caches = CachePool::shared(core.operator(CACHE));
        for operator in self.operators {
            let Some(run) = operator.run else { continue };
            let config = RunConfig {
                caches: Some(caches.clone()),
                shutdown: shutdown.clone(),
                ..RunConfig::default()
            };
            tasks.spawn(run(core.operator(operator.name), config));
        }
        if self.nodes > 0 {
            let mut simulation = Simulation { nodes: self.nodes, ..Simulation::default() };
            if let Some(delays) = self.delays {
                simulation.delays = delays;
            }
            tasks.spawn(proa_node_simulator::simulate(core.admin(), simulation, shutdown.clone()));
        }
        Ok(Cluster { core, nodes: self.nodes, shutdown, tasks })
    }
}

/// A running cluster. Its operators and nodes end when it is dropped.
pub struct Cluster {
    core: Core,
    nodes: u32,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
}

impl Cluster {
    /// What a cluster is made of.
    pub fn builder() -> Builder {
        Builder::default()
    }
    /// A server without operators and nodes.
    ///
    /// # Errors
    /// The server does not start.
    pub async fn start() -> Result<Self, Error> {
        Self::builder().start().await
    }
    /// A client that may do everything.
    pub fn admin(&self) -> Client {
        self.core.admin()
    }
    /// A client that acts as this user.
    pub fn client(&self, user: &str, groups: &[&str]) -> Client {
        self.core.client(User::new(user, groups))
    }
    /// A client with the identity of an operator that was handed in.
    pub fn operator(&self, name: &str) -> Client {
        self.core.operator(name)
    }
    /// Waits until every node is ready.
    ///
    /// # Errors
    /// The watch of nodes fails or ends.
    pub async fn nodes_ready(&self) -> Result<(), watcher::Error> {
        let nodes: kube::Api<Node> = kube::Api::all(self.admin());
        let mut changes = pin!(watcher(nodes, watcher::Config::default()).applied_objects());
        let mut ready = BTreeSet::new();
        while ready.len() < self.nodes as usize {
            match futures::TryStreamExt::try_next(&mut changes).await? {
                Some(node) if is_ready(&node) => ready.insert(node.name_any()),
                Some(node) => ready.remove(&node.name_any()),
                None => return Err(watcher::Error::NoResourceVersion),
            };
        }
        Ok(())
    }
    /// Waits until an object is as wanted; `None` is given where there is none. Its state then.
    ///
    /// # Errors
    /// The watch fails, or a minute has passed.
    pub async fn until<K>(
        &self,
        api: kube::Api<K>,
        name: &str,
        wanted: impl Fn(Option<&K>) -> bool,
    ) -> Result<Option<K>, Error>
    where
        K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    {
        match tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, wanted)).await {
            Ok(reached) => reached.map_err(Error::Watch),
            Err(_) => Err(Error::Never(format!("{:?}", api.get_opt(name).await))),
        }
    }
    /// Ends operators and nodes, then the server.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.core.stop().await;
    }
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "Ready" && c.status == "True"))
}

fn settings(operators: &[Operator]) -> Result<Settings, Error> {
    let key = SigningKey::generate().and_then(|der| SigningKey::from_pkcs8(&der)).map_err(Error::Key)?;
    let mut roles: Vec<_> = operators.iter().map(|o| (o.name.to_owned(), o.rules.clone())).collect();
    let read_all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]}]);
    roles.push((CACHE.to_owned(), read_all));
    Ok(Settings {
        services: ([10, 96, 0, 0].into(), 12),
        encryption: proa_assembly::Encryption::default(),
        node_ports: 30_000..=32_767,
        bootstrap: bootstrap::Settings {
            service_ip: [10, 96, 0, 1].into(),
            advertise: [192, 0, 2, 1].into(),
            port: 6443,
            client_ca: String::new(),
            front_proxy_ca: String::new(),
        },
        signing_key: Arc::new(key),
        issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
        operators: roles,
        event_ttl: None,
        relay: None,
    })
}
