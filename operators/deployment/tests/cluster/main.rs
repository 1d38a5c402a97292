//! Workload operators against the real API server in process, with a stand-in for scheduler and nodes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a failed test says where"
)]

mod caches;
mod daemon_sets;
mod deployments;
mod jobs;
mod leaders;
mod nodes;
mod projectors;

use futures::FutureExt;
use kube::{
    Api, Client, Resource, api::PostParams, core::NamespaceResourceScope, runtime::wait::await_condition,
};
use proa_assembly::{Core, Settings};
use proa_kit::{CachePool, RunConfig};
use proa_policy::{bootstrap, tokens::SigningKey};
use proa_store::Memory;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::{fmt::Debug, sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer than any test takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server with operators.
pub(crate) struct Cluster {
    core: Core,
    /// May do everything.
    pub(crate) client: Client,
    operators: JoinSet<()>,
    shutdown: CancellationToken,
}

type Rules = fn() -> Value;

const OPERATORS: [(&str, Rules); 4] = [
    ("deployment", proa_operator_deployment::rules),
    ("replicaset", proa_operator_replicaset::rules),
    ("daemonset", proa_operator_daemonset::rules),
    ("job", proa_operator_job::rules),
];

impl Cluster {
    /// Starts server and operators, each with its own identity and permissions.
    pub(crate) async fn start() -> Self {
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let settings = Settings {
            services: ([10, 96, 0, 0].into(), 12),
            node_ports: 30000..=32767,
            bootstrap: bootstrap::Settings {
                service_ip: [10, 96, 0, 1].into(),
                advertise: [127, 0, 0, 1].into(),
                port: 6443,
                client_ca: String::new(),
                front_proxy_ca: String::new(),
            },
            signing_key: Arc::new(key),
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            operators: OPERATORS.iter().map(|(name, rules)| ((*name).to_owned(), rules())).collect(),
            event_ttl: None,
            encryption: Default::default(),
            relay: None,
        };
        let core = Core::start(Memory::new(), settings).await.unwrap();
        let client = core.admin();
        let mut cluster =
            Self { core, client, operators: JoinSet::new(), shutdown: CancellationToken::new() };
        cluster
            .create::<k8s_openapi::api::core::v1::ServiceAccount>(
                serde_json::json!({"metadata": {"name": "default"}}),
            )
            .await;
        cluster.start_operators();
        cluster
    }
    /// Starts the operators, with caches of their own process.
    pub(crate) fn start_operators(&mut self) {
        self.shutdown = CancellationToken::new();
        let caches = CachePool::shared(self.client.clone());
        for (name, _) in OPERATORS {
            let config = RunConfig {
                caches: Some(caches.clone()),
                shutdown: self.shutdown.clone(),
                ..RunConfig::default()
            };
            let client = self.core.operator(name);
            self.operators.spawn(match name {
                "deployment" => proa_operator_deployment::run(client, config).boxed(),
                "replicaset" => proa_operator_replicaset::run(client, config).boxed(),
                "daemonset" => proa_operator_daemonset::run(client, config).boxed(),
                _ => proa_operator_job::run(client, config).boxed(),
            });
        }
        let config = RunConfig { shutdown: self.shutdown.clone(), ..RunConfig::default() };
        self.operators.spawn(proa_kit::run(nodes::Nodes, self.client.clone(), config));
    }
    /// Stops the operators wherever they are.
    pub(crate) async fn kill_operators(&mut self) {
        self.operators.shutdown().await;
    }
    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), "default")
    }
    pub(crate) async fn create<K>(&self, object: Value) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Serialize
            + Clone
            + Debug,
    {
        let object: K = serde_json::from_value(object).unwrap();
        self.api::<K>().create(&PostParams::default(), &object).await.unwrap()
    }
    /// Waits until an object is as wanted; its state then.
    pub(crate) async fn until<K>(&self, name: &str, wanted: impl Fn(&K) -> bool) -> K
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Serialize
            + Clone
            + Debug
            + Send
            + 'static,
    {
        let reached = |object: Option<&K>| object.is_some_and(&wanted);
        match tokio::time::timeout(PATIENCE, await_condition(self.api::<K>(), name, reached)).await {
            Ok(object) => object.unwrap().unwrap(),
            Err(_) => panic!("{name} never got there: {}", self.text::<K>(name).await),
        }
    }
    /// Waits until there is no such object.
    pub(crate) async fn until_gone<K>(&self, name: &str)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Serialize
            + Clone
            + Debug
            + Send
            + 'static,
    {
        let gone = |object: Option<&K>| object.is_none();
        if tokio::time::timeout(PATIENCE, await_condition(self.api::<K>(), name, gone)).await.is_err() {
            panic!("{name} never went: {}", self.text::<K>(name).await);
        }
    }
    async fn text<K>(&self, name: &str) -> String
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + DeserializeOwned
            + Serialize
            + Clone
            + Debug,
    {
        serde_json::to_string(&self.api::<K>().get_opt(name).await.unwrap()).unwrap()
    }
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while self.operators.join_next().await.is_some() {}
        self.core.stop().await;
    }
}
