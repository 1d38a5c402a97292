//! Evictions and disruption budgets, against the whole registry.

use crate::cluster::{Cluster, admin};
use proa_policy::objects;
use proa_registry::request::Target;
use serde_json::{Value, json};

async fn pod(cluster: &Cluster, name: &str, is_ready: bool) -> Target {
    let pod = json!({"metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"nodeName": "n", "containers": [{"name": "c", "image": "i"}]}});
    let mut pod = cluster.create(&objects::PODS, "default", pod).await.unwrap();
    let target = cluster.target(&objects::PODS, "default", name, &admin());
    let ready = if is_ready { "True" } else { "False" };
    pod["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]});
    cluster.update(&Target { subresource: "status".to_owned(), ..target.clone() }, pod).await.unwrap();
    target
}

/// A budget with a status as the operator leaves it.
async fn budget(cluster: &Cluster, spec: Value, allowed: i64, healthy: i64) {
    let mut budget = json!({"metadata": {"name": "b"}, "spec": spec});
    budget["spec"]["selector"] = json!({"matchLabels": {"app": "web"}});
    let made = cluster.create(&objects::POD_DISRUPTION_BUDGETS, "default", budget).await.unwrap();
    let target = cluster.target(&objects::POD_DISRUPTION_BUDGETS, "default", "b", &admin());
    let mut status = made.clone();
    status["status"] = json!({"observedGeneration": 1, "disruptionsAllowed": allowed, "currentHealthy": healthy,
        "desiredHealthy": 2, "expectedPods": 3});
    cluster.update(&Target { subresource: "status".to_owned(), ..target }, status).await.unwrap();
}

async fn evict(cluster: &Cluster, pod: &Target) -> proa_meta::ApiResult<Value> {
    cluster.post(pod, "eviction", json!({"metadata": {"name": pod.name, "namespace": "default"}})).await
}

#[tokio::test]
async fn an_eviction_takes_from_the_budget_until_there_is_nothing_left() {
    let cluster = Cluster::start().await;
    let (a, b) = (pod(&cluster, "a", true).await, pod(&cluster, "b", true).await);
    budget(&cluster, json!({"minAvailable": 2}), 1, 3).await;
    evict(&cluster, &a).await.unwrap();
    let status = cluster.get(&objects::POD_DISRUPTION_BUDGETS, "default", "b").unwrap()["status"].clone();
    assert_eq!(status["disruptionsAllowed"], 0);
    assert!(status["disruptedPods"]["a"].is_string(), "{status}");
    let refused = evict(&cluster, &b).await.unwrap_err();
    assert_eq!(refused.code(), 429);
    assert_eq!(refused.message(), "Cannot evict pod as it would violate the pod's disruption budget.");
    let causes = refused.details().map(|details| details.causes.clone()).unwrap_or_default();
    assert_eq!(causes[0].reason, "DisruptionBudget");
    let left = cluster.get(&objects::PODS, "default", "b").unwrap();
    assert!(left["metadata"].get("deletionTimestamp").is_none(), "the refused one stays");
}

#[tokio::test]
async fn unhealthy_pods_go_as_their_policy_says() {
    for (policy, healthy, goes) in [
        (None, 2, true),
        (None, 1, false),
        (Some("IfHealthyBudget"), 1, false),
        (Some("AlwaysAllow"), 1, true),
    ] {
        let cluster = Cluster::start().await;
        let target = pod(&cluster, "a", false).await;
        let mut spec = json!({"minAvailable": 2});
        if let Some(policy) = policy {
            spec["unhealthyPodEvictionPolicy"] = json!(policy);
        }
        budget(&cluster, spec, 0, healthy).await;
        assert_eq!(evict(&cluster, &target).await.is_ok(), goes, "{policy:?} with {healthy} healthy pods");
    }
}

#[tokio::test]
async fn a_budget_that_was_changed_waits_for_its_count() {
    let cluster = Cluster::start().await;
    let target = pod(&cluster, "a", true).await;
    budget(&cluster, json!({"minAvailable": 1}), 1, 3).await;
    let of_budget = cluster.target(&objects::POD_DISRUPTION_BUDGETS, "default", "b", &admin());
    let mut changed = cluster.get(&objects::POD_DISRUPTION_BUDGETS, "default", "b").unwrap();
    changed["spec"]["minAvailable"] = json!(3);
    cluster.update(&of_budget, changed).await.unwrap();
    let refused = evict(&cluster, &target).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.details().map(|details| details.retry_after_seconds)),
        (429, Some(10))
    );
}
