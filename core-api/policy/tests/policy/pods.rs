//! Admission of pods, binding, eviction; protection of namespaces.

use crate::cluster::{Cluster, admin, pod};
use proa_meta::Gvr;
use proa_policy::objects;
use proa_registry::request::Target;
use serde_json::{Value, json};
use std::sync::Arc;

const BINDINGS: Gvr = Gvr::new("", "v1", "bindings");

fn target(cluster: &Cluster, name: &str) -> Target {
    cluster.target(&objects::PODS, "default", name, &admin())
}

#[tokio::test]
async fn a_pod_gets_what_the_plugins_give() {
    let cluster = Cluster::start().await;
    let created = cluster.create(&objects::PODS, "default", pod("web")).await.unwrap();
    let spec = &created["spec"];
    assert_eq!(
        (&spec["serviceAccountName"], &spec["serviceAccount"]),
        (&json!("default"), &json!("default"))
    );
    assert_eq!((&spec["priority"], &spec["preemptionPolicy"]), (&json!(0), &json!("PreemptLowerPriority")));
    assert_eq!(spec["tolerations"].as_array().map(Vec::len), Some(2));
    let volume = spec["volumes"][0]["name"].as_str().unwrap();
    assert!(volume.starts_with("kube-api-access-"), "{volume}");
    assert_eq!(
        spec["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"],
        3607
    );
    assert_eq!(spec["containers"][0]["volumeMounts"][0]["name"], volume);
}

#[tokio::test]
async fn pods_that_name_what_is_not_there_are_refused() {
    let cluster = Cluster::start().await;
    for (field, name, want) in [
        (
            "serviceAccountName",
            "gone",
            "pods \"web\" is forbidden: error looking up service account default/gone: serviceaccount \"gone\" not found",
        ),
        ("priorityClassName", "gone", "pods \"web\" is forbidden: no PriorityClass with name gone was found"),
        (
            "runtimeClassName",
            "gone",
            "pods \"web\" is forbidden: pod rejected: RuntimeClass \"gone\" not found",
        ),
    ] {
        let mut web = pod("web");
        web["spec"][field] = json!(name);
        let error = cluster.create(&objects::PODS, "default", web).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (403, want));
    }
}

#[tokio::test]
async fn a_pod_waits_for_the_default_account_of_a_new_namespace() {
    let cluster = Arc::new(Cluster::start().await);
    let namespace = json!({"metadata": {"name": "fresh"}});
    cluster.create(&objects::NAMESPACES, "", namespace).await.unwrap();
    let create = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.create(&objects::PODS, "fresh", pod("web")).await }
    });
    tokio::task::yield_now().await;
    let account = json!({"metadata": {"name": "default"}});
    cluster.create(&objects::SERVICE_ACCOUNTS, "fresh", account).await.unwrap();
    assert!(create.await.unwrap().is_ok());
}

#[tokio::test]
async fn priority_comes_from_the_class() {
    let cluster = Cluster::start().await;
    let class =
        |name: &str, default: bool| json!({"metadata": {"name": name}, "value": 7, "globalDefault": default});
    cluster.create(&objects::PRIORITY_CLASSES, "", class("seven", true)).await.unwrap();
    let error = cluster.create(&objects::PRIORITY_CLASSES, "", class("eight", true)).await.unwrap_err();
    assert!(
        error
            .message()
            .ends_with("PriorityClass seven is already marked as default. Only one default can exist")
    );
    let created = cluster.create(&objects::PODS, "default", pod("web")).await.unwrap();
    assert_eq!(
        (&created["spec"]["priority"], &created["spec"]["priorityClassName"]),
        (&json!(7), &json!("seven"))
    );
}

#[tokio::test]
async fn namespaces_enforce_pod_security() {
    let cluster = Cluster::start().await;
    let label = "pod-security.kubernetes.io/enforce";
    let namespace = |level: &str| json!({"metadata": {"name": "strict", "labels": {label: level}}});
    let error = cluster.create(&objects::NAMESPACES, "", namespace("odd")).await.unwrap_err();
    assert_eq!(error.code(), 422);
    cluster.create(&objects::NAMESPACES, "", namespace("baseline")).await.unwrap();
    let account = json!({"metadata": {"name": "default"}});
    cluster.create(&objects::SERVICE_ACCOUNTS, "strict", account).await.unwrap();
    cluster.create(&objects::PODS, "strict", pod("plain")).await.unwrap();
    let mut wild = pod("wild");
    wild["spec"]["hostNetwork"] = json!(true);
    let error = cluster.create(&objects::PODS, "strict", wild).await.unwrap_err();
    assert_eq!(
        error.message(),
        "pods \"wild\" is forbidden: violates PodSecurity \"baseline:latest\": host namespaces (hostNetwork=true)"
    );
}

