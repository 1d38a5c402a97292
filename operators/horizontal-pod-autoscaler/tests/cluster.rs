//! Autoscaling in a cluster in process. The metrics APIs are definitions of the test: who serves them does not matter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Event;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, wait::await_condition, watcher},
};
use proa_test_cluster::Cluster;
use serde_json::{Value, json};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

fn api(client: &Client, group: &str, version: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let gvk = GroupVersionKind::gvk(group, version, kind);
    Api::namespaced_with(client.clone(), "default", &ApiResource::from_gvk_with_plural(&gvk, plural))
}

fn autoscalers(client: &Client) -> Api<DynamicObject> {
    api(client, "autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
}

fn deployments(client: &Client) -> Api<DynamicObject> {
    api(client, "apps", "v1", "Deployment", "deployments")
}

fn pods(client: &Client) -> Api<DynamicObject> {
    api(client, "", "v1", "Pod", "pods")
}

async fn create(api: &Api<DynamicObject>, object: Value) -> DynamicObject {
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

async fn merge(api: &Api<DynamicObject>, name: &str, patch: Value) {
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// Waits until an object is as it should be.
async fn until(api: &Api<DynamicObject>, name: &str, is: impl Fn(&Value) -> bool) -> Value {
    let holds = |object: Option<&DynamicObject>| {
        object.is_some_and(|object| is(&serde_json::to_value(object).unwrap()))
    };
    let waited = tokio::time::timeout(PATIENCE, await_condition(api.clone(), name, holds)).await;
    let found = match waited {
        Ok(found) => found.unwrap(),
        Err(_) => panic!("{name} stays {:#}", serde_json::to_value(api.get(name).await.unwrap()).unwrap()),
    };
    serde_json::to_value(found.unwrap()).unwrap()
}

async fn define(client: &Client, group: &str, version: &str, kind: &str, plural: &str, subresources: Value) {
    let gvk = GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let all = ApiResource::from_gvk_with_plural(&gvk, "customresourcedefinitions");
    let definitions: Api<DynamicObject> = Api::all_with(client.clone(), &all);
    let name = format!("{plural}.{group}");
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
            "versions": [{"name": version, "served": true, "storage": true, "subresources": subresources,
                "schema": {"openAPIV3Schema": schema}}]}});
    create(&definitions, definition).await;
    let established = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array();
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Established" && c["status"] == "True"))
    };
    until(&definitions, &name, established).await;
}

