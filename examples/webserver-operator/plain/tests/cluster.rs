//! The operator in plain kube-rs on a whole cluster in this process: the cases of `../../tests/cluster.rs`, written out to compare.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use futures::TryStreamExt as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
    events::v1::Event,
    networking::v1::Ingress,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{
    Api, CustomResourceExt as _, Resource, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
    runtime::{
        WatchStreamExt as _,
        wait::{Condition as _, conditions::is_crd_established},
        watcher,
    },
};
use proa_test_cluster::Cluster;
use serde_json::{Value, json};
use std::{pin::pin, time::Duration};
use tokio::{task::JoinHandle, time::timeout};
use webserver_operator_plain::{
    Settings,
    api::{WebServer, WebServerStatus},
    run,
};

const NAME: &str = "webserver-operator";
const PATIENCE: Duration = Duration::from_secs(60);

fn settings() -> Settings {
    Settings { domain: "sites.example".to_owned(), image: "busybox:1".to_owned() }
}

/// A cluster that knows the kind, with the role that the operator needs.
async fn start() -> Cluster {
    let all = ["get", "list", "watch", "create", "patch", "delete"];
    let rules = json!([
        {"apiGroups": ["webserver.example.com"], "resources": ["webservers"], "verbs": ["get", "list", "watch", "patch"]},
        {"apiGroups": ["webserver.example.com"], "resources": ["webservers/status"], "verbs": ["patch"]},
        {"apiGroups": [""], "resources": ["configmaps", "services"], "verbs": all},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": all},
        {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": all},
        {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "patch"]},
    ]);
    let cluster = Cluster::builder().workloads().identity(NAME, rules).nodes(2).start().await.unwrap();
    let definitions = Api::all(cluster.admin());
    definitions.create(&PostParams::default(), &WebServer::crd()).await.unwrap();
    cluster
        .until(definitions, WebServer::crd_name(), |crd| is_crd_established().matches_object(crd))
        .await
        .unwrap();
    cluster
}

/// Runs the operator until the handle is aborted.
fn operate(cluster: &Cluster) -> JoinHandle<()> {
    tokio::spawn(run(settings(), cluster.operator(NAME)))
}

fn api<K: Resource<DynamicType = (), Scope = NamespaceResourceScope>>(cluster: &Cluster) -> Api<K> {
    Api::default_namespaced(cluster.admin())
}

async fn create(cluster: &Cluster, name: &str, spec: Value) -> kube::Result<WebServer> {
    let object = json!({"apiVersion": "webserver.example.com/v1", "kind": "WebServer", "metadata": {"name": name}, "spec": spec});
    api(cluster).create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await
}

async fn change(cluster: &Cluster, name: &str, spec: Value) {
    let patch = Patch::Merge(json!({"spec": spec}));
    api::<WebServer>(cluster).patch(name, &PatchParams::default(), &patch).await.unwrap();
}

fn find<'a>(status: &'a WebServerStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

fn says(status: &WebServerStatus, kind: &str, is: &str, reason: &str) -> bool {
    find(status, kind).is_some_and(|c| c.status == is && c.reason == reason)
}

/// Waits until the status is about the present spec and has this condition.
async fn until(cluster: &Cluster, name: &str, kind: &str, is: &str, reason: &str) -> WebServer {
    let reached = |site: Option<&WebServer>| {
        let current = site.filter(|site| {
            site.status.as_ref().is_some_and(|s| Some(s.observed_generation) == site.metadata.generation)
        });
        current.and_then(|site| site.status.as_ref()).is_some_and(|status| says(status, kind, is, reason))
    };
    cluster.until(api(cluster), name, reached).await.unwrap().unwrap()
}

#[tokio::test]
async fn sites_come_change_and_go() {
    let cluster = start().await;
    let operator = operate(&cluster);
    create(&cluster, "hello", json!({"www": "<h1>Hello</h1>", "replicas": 2})).await.unwrap();
    let site = until(&cluster, "hello", "Ready", "True", "Serving").await;
    let status = site.status.clone().unwrap();
    assert_eq!(
        (status.url.as_deref(), status.ready_replicas),
        (Some("http://hello.default.sites.example/"), 2)
    );
    let ingress = api::<Ingress>(&cluster).get("hello").await.unwrap();
    assert_eq!(ingress.spec.unwrap().rules.unwrap()[0].host.as_deref(), Some("hello.default.sites.example"));
    assert_eq!(ingress.metadata.owner_references.unwrap()[0].uid, site.uid().unwrap());

    let pods = |deployment: Deployment| deployment.spec.template.metadata.unwrap().annotations.unwrap();
    let before = pods(api::<Deployment>(&cluster).get("hello").await.unwrap());
    change(&cluster, "hello", json!({"www": "<h1>Goodbye</h1>", "replicas": 3, "host": "www.example"})).await;
    let site = until(&cluster, "hello", "Ready", "True", "Serving").await;
    assert_eq!(site.status.unwrap().url.as_deref(), Some("http://www.example/"));
    assert_eq!(
        api::<ConfigMap>(&cluster).get("hello").await.unwrap().data.unwrap()["index.html"],
        "<h1>Goodbye</h1>"
    );
    assert_ne!(
        pods(api::<Deployment>(&cluster).get("hello").await.unwrap()),
        before,
        "other pods show the other page"
    );

    // What somebody else takes away or changes comes back.
    api::<Service>(&cluster).delete("hello", &DeleteParams::default()).await.unwrap();
    cluster
        .until(api::<Service>(&cluster), "hello", |service| {
            service.is_some_and(|s| s.metadata.deletion_timestamp.is_none())
        })
        .await
        .unwrap();
    let defaced = Patch::Merge(json!({"data": {"index.html": "defaced"}}));
    api::<ConfigMap>(&cluster).patch("hello", &PatchParams::default(), &defaced).await.unwrap();
    let shows = |map: Option<&ConfigMap>| {
        map.is_some_and(|map| map.data.as_ref().is_some_and(|data| data["index.html"] == "<h1>Goodbye</h1>"))
    };
    cluster.until(api::<ConfigMap>(&cluster), "hello", shows).await.unwrap();

    api::<WebServer>(&cluster).delete("hello", &DeleteParams::default()).await.unwrap();
    cluster.until(api::<WebServer>(&cluster), "hello", |site| site.is_none()).await.unwrap();
    cluster.until(api::<Deployment>(&cluster), "hello", |deployment| deployment.is_none()).await.unwrap();
    cluster.until(api::<ConfigMap>(&cluster), "hello", |map| map.is_none()).await.unwrap();
    assert!(api::<Ingress>(&cluster).get_opt("hello").await.unwrap().is_none(), "it has gone first");
    operator.abort();
    cluster.stop().await;
}