#[tokio::test]
async fn the_clusters_own_namespaces_stay() {
    let cluster = Cluster::start().await;
    for name in ["default", "kube-system", "kube-public"] {
        let error = cluster.delete(&objects::NAMESPACES, "", name).await.unwrap_err();
        let want = format!("namespaces {name:?} is forbidden: this namespace may not be deleted");
        assert_eq!((error.code(), error.message()), (403, want.as_str()));
    }
    assert!(cluster.delete(&objects::NAMESPACES, "", "kube-node-lease").await.is_ok());
}

#[tokio::test]
async fn finalizing_removes_a_namespace() {
    let cluster = Cluster::start().await;
    cluster.create(&objects::NAMESPACES, "", json!({"metadata": {"name": "gone"}})).await.unwrap();
    cluster.delete(&objects::NAMESPACES, "", "gone").await.unwrap();
    let mut namespace = cluster.get(&objects::NAMESPACES, "", "gone").unwrap();
    assert_eq!(namespace["status"]["phase"], "Terminating");
    namespace["spec"]["finalizers"] = json!([]);
    let target = cluster.target(&objects::NAMESPACES, "", "gone", &admin());
    let finalize = Target { subresource: "finalize".to_owned(), ..target };
    cluster.update(&finalize, namespace).await.unwrap();
    assert!(cluster.get(&objects::NAMESPACES, "", "gone").is_none());
}

fn binding(pod: &str, node: &str) -> Value {
    json!({"metadata": {"name": pod}, "target": {"kind": "Node", "name": node}})
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let cluster = Cluster::start().await;
    let zone = "topology.kubernetes.io/zone";
    let node = json!({"metadata": {"name": "n1", "labels": {zone: "z1"}}});
    cluster.create(&objects::NODES, "", node).await.unwrap();
    cluster.create(&objects::PODS, "default", pod("web")).await.unwrap();
    let target = target(&cluster, "web");
    let status = cluster.post(&target, "binding", binding("web", "n1")).await.unwrap();
    assert_eq!((&status["kind"], &status["status"]), (&json!("Status"), &json!("Success")));
    let bound = cluster.get(&objects::PODS, "default", "web").unwrap();
    assert_eq!(
        (&bound["spec"]["nodeName"], &bound["metadata"]["labels"][zone]),
        (&json!("n1"), &json!("z1"))
    );
    let conditions = bound["status"]["conditions"].as_array().unwrap();
    assert!(conditions.iter().any(|c| c["type"] == "PodScheduled" && c["status"] == "True"));
    let error = cluster.post(&target, "binding", binding("web", "n2")).await.unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (
            409,
            "Operation cannot be fulfilled on pods/binding \"web\": pod web is already assigned to node \"n1\""
        )
    );
    let error = cluster.post(&target, "binding", binding("other", "n1")).await.unwrap_err();
    assert_eq!(error.code(), 400);
    cluster.create(&objects::PODS, "default", pod("old-style")).await.unwrap();
    cluster.create(&BINDINGS, "default", binding("old-style", "n1")).await.unwrap();
    assert_eq!(cluster.get(&objects::PODS, "default", "old-style").unwrap()["spec"]["nodeName"], "n1");
}

#[tokio::test]
async fn an_unbound_pod_is_evicted_at_once_and_a_bound_one_gracefully() {
    let cluster = Cluster::start().await;
    let eviction = |name: &str| json!({"metadata": {"name": name, "namespace": "default"}});
    cluster.create(&objects::PODS, "default", pod("pending")).await.unwrap();
    cluster.post(&target(&cluster, "pending"), "eviction", eviction("pending")).await.unwrap();
    assert!(cluster.get(&objects::PODS, "default", "pending").is_none());

    cluster.create(&objects::PODS, "default", pod("web")).await.unwrap();
    cluster.post(&target(&cluster, "web"), "binding", binding("web", "n1")).await.unwrap();
    let mut dry = eviction("web");
    dry["deleteOptions"] = json!({"dryRun": ["All"]});
    cluster.post(&target(&cluster, "web"), "eviction", dry).await.unwrap();
    let untouched = cluster.get(&objects::PODS, "default", "web").unwrap();
    assert!(untouched["metadata"].get("deletionTimestamp").is_none());
    cluster.post(&target(&cluster, "web"), "eviction", eviction("web")).await.unwrap();
    let evicted = cluster.get(&objects::PODS, "default", "web").unwrap();
    assert!(evicted["metadata"].get("deletionTimestamp").is_some());
    let conditions = evicted["status"]["conditions"].as_array().unwrap();
    assert!(
        conditions.iter().any(|c| c["type"] == "DisruptionTarget" && c["reason"] == "EvictionByEvictionAPI")
    );
    let error = cluster.post(&target(&cluster, "gone"), "eviction", eviction("gone")).await.unwrap_err();
    assert_eq!(error.code(), 404);
}