/// Says what each pod of `web` uses.
async fn measure(client: &Client, cpu: &str) {
    let figures = api(client, "metrics.k8s.io", "v1beta1", "PodMetrics", "pods");
    for pod in pods(client).list(&ListParams::default().labels("app=web")).await.unwrap() {
        let name = pod.name_any();
        let ready = |pod: &Value| {
            let conditions = pod["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
        };
        let pod = until(&pods(client), &name, ready).await;
        let at =
            pod["status"]["conditions"].as_array().unwrap().iter().find(|c| c["type"] == "Ready").unwrap();
        let metrics = json!({"apiVersion": "metrics.k8s.io/v1beta1", "kind": "PodMetrics",
            "metadata": {"name": name, "labels": {"app": "web"}},
            "timestamp": at["lastTransitionTime"], "window": "0s",
            "containers": [{"name": "c", "usage": {"cpu": cpu, "memory": "1Mi"}}]});
        let apply = PatchParams::apply("test").force();
        figures.patch(&name, &apply, &Patch::Apply(metrics)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_deployment_grows_and_an_idle_one_shrinks() {
    let cluster = Cluster::builder()
        .operator(
            "service-account",
            proa_operator_service_account::rules(),
            proa_operator_service_account::run,
        )
        .operator("deployment", proa_operator_deployment::rules(), proa_operator_deployment::run)
        .operator("replicaset", proa_operator_replicaset::rules(), proa_operator_replicaset::run)
        .operator("scheduler", proa_operator_scheduler::rules(), proa_operator_scheduler::run)
        .operator(
            "horizontal-pod-autoscaler",
            proa_operator_horizontal_pod_autoscaler::rules(),
            proa_operator_horizontal_pod_autoscaler::run,
        )
        .nodes(1)
        .start()
        .await
        .unwrap();
    cluster.nodes_ready().await.unwrap();
    let client = cluster.admin();
    let (autoscalers, deployments) = (autoscalers(&client), deployments(&client));

    let accounts = api(&client, "", "v1", "ServiceAccount", "serviceaccounts");
    until(&accounts, "default", Value::is_object).await;
    let container = json!({"name": "c", "image": "i", "resources": {"requests": {"cpu": "100m"}}});
    create(
        &deployments,
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]}}}}),
    )
    .await;
    let all_ready = |replicas: i64| move |object: &Value| object["status"]["readyReplicas"] == replicas;
    until(&deployments, "web", all_ready(1)).await;

    // Nobody serves metrics.
    let metric = json!({"type": "Resource", "resource": {"name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 50}}});
    create(
        &autoscalers,
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "web"}, "spec": {"minReplicas": 1, "maxReplicas": 5, "metrics": [metric],
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}}}}),
    )
    .await;
    let reason = |kind: &'static str, reason: &'static str| {
        move |object: &Value| {
            let conditions = object["status"]["conditions"].as_array();
            conditions.is_some_and(|all| all.iter().any(|c| c["type"] == kind && c["reason"] == reason))
        }
    };
    let failed = until(&autoscalers, "web", reason("ScalingActive", "FailedGetResourceMetric")).await;
    let message = failed["status"]["conditions"][1]["message"].as_str().unwrap();
    assert_eq!(
        message,
        "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for \
         resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested \
         resource (get pods.metrics.k8s.io)"
    );

    // A changed spec is looked at at once.
    define(&client, "metrics.k8s.io", "v1beta1", "PodMetrics", "pods", Value::Null).await;
    measure(&client, "200m").await;
    merge(&autoscalers, "web", json!({"spec": {"maxReplicas": 4}})).await;
    let grown = until(&autoscalers, "web", |object| object["status"]["desiredReplicas"] == 4).await;
    assert_eq!(grown["status"]["currentMetrics"][0]["resource"]["current"]["averageUtilization"], 200);
    assert_eq!(grown["status"]["observedGeneration"], grown["metadata"]["generation"]);
    until(&deployments, "web", all_ready(4)).await;

    measure(&client, "10m").await;
    merge(&autoscalers, "web", json!({"spec": {"maxReplicas": 6}})).await;
    let shrunk = until(&autoscalers, "web", |object| object["status"]["desiredReplicas"] == 1).await;
    assert!(reason("AbleToScale", "SucceededRescale")(&shrunk));
    until(&deployments, "web", |object| object["spec"]["replicas"] == 1).await;

    let events: Api<Event> = Api::namespaced(client.clone(), "default");
    let of = watcher::Config::default().fields("involvedObject.name=web,reason=SuccessfulRescale");
    let told = watcher(events, of).applied_objects().try_filter_map(async |event| Ok(event.message));
    let told = told.take(2).try_collect::<Vec<String>>();
    let mut notes = tokio::time::timeout(PATIENCE, told).await.unwrap().unwrap();
    notes.sort();
    assert_eq!(notes[0], "New size: 1; reason: All metrics below target");
    assert_eq!(
        notes[1],
        "New size: 4; reason: cpu resource utilization (percentage of request) above target"
    );
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_kind_with_a_scale_follows_a_metric_from_outside() {
    let cluster = Cluster::builder()
        .operator(
            "horizontal-pod-autoscaler",
            proa_operator_horizontal_pod_autoscaler::rules(),
            proa_operator_horizontal_pod_autoscaler::run,
        )
        .start()
        .await
        .unwrap();
    let client = cluster.admin();
    let scale = json!({"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}});
    define(&client, "example.com", "v1", "Worker", "workers", scale).await;
    define(&client, "external.metrics.k8s.io", "v1beta1", "ExternalMetricValue", "waiting", Value::Null)
        .await;
    let workers = api(&client, "example.com", "v1", "Worker", "workers");
    create(
        &workers,
        json!({"apiVersion": "example.com/v1", "kind": "Worker", "metadata": {"name": "w"},
        "spec": {"replicas": 1}}),
    )
    .await;
    let status = json!({"status": {"replicas": 1, "selector": "app=w"}});
    workers.patch_status("w", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    let values = api(&client, "external.metrics.k8s.io", "v1beta1", "ExternalMetricValue", "waiting");
    for (name, queue, value) in [("a", "x", "12"), ("b", "x", "17500m"), ("c", "y", "900")] {
        create(
            &values,
            json!({"apiVersion": "external.metrics.k8s.io/v1beta1", "kind": "ExternalMetricValue",
            "metadata": {"name": name, "labels": {"queue": queue}}, "metricName": "waiting", "value": value,
            "timestamp": "2026-01-01T00:00:00Z"}),
        )
        .await;
    }
    let autoscalers = autoscalers(&client);
    let metric = json!({"type": "External", "external": {"target": {"type": "AverageValue", "averageValue": "10"},
        "metric": {"name": "waiting", "selector": {"matchLabels": {"queue": "x"}}}}});
    create(
        &autoscalers,
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "w"}, "spec": {"maxReplicas": 5, "metrics": [metric],
            "scaleTargetRef": {"apiVersion": "example.com/v1", "kind": "Worker", "name": "w"}}}),
    )
    .await;
    until(&workers, "w", |object| object["spec"]["replicas"] == 3).await;
    let shown = until(&autoscalers, "w", |object| object["status"]["desiredReplicas"] == 3).await;
    assert_eq!(shown["status"]["currentMetrics"][0]["external"]["current"]["averageValue"], "29500m");

    // A second one of a kind that does not exist.
    create(
        &autoscalers,
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "x"}, "spec": {"maxReplicas": 5,
            "scaleTargetRef": {"apiVersion": "example.com/v1", "kind": "Idler", "name": "w"}}}),
    )
    .await;
    let failed = until(&autoscalers, "x", |object| object["status"]["conditions"].is_array()).await;
    let message = &failed["status"]["conditions"][0]["message"];
    assert_eq!(
        message,
        "the HPA controller was unable to get the target's current scale: no matches for kind \"Idler\" in group \
         \"example.com\""
    );
    cluster.stop().await;
}
