//! Pods on nodes: placed, not placed, evicted.

use crate::Cluster;
use serde_json::{Value, json};

fn pod(name: &str, spec: &Value) -> Value {
    let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": [
        {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": "1"}}}]}});
    for (key, value) in spec.as_object().into_iter().flatten() {
        pod["spec"][key] = value.clone();
    }
    pod
}

fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let list = object["status"]["conditions"].as_array();
    list.into_iter().flatten().find(|own| own["type"] == kind).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_run_and_are_spread() {
    let cluster = Cluster::start(3).await;
    let service =
        json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    cluster.create("default", "v1/Service", service).await;
    for node in ["sim-0", "sim-1", "sim-2"] {
        let ready =
            |node: &Value| condition(node, "Ready")["status"] == "True" && node["spec"]["taints"].is_null();
        cluster.until("", "v1/Node", node, ready).await;
    }
    let names = ["a", "b", "c", "d", "e", "f"];
    for name in names {
        let mut pod = pod(name, &json!({}));
        pod["metadata"]["labels"] = json!({"app": "web"});
        cluster.create("default", "v1/Pod", pod).await;
    }
    for name in names {
        cluster.until("default", "v1/Pod", name, |pod| condition(pod, "Ready")["status"] == "True").await;
    }
    let pods = cluster.api("default", "v1/Pod").list(&kube::api::ListParams::default()).await.unwrap();
    for node in ["sim-0", "sim-1", "sim-2"] {
        assert_eq!(pods.iter().filter(|pod| pod.data["spec"]["nodeName"] == node).count(), 2, "{node}");
    }
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_fits_nowhere_is_told_why_and_placed_once_it_fits() {
    let cluster = Cluster::start(1).await;
    let picky = pod("picky", &json!({"nodeSelector": {"disk": "ssd"}}));
    cluster.until("", "v1/Node", "sim-0", |node| node["spec"]["taints"].is_null()).await;
    cluster.create("default", "v1/Pod", picky).await;
    let told = |pod: &Value| {
        let own = condition(pod, "PodScheduled");
        own["reason"] == "Unschedulable"
            && own["message"]
                == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: \
                    0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    };
    cluster.until("default", "v1/Pod", "picky", told).await;
    cluster.patch("", "v1/Node", "sim-0", json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    let placed = |pod: &Value| {
        condition(pod, "PodScheduled")["status"] == "True" && pod["status"]["phase"] == "Running"
    };
    cluster.until("default", "v1/Pod", "picky", placed).await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taint_evicts_who_does_not_tolerate_it() {
    let cluster = Cluster::start(1).await;
    cluster.create("default", "v1/Pod", pod("weak", &json!({}))).await;
    let tolerations = json!({"tolerations": [{"key": "go", "operator": "Exists", "effect": "NoExecute"}]});
    cluster.create("default", "v1/Pod", pod("strong", &tolerations)).await;
    for name in ["weak", "strong"] {
        cluster.until("default", "v1/Pod", name, |pod| pod["status"]["phase"] == "Running").await;
    }
    cluster
        .patch("", "v1/Node", "sim-0", json!({"spec": {"taints": [{"key": "go", "effect": "NoExecute"}]}}))
        .await;
    cluster.until_gone("default", "v1/Pod", "weak").await;
    let strong = cluster.api("default", "v1/Pod").get("strong").await.unwrap();
    assert!(strong.metadata.deletion_timestamp.is_none());
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_a_node_become_taints_and_go_again() {
    let cluster = Cluster::start(0).await;
    cluster.create("", "v1/Node", json!({"metadata": {"name": "n1"}})).await;
    let report = |status: &str| json!({"status": {"conditions": [{"type": "Ready", "status": status}, {"type": "DiskPressure", "status": "False"}]}});
    let say = async |status: &str| {
        let patch = kube::api::Patch::Merge(report(status));
        cluster
            .api("", "v1/Node")
            .patch_status("n1", &kube::api::PatchParams::default(), &patch)
            .await
            .unwrap();
    };
    say("True").await;
    cluster.until("", "v1/Node", "n1", |node| node["spec"]["taints"].is_null()).await;
    say("False").await;
    let closed = |node: &Value| node["spec"]["taints"][0]["key"] == "node.kubernetes.io/not-ready";
    cluster.until("", "v1/Node", "n1", closed).await;
    say("True").await;
    cluster.until("", "v1/Node", "n1", |node| node["spec"]["taints"].is_null()).await;
    cluster.stop().await;
}
