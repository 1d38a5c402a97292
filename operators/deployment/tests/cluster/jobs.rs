//! Jobs from start to end.

use crate::Cluster;
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

fn job(name: &str, ends: &str, spec: Value) -> Value {
    let mut job = json!({"metadata": {"name": name}, "spec": {
        "template": {"metadata": {"labels": {"ends": ends}},
            "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}});
    for (field, value) in spec.as_object().unwrap() {
        job["spec"][field] = value.clone();
    }
    job
}

fn has(job: &Job, condition: &str) -> bool {
    let conditions = job.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|own| own.type_ == condition && own.status == "True")
}

async fn finalizers(cluster: &Cluster) -> usize {
    let pods = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap();
    pods.iter().map(|pod| pod.metadata.finalizers.as_ref().map_or(0, Vec::len)).sum()
}

#[tokio::test]
async fn a_job_completes_and_lets_its_pods_go() {
    let cluster = Cluster::start().await;
    cluster.create::<Job>(job("sum", "Succeeded", json!({"completions": 5, "parallelism": 2}))).await;
    let done = cluster.until("sum", |job: &Job| has(job, "Complete")).await;
    let status = done.status.unwrap();
    assert_eq!((status.succeeded, status.failed), (Some(5), None));
    assert!(
        status.completion_time.is_some()
            && status.uncounted_terminated_pods.is_none_or(|pods| pods.succeeded.is_none())
    );
    assert_eq!(finalizers(&cluster).await, 0);
    cluster.stop().await;
}

#[tokio::test]
async fn an_indexed_job_names_its_indexes() {
    let cluster = Cluster::start().await;
    let spec = json!({"completions": 3, "parallelism": 3, "completionMode": "Indexed"});
    cluster.create::<Job>(job("idx", "Succeeded", spec)).await;
    let done = cluster.until("idx", |job: &Job| has(job, "Complete")).await;
    assert_eq!(done.status.unwrap().completed_indexes.as_deref(), Some("0-2"));
    let pods = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap();
    let mut hosts: Vec<String> = pods.into_iter().map(|pod| pod.spec.unwrap().hostname.unwrap()).collect();
    hosts.sort();
    assert_eq!(hosts, ["idx-0", "idx-1", "idx-2"]);
    cluster.stop().await;
}

#[tokio::test]
async fn a_job_fails_at_its_limit() {
    let cluster = Cluster::start().await;
    cluster.create::<Job>(job("bad", "Failed", json!({"backoffLimit": 0}))).await;
    let failed = cluster.until("bad", |job: &Job| has(job, "Failed")).await;
    let status = failed.status.unwrap();
    assert_eq!(status.failed, Some(1));
    let reasons: Vec<_> =
        status.conditions.unwrap().into_iter().map(|condition| condition.reason.unwrap()).collect();
    assert_eq!(reasons, ["BackoffLimitExceeded", "BackoffLimitExceeded"]);
    cluster.stop().await;
}

#[tokio::test]
async fn pods_of_a_job_that_is_gone_are_let_go() {
    let cluster = Cluster::start().await;
    cluster.create::<Job>(job("gone", "Running", json!({}))).await;
    cluster
        .until("gone", |job: &Job| job.status.as_ref().is_some_and(|status| status.ready == Some(1)))
        .await;
    cluster.api::<Job>().delete("gone", &DeleteParams::background()).await.unwrap();
    cluster.until_gone::<Job>("gone").await;
    let pods = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap();
    for pod in pods {
        cluster
            .until(pod.metadata.name.as_deref().unwrap(), |pod: &Pod| {
                pod.metadata.finalizers.as_ref().is_none_or(Vec::is_empty)
            })
            .await;
    }
    cluster.stop().await;
}
