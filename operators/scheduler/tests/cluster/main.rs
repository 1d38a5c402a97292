//! The cluster's own operators against the real API server in process, with simulated nodes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

mod collecting;
mod namespaces;
mod placing;
mod preempting;
mod publishing;

use futures::{FutureExt, future::BoxFuture};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, PropagationPolicy},
    core::GroupVersionKind,
    runtime::wait::await_condition,
};
use proa_assembly::{Core, Settings};
use proa_kit::{CachePool, RunConfig};
use proa_node_simulator::{Delays, Simulation, simulate};
use proa_policy::{bootstrap, tokens::SigningKey};
use proa_store::Memory;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer than any test takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

type Run = fn(Client, RunConfig) -> BoxFuture<'static, ()>;

macro_rules! operators {
    ($($name:literal => $krate:ident),* $(,)?) => {
        fn operators() -> Vec<(&'static str, Value, Run)> {
            vec![$(($name, $krate::rules(), |client, config| $krate::run(client, config).boxed())),*]
        }
    };
}

operators! {
    "service-account" => proa_operator_service_account,
    "namespace" => proa_operator_namespace,
    "garbage-collector" => proa_operator_garbage_collector,
    "service" => proa_operator_service,
    "scheduler" => proa_operator_scheduler,
    "node-lifecycle" => proa_operator_node_lifecycle,
}

/// A server with operators and nodes.
pub(crate) struct Cluster {
    core: Core,
    pub(crate) client: Client,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Cluster {
    /// Starts server and operators, each with its own identity and permissions, and simulated nodes `sim-0` and so on.
    pub(crate) async fn start(nodes: u32) -> Self {
        drop(
            tracing_subscriber::fmt()
                .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
                .try_init(),
        );
        let key = SigningKey::from_pkcs8(&SigningKey::generate().unwrap()).unwrap();
        let operators = operators();
        let settings = Settings {
            services: ([10, 96, 0, 0].into(), 12),
            node_ports: 30000..=32767,
            bootstrap: bootstrap::Settings {
                service_ip: [10, 96, 0, 1].into(),
                advertise: [127, 0, 0, 1].into(),
                port: 6443,
                client_ca: "CERTIFICATE".to_owned(),
                front_proxy_ca: String::new(),
            },
            signing_key: Arc::new(key),
            issuer: "https://kubernetes.default.svc.cluster.local".to_owned(),
            operators: operators.iter().map(|(name, rules, _)| ((*name).to_owned(), rules.clone())).collect(),
            event_ttl: None,
            encryption: Default::default(),
            relay: None,
        };
        let core = Core::start(Memory::new(), settings).await.unwrap();
        let client = core.admin();
        let mut cluster = Self { core, client, tasks: JoinSet::new(), shutdown: CancellationToken::new() };
        let caches = CachePool::shared(cluster.client.clone());
        for (name, _, run) in operators {
            let shutdown = cluster.shutdown.clone();
            let config = RunConfig { caches: Some(caches.clone()), shutdown, ..RunConfig::default() };
            cluster.tasks.spawn(run(cluster.core.operator(name), config));
        }
        if nodes > 0 {
            let simulation = Simulation { nodes, delays: Delays::default(), ..Simulation::default() };
            cluster.tasks.spawn(simulate(cluster.client.clone(), simulation, cluster.shutdown.clone()));
        }
        cluster.until("default", "v1/ServiceAccount", "default", |_| true).await;
        cluster
    }
    /// The API of a kind, such as `apps/v1/ReplicaSet`, in a namespace; none for cluster-scoped kinds.
    pub(crate) fn api(&self, namespace: &str, kind: &str) -> Api<DynamicObject> {
        let (version, kind) = kind.rsplit_once('/').unwrap();
        let (group, version) = version.rsplit_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            "" => Api::all_with(self.client.clone(), &resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &resource),
        }
    }
    /// Creates an object.
    pub(crate) async fn create(&self, namespace: &str, kind: &str, mut object: Value) -> DynamicObject {
        let (version, name) = kind.rsplit_once('/').unwrap();
        object["apiVersion"] = version.into();
        object["kind"] = name.into();
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        self.api(namespace, kind).create(&PostParams::default(), &object).await.unwrap()
    }
    /// Merges a patch.
    pub(crate) async fn patch(&self, namespace: &str, kind: &str, name: &str, patch: Value) {
        let api = self.api(namespace, kind);
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
    /// Deletes an object.
    pub(crate) async fn delete(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        policy: Option<PropagationPolicy>,
    ) {
        let params = DeleteParams { propagation_policy: policy, ..DeleteParams::default() };
        self.api(namespace, kind).delete(name, &params).await.unwrap();
    }
    /// Waits until an object is as wanted; its state then.
    pub(crate) async fn until(
        &self,
        namespace: &str,
        kind: &str,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        let reached = |object: Option<&DynamicObject>| object.is_some_and(|object| wanted(&value(object)));
        let api = self.api(namespace, kind);
        match tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, reached)).await {
            Ok(object) => value(&object.unwrap().unwrap()),
            Err(_) => panic!(
                "{kind} {name} never got there: {:?}",
                api.get_opt(name).await.unwrap().map(|o| value(&o))
            ),
        }
    }
    /// Waits until there is no such object.
    pub(crate) async fn until_gone(&self, namespace: &str, kind: &str, name: &str) {
        let gone = |object: Option<&DynamicObject>| object.is_none();
        let api = self.api(namespace, kind);
        if tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, gone)).await.is_err() {
            panic!("{kind} {name} never went: {:?}", api.get_opt(name).await.unwrap().map(|o| value(&o)));
        }
    }
    pub(crate) async fn stop(mut self) {
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.core.stop().await;
    }
}

fn value(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap()
}
