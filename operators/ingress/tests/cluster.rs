//! Both parts against the real server in process: the class, addresses, events, ports.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use futures::TryStreamExt;
use k8s_openapi::api::{
    core::v1::{Event, Node},
    networking::v1::{Ingress, IngressClass},
};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, wait::await_condition, watcher},
};
use proa_kit::RunConfig;
use proa_operator_ingress::{Ingress as Part, IngressConfig, PortState, Ports, node_rules, rules, run};
use proa_test_cluster::Cluster;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{net::SocketAddr, pin::pin, time::Duration};
use tokio::{net::TcpListener, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(60);
const ADDRESS: &str = "192.0.2.1";

/// A cluster with one node, `n1`, that serves ingresses on loopback.
struct World {
    cluster: Cluster,
    ports: Ports,
    stop: CancellationToken,
    _tasks: JoinSet<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    async fn start(http: SocketAddr) -> Self {
        let cluster = Cluster::builder()
            .operator("ingress", rules(), run)
            .operator("ingress-proxy", node_rules(), |_, _| std::future::ready(()))
            .start()
            .await
            .unwrap();
        let nodes: Api<Node> = Api::all(cluster.admin());
        create(&nodes, json!({"metadata": {"name": "n1"}})).await;
        let addresses = json!({"status": {"addresses": [{"type": "InternalIP", "address": ADDRESS}]}});
        nodes.patch_status("n1", &PatchParams::default(), &Patch::Merge(addresses)).await.unwrap();
        let stop = CancellationToken::new();
        let config = RunConfig { shutdown: stop.clone(), ..RunConfig::default() };
        let settings = IngressConfig {
            node: "n1".to_owned(),
            address: ADDRESS.parse().unwrap(),
            http,
            https: "127.0.0.1:0".parse().unwrap(),
        };
        let part = Part::new(&settings, &config).unwrap();
        let ports = part.ports();
        let mut tasks = JoinSet::new();
        tasks.spawn(part.run(cluster.operator("ingress-proxy"), config));
        Self { cluster, ports, stop, _tasks: tasks }
    }
    fn ingresses(&self) -> Api<Ingress> {
        Api::default_namespaced(self.cluster.admin())
    }
    /// Waits until the operator's class is there.
    async fn class(&self) -> IngressClass {
        let classes: Api<IngressClass> = Api::all(self.cluster.admin());
        let there = |class: Option<&IngressClass>| class.is_some();
        timeout(PATIENCE, await_condition(classes, "proa", there)).await.unwrap().unwrap().unwrap()
    }
    /// Waits until an ingress has just these addresses.
    async fn shows(&self, name: &str, addresses: &[&str]) {
        let wanted: Vec<_> = addresses.iter().map(|address| Some((*address).to_owned())).collect();
        let condition = move |ingress: Option<&Ingress>| {
            let status =
                ingress.and_then(|ingress| ingress.status.as_ref()?.load_balancer.as_ref()?.ingress.as_ref());
            status.into_iter().flatten().map(|entry| entry.ip.clone()).collect::<Vec<_>>() == wanted
        };
        timeout(PATIENCE, await_condition(self.ingresses(), name, condition)).await.unwrap().unwrap();
    }
}

async fn create<K: kube::Resource + Clone + std::fmt::Debug + DeserializeOwned + serde::Serialize>(
    api: &Api<K>,
    object: Value,
) -> K {
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

fn ingress(name: &str) -> Value {
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    json!({
        "metadata": {"name": name, "annotations": {"nginx.ingress.kubernetes.io/enable-cors": "true"}},
        "spec": {"rules": [{"host": "a.example", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}]},
    })
}

async fn heard_of(client: Client, reason: &str, note: &str) {
    let events: Api<Event> = Api::default_namespaced(client);
    let mut events = pin!(watcher(events, watcher::Config::default()).applied_objects());
    let heard = async {
        while let Some(event) = events.try_next().await.unwrap() {
            let is_it = event.message.as_deref().is_some_and(|own| own.contains(note));
            if is_it && event.reason.as_deref() == Some(reason) && event.type_.as_deref() == Some("Warning") {
                return;
            }
        }
        panic!("the watch ended");
    };
    timeout(PATIENCE, heard).await.unwrap();
}

async fn state(ports: &Ports, is: impl FnMut(&PortState) -> bool) {
    let mut http = ports.http.clone();
    timeout(PATIENCE, http.wait_for(is)).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_ingress_gets_class_address_and_answers() {
    let world = World::start("127.0.0.1:0".parse().unwrap()).await;
    let class = world.class().await;
    let annotations = class.metadata.annotations.unwrap();
    assert_eq!(annotations["ingressclass.kubernetes.io/is-default-class"], "true");
    assert_eq!(class.spec.unwrap().controller.as_deref(), Some("proa.dev/ingress"));
    assert_eq!(*world.ports.http.borrow(), PortState::Closed);
    let created = create(&world.ingresses(), ingress("web")).await;
    assert_eq!(created.spec.unwrap().ingress_class_name.as_deref(), Some("proa"), "the default class");
    world.shows("web", &[ADDRESS]).await;
    heard_of(world.cluster.admin(), "UnsupportedAnnotation", "nginx.ingress.kubernetes.io/enable-cors").await;
    heard_of(world.cluster.admin(), "BackendNotFound", "service \"web\" does not exist").await;
    // The address of a node that is gone does not stay.
    let foreign = json!({"status": {"loadBalancer": {"ingress": [{"ip": ADDRESS}, {"ip": "192.0.2.9"}]}}});
    world.ingresses().patch_status("web", &PatchParams::default(), &Patch::Merge(foreign)).await.unwrap();
    world.shows("web", &[ADDRESS]).await;
    world.ingresses().delete("web", &DeleteParams::default()).await.unwrap();
    state(&world.ports, |state| *state == PortState::Closed).await;
}

#[tokio::test]
async fn ingresses_of_other_classes_are_left_alone() {
    let world = World::start("127.0.0.1:0".parse().unwrap()).await;
    world.class().await;
    let mut other = ingress("other");
    other["spec"]["ingressClassName"] = json!("nginx");
    create(&world.ingresses(), other).await;
    let mut annotated = ingress("annotated");
    annotated["metadata"]["annotations"]["kubernetes.io/ingress.class"] = json!("nginx");
    let annotated = create(&world.ingresses(), annotated).await;
    assert_eq!(annotated.spec.unwrap().ingress_class_name, None, "the annotation is a class too");
    let mut own = ingress("own");
    own["metadata"]["annotations"]["kubernetes.io/ingress.class"] = json!("proa");
    create(&world.ingresses(), own).await;
    world.shows("own", &[ADDRESS]).await;
    world.shows("other", &[]).await;
    world.shows("annotated", &[]).await;
}

#[tokio::test]
async fn a_port_of_another_program_is_told_of() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let world = World::start(other.local_addr().unwrap()).await;
    world.class().await;
    create(&world.ingresses(), ingress("web")).await;
    heard_of(world.cluster.admin(), "PortNotAvailable", "node n1 does not serve this ingress: port").await;
    world.shows("web", &[]).await;
    drop(other);
    world.shows("web", &[ADDRESS]).await;
}
