//! Less important pods make room.

use crate::Cluster;
use serde_json::{Value, json};

async fn class(cluster: &Cluster, name: &str, value: i32) {
    let class = json!({"metadata": {"name": name}, "value": value});
    cluster.create("", "scheduling.k8s.io/v1/PriorityClass", class).await;
}

fn pod(name: &str, class: &str, cpu: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "priorityClassName": class, "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "c", "image": "web:1", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn condition<'a>(pod: &'a Value, kind: &str) -> &'a Value {
    let list = pod["status"]["conditions"].as_array();
    list.into_iter().flatten().find(|own| own["type"] == kind).unwrap_or(&Value::Null)
}

/// The event about a pod that made room; events are written some time after what they tell.
async fn preempted(cluster: &Cluster) -> Value {
    let events = cluster.api("default", "events.k8s.io/v1/Event");
    loop {
        let list = events.list(&kube::api::ListParams::default()).await.unwrap();
        if let Some(event) = list.iter().find(|event| event.data["reason"] == "Preempted") {
            return event.data.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_more_important_pod_gets_the_room_of_others() {
    let cluster = Cluster::start(1).await;
    cluster.until("", "v1/Node", "sim-0", |node| node["spec"]["taints"].is_null()).await;
    class(&cluster, "low", 1).await;
    class(&cluster, "medium", 100).await;
    class(&cluster, "high", 1000).await;
    cluster.create("default", "v1/Pod", pod("low", "low", "15")).await;
    cluster.create("default", "v1/Pod", pod("medium", "medium", "15")).await;
    for name in ["low", "medium"] {
        cluster.until("default", "v1/Pod", name, |pod| pod["status"]["phase"] == "Running").await;
    }
    cluster.create("default", "v1/Pod", pod("high", "high", "15")).await;
    cluster.until_gone("default", "v1/Pod", "low").await;
    let high = cluster.until("default", "v1/Pod", "high", |pod| pod["status"]["phase"] == "Running").await;
    assert_eq!(
        (&high["spec"]["nodeName"], &high["status"]["nominatedNodeName"]),
        (&json!("sim-0"), &Value::Null)
    );
    let medium = cluster.api("default", "v1/Pod").get("medium").await.unwrap();
    assert!(medium.metadata.deletion_timestamp.is_none());
    let uid = high["metadata"]["uid"].as_str().unwrap();
    let event = tokio::time::timeout(crate::PATIENCE, preempted(&cluster)).await.expect("an event");
    assert_eq!(event["note"], format!("Preempted by pod {uid} on node sim-0"));
    assert_eq!((&event["regarding"]["name"], &event["related"]["name"]), (&json!("low"), &json!("high")));
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn room_that_is_being_made_is_told() {
    let cluster = Cluster::start(0).await;
    let capacity = json!({"cpu": "2", "memory": "8Gi", "pods": "10"});
    cluster.create("", "v1/Node", json!({"metadata": {"name": "n1"}})).await;
    let patch = kube::api::Patch::Merge(json!({"status": {"capacity": capacity, "allocatable": capacity,
        "conditions": [{"type": "Ready", "status": "True"}]}}));
    let nodes = cluster.api("", "v1/Node");
    nodes.patch_status("n1", &kube::api::PatchParams::default(), &patch).await.unwrap();
    cluster.until("", "v1/Node", "n1", |node| node["spec"]["taints"].is_null()).await;
    class(&cluster, "high", 1000).await;
    cluster.create("default", "v1/Pod", pod("low", "", "2")).await;
    cluster.until("default", "v1/Pod", "low", |pod| pod["spec"]["nodeName"] == "n1").await;
    // No agent ends the pod, so it goes on going.
    cluster.create("default", "v1/Pod", pod("high", "high", "2")).await;
    let told = |pod: &Value| {
        pod["status"]["nominatedNodeName"] == "n1"
            && condition(pod, "PodScheduled")["message"]
                == "0/1 nodes are available: 1 Insufficient cpu. preemption: found a potential placement for pod on \
                    node n1, preempting 1 victims"
    };
    cluster.until("default", "v1/Pod", "high", told).await;
    let asked_to_go = |pod: &Value| {
        let own = condition(pod, "DisruptionTarget");
        pod["metadata"]["deletionTimestamp"].is_string()
            && own["status"] == "True"
            && own["reason"] == "PreemptionByScheduler"
            && own["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    };
    cluster.until("default", "v1/Pod", "low", asked_to_go).await;
    let now = kube::api::DeleteParams { grace_period_seconds: Some(0), ..Default::default() };
    cluster.api("default", "v1/Pod").delete("low", &now).await.unwrap();
    cluster.until("default", "v1/Pod", "high", |pod| pod["spec"]["nodeName"] == "n1").await;
    cluster.stop().await;
}
