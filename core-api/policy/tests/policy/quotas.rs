//! Quotas and limit ranges, against the whole registry.

use crate::cluster::{Cluster, admin};
use futures::future::join_all;
use proa_policy::objects;
use proa_registry::request::{Body, Target, WriteOptions};
use serde_json::{Value, json};

/// A counted quota, as the operator leaves it.
async fn quota(cluster: &Cluster, name: &str, hard: Value, used: Value) {
    let quota = json!({"metadata": {"name": name}, "spec": {"hard": hard}});
    cluster.create(&objects::RESOURCE_QUOTAS, "default", quota).await.unwrap();
    let target = cluster.target(&objects::RESOURCE_QUOTAS, "default", name, &admin());
    let target = Target { subresource: "status".to_owned(), ..target };
    let status = json!({"metadata": {"name": name}, "status": {"hard": hard, "used": used}});
    cluster.update(&target, status).await.unwrap();
}

fn used(cluster: &Cluster, name: &str) -> Value {
    cluster.get(&objects::RESOURCE_QUOTAS, "default", name).unwrap()["status"]["used"].clone()
}

fn config_map(name: &str) -> Value {
    json!({"metadata": {"name": name}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn creates_at_once_never_exceed_a_limit() {
    let cluster = Cluster::start().await;
    quota(&cluster, "q", json!({"configmaps": "7"}), json!({"configmaps": "0"})).await;
    quota(&cluster, "wide", json!({"count/configmaps": "30"}), json!({"count/configmaps": "0"})).await;
    let creates = (0..40).map(|i| {
        let cluster = &cluster;
        async move { cluster.create(&objects::CONFIG_MAPS, "default", config_map(&format!("c{i}"))).await }
    });
    let results = join_all(creates).await;
    let refused: Vec<String> =
        results.iter().filter_map(|r| r.as_ref().err()).map(|e| e.message().to_owned()).collect();
    assert_eq!(results.len() - refused.len(), 7);
    for message in &refused {
        let (_, why) = message.split_once(" is forbidden: ").unwrap();
        assert_eq!(
            why,
            "exceeded quota: q, requested: configmaps=1, used: configmaps=7, limited: configmaps=7"
        );
    }
    assert_eq!(used(&cluster, "q"), json!({"configmaps": "7"}));
    assert_eq!(
        used(&cluster, "wide"),
        json!({"count/configmaps": "7"}),
        "a refused create is charged nowhere"
    );
}

#[tokio::test]
async fn what_is_not_stored_is_not_charged() {
    let cluster = Cluster::start().await;
    quota(&cluster, "q", json!({"configmaps": "2"}), json!({"configmaps": "0"})).await;
    cluster.create(&objects::CONFIG_MAPS, "default", config_map("a")).await.unwrap();
    assert_eq!(used(&cluster, "q")["configmaps"], "1");
    let again = cluster.create(&objects::CONFIG_MAPS, "default", config_map("a")).await;
    assert_eq!(again.unwrap_err().code(), 409);
    let invalid = json!({"metadata": {"name": "b"}, "data": {"a/b": "c"}});
    assert_eq!(cluster.create(&objects::CONFIG_MAPS, "default", invalid).await.unwrap_err().code(), 422);
    let target = cluster.target(&objects::CONFIG_MAPS, "default", "", &admin());
    let dry = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let body = || Body { value: config_map("b"), ..Body::default() };
    cluster.registry.create(&target, body(), &dry).await.unwrap();
    assert_eq!(used(&cluster, "q")["configmaps"], "1");
    cluster.create(&objects::CONFIG_MAPS, "default", config_map("b")).await.unwrap();
    let tried = cluster.registry.create(&target, body(), &dry).await;
    assert!(tried.is_err_and(|error| error.code() == 409), "a name that is taken comes first");
    let body = Body { value: config_map("c"), ..Body::default() };
    let tried = cluster.registry.create(&target, body, &dry).await;
    assert!(tried.is_err_and(|error| error.code() == 403), "a dry run tells what would be refused");
}

#[tokio::test]
async fn a_services_new_type_is_charged() {
    let cluster = Cluster::start().await;
    quota(&cluster, "q", json!({"services.nodeports": "1"}), json!({"services.nodeports": "0"})).await;
    let service = json!({"metadata": {"name": "s"},
        "spec": {"ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}]}});
    let mut service = cluster.create(&objects::SERVICES, "default", service).await.unwrap();
    service["spec"]["type"] = json!("NodePort");
    let target = cluster.target(&objects::SERVICES, "default", "s", &admin());
    let error = cluster.update(&target, service.clone()).await.unwrap_err();
    assert_eq!(
        error.message(),
        "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, \
         limited: services.nodeports=1"
    );
    service["spec"]["ports"].as_array_mut().unwrap().pop();
    cluster.update(&target, service).await.unwrap();
    assert_eq!(used(&cluster, "q"), json!({"services.nodeports": "1"}));
}

#[tokio::test]
async fn limit_ranges_come_before_quotas() {
    let cluster = Cluster::start().await;
    let range = json!({"metadata": {"name": "l"}, "spec": {"limits": [
        {"type": "Container", "default": {"cpu": "500m"}, "max": {"cpu": "1"}}]}});
    cluster.create(&objects::LIMIT_RANGES, "default", range).await.unwrap();
    quota(&cluster, "q", json!({"limits.cpu": "2"}), json!({"limits.cpu": "0"})).await;
    let pod = |resources: Value| {
        let container = json!({"name": "c", "image": "i", "resources": resources});
        json!({"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    };
    let error =
        cluster.create(&objects::PODS, "default", pod(json!({"limits": {"cpu": "2"}}))).await.unwrap_err();
    assert_eq!(
        error.message(),
        "pods \"p\" is forbidden: maximum cpu usage per Container is 1, but limit is 2"
    );
    let pod = cluster.create(&objects::PODS, "default", pod(json!({}))).await.unwrap();
    assert_eq!(
        pod["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
        "LimitRanger plugin set: cpu request for container c; cpu limit for container c"
    );
    assert_eq!(used(&cluster, "q"), json!({"limits.cpu": "500m"}));
}

#[tokio::test]
async fn storage_is_bounded_and_charged() {
    const CLAIMS: proa_meta::Gvr = proa_meta::Gvr::new("", "v1", "persistentvolumeclaims");
    let cluster = Cluster::start().await;
    let range = json!({"metadata": {"name": "l"},
        "spec": {"limits": [{"type": "PersistentVolumeClaim", "max": {"storage": "2Gi"}}]}});
    cluster.create(&objects::LIMIT_RANGES, "default", range).await.unwrap();
    let gold = "gold.storageclass.storage.k8s.io/requests.storage";
    quota(
        &cluster,
        "q",
        json!({"requests.storage": "3Gi", gold: "3Gi"}),
        json!({"requests.storage": "0", gold: "0"}),
    )
    .await;
    let claim = |name: &str, storage: &str| {
        json!({"metadata": {"name": name}, "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "gold",
            "resources": {"requests": {"storage": storage}}}})
    };
    cluster.create(&CLAIMS, "default", claim("a", "2Gi")).await.unwrap();
    assert_eq!(used(&cluster, "q"), json!({gold: "2Gi", "requests.storage": "2Gi"}));
    let refused = |storage: &'static str| {
        let (cluster, claim) = (&cluster, claim("b", storage));
        async move { cluster.create(&CLAIMS, "default", claim).await.unwrap_err().message().to_owned() }
    };
    assert_eq!(
        refused("3Gi").await,
        "persistentvolumeclaims \"b\" is forbidden: maximum storage usage per PersistentVolumeClaim is 2Gi, but \
         request is 3Gi"
    );
    assert_eq!(
        refused("2Gi").await,
        format!(
            "persistentvolumeclaims \"b\" is forbidden: exceeded quota: q, requested: {gold}=2Gi,requests.storage=2Gi, \
             used: {gold}=2Gi,requests.storage=2Gi, limited: {gold}=3Gi,requests.storage=3Gi"
        )
    );
}
