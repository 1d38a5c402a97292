//! Services and who answers for them.

use crate::Cluster;
use kube::api::ListParams;
use serde_json::{Value, json};

async fn slices(cluster: &Cluster) -> Vec<Value> {
    let selector = ListParams::default().labels("kubernetes.io/service-name=web");
    let slices = cluster.api("default", "discovery.k8s.io/v1/EndpointSlice").list(&selector).await.unwrap();
    slices.iter().map(|slice| slice.data.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_publishes_its_pods_while_it_exists() {
    let cluster = Cluster::start(1).await;
    let service = json!({"metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}});
    cluster.create("default", "v1/Service", service).await;
    let empty = |endpoints: &Value| endpoints["subsets"].as_array().is_none_or(Vec::is_empty);
    cluster.until("default", "v1/Endpoints", "web", empty).await;
    let pod = json!({"metadata": {"name": "a", "labels": {"app": "web"}}, "spec": {"containers": [
        {"name": "c", "image": "web:1", "ports": [{"name": "web", "containerPort": 8080}]}]}});
    cluster.create("default", "v1/Pod", pod).await;
    let published = |endpoints: &Value| {
        let subset = &endpoints["subsets"][0];
        subset["addresses"][0]["targetRef"]["name"] == "a" && subset["ports"][0]["port"] == 8080
    };
    cluster.until("default", "v1/Endpoints", "web", published).await;
    let slices = slices(&cluster).await;
    let [slice] = &*slices else { panic!("{slices:?}") };
    assert_eq!(slice["ports"][0]["port"], 8080);
    assert_eq!(slice["endpoints"][0]["targetRef"]["name"], "a");
    assert_eq!(slice["endpoints"][0]["nodeName"], "sim-0");
    cluster.delete("default", "v1/Pod", "a", None).await;
    cluster.until("default", "v1/Endpoints", "web", empty).await;
    cluster.delete("default", "v1/Service", "web", None).await;
    cluster.until_gone("default", "v1/Endpoints", "web").await;
    let gone = async {
        while !self::slices(&cluster).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::PATIENCE, gone).await.expect("slices go with their service");
    cluster.stop().await;
}