#[tokio::test]
async fn wrong_sites_are_refused_by_the_server() {
    let cluster = start().await;
    for (name, spec, field) in [
        ("no-page", json!({"replicas": 1}), "spec.www"),
        ("empty-page", json!({"www": ""}), "spec.www"),
        ("long-page", json!({"www": "x".repeat(250_001)}), "spec.www"),
        ("fewer", json!({"www": "x", "replicas": -1}), "spec.replicas"),
        ("no-host", json!({"www": "x", "host": "No_Host"}), "spec.host"),
        ("1-letter", json!({"www": "x"}), "a letter first"),
    ] {
        // Not as the type: that has all fields.
        let body = json!({"apiVersion": "webserver.example.com/v1", "kind": "WebServer", "metadata": {"name": name}, "spec": spec});
        let kind = kube::core::ApiResource::erase::<WebServer>(&());
        let sites: Api<kube::core::DynamicObject> = Api::default_namespaced_with(cluster.admin(), &kind);
        let refused =
            sites.create(&PostParams::default(), &serde_json::from_value(body).unwrap()).await.unwrap_err();
        let kube::Error::Api(status) = refused else { panic!("{name}: {refused}") };
        assert!(status.code == 422 && status.message.contains(field), "{name}: {}", status.message);
    }
    cluster.stop().await;
}

#[tokio::test]
async fn a_spec_that_cannot_work_is_told() {
    let cluster = start().await;
    let operator = operate(&cluster);
    create(&cluster, "first", json!({"www": "1", "host": "www.example"})).await.unwrap();
    until(&cluster, "first", "Ready", "True", "Serving").await;
    create(&cluster, "second", json!({"www": "2", "host": "www.example"})).await.unwrap();
    let second = until(&cluster, "second", "Accepted", "False", "HostTaken").await;
    let status = second.status.unwrap();
    assert!(says(&status, "Ready", "False", "NotAccepted") && status.url.is_none());
    assert_eq!(find(&status, "Accepted").unwrap().message, "www.example is the host of default/first");
    let about = watcher::Config::default().fields("reason=HostTaken,regarding.name=second");
    let mut told = pin!(watcher(api::<Event>(&cluster), about).applied_objects());
    timeout(PATIENCE, told.try_next()).await.unwrap().unwrap().unwrap();
    // The host becomes free.
    api::<WebServer>(&cluster).delete("first", &DeleteParams::default()).await.unwrap();
    until(&cluster, "second", "Ready", "True", "Serving").await;

    // A name that somebody else's object has: that stays as it is, and the name is taken when it is gone.
    let map = json!({"metadata": {"name": "third"}, "data": {"mine": "1"}});
    api::<ConfigMap>(&cluster)
        .create(&PostParams::default(), &serde_json::from_value(map).unwrap())
        .await
        .unwrap();
    create(&cluster, "third", json!({"www": "3"})).await.unwrap();
    until(&cluster, "third", "Accepted", "False", "NameTaken").await;
    let map = api::<ConfigMap>(&cluster).get("third").await.unwrap();
    assert_eq!(json!(map.data), json!({"mine": "1"}));
    assert!(api::<Deployment>(&cluster).get_opt("third").await.unwrap().is_none(), "nothing is half done");
    api::<ConfigMap>(&cluster).delete("third", &DeleteParams::default()).await.unwrap();
    until(&cluster, "third", "Ready", "True", "Serving").await;
    operator.abort();
    cluster.stop().await;
}

#[tokio::test]
async fn a_restarted_operator_makes_good_what_it_missed() {
    let cluster = start().await;
    let operator = operate(&cluster);
    for name in ["stays", "goes"] {
        create(&cluster, name, json!({"www": "before"})).await.unwrap();
        until(&cluster, name, "Ready", "True", "Serving").await;
    }
    let revision = |map: ConfigMap| map.metadata.resource_version;
    let untouched = revision(api::<ConfigMap>(&cluster).get("stays").await.unwrap());
    operator.abort();
    assert!(operator.await.unwrap_err().is_cancelled());
    api::<WebServer>(&cluster).delete("goes", &DeleteParams::default()).await.unwrap();
    create(&cluster, "comes", json!({"www": "new"})).await.unwrap();
    let going = api::<WebServer>(&cluster).get("goes").await.unwrap();
    assert!(going.metadata.deletion_timestamp.is_some(), "the finalizer holds it");
    let operator = operate(&cluster);
    until(&cluster, "comes", "Ready", "True", "Serving").await;
    cluster.until(api::<WebServer>(&cluster), "goes", |site| site.is_none()).await.unwrap();
    assert_eq!(
        revision(api::<ConfigMap>(&cluster).get("stays").await.unwrap()),
        untouched,
        "what is right is not written"
    );
    operator.abort();
    cluster.stop().await;
}
