//! Rollouts as users see them.

use crate::Cluster;
use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet},
    core::v1::Pod,
    events::v1::Event,
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

const REVISION: &str = "deployment.kubernetes.io/revision";

fn web(replicas: i32) -> Value {
    json!({"metadata": {"name": "web"}, "spec": {
        "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}})
}

fn image(tag: &str) -> Patch<Value> {
    let container = json!({"name": "web", "image": format!("web:{tag}")});
    Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": [container]}}}}))
}

/// As `kubectl rollout status` judges, of one revision.
fn is_rolled_out(deployment: &Deployment, revision: &str) -> bool {
    let (spec, status) = (&deployment.spec, deployment.status.clone().unwrap_or_default());
    let wanted = spec.replicas;
    let annotations = deployment.metadata.annotations.clone().unwrap_or_default();
    let progressed = status.conditions.iter().flatten().any(|condition| {
        condition.type_.as_deref() == Some("Progressing")
            && condition.reason.as_deref() == Some("NewReplicaSetAvailable")
    });
    status.observed_generation == deployment.metadata.generation
        && annotations.get(REVISION).is_some_and(|own| own == revision)
        && (status.updated_replicas, status.replicas, status.available_replicas) == (wanted, wanted, wanted)
        && progressed
}

impl Cluster {
    async fn rolled_out(&self, revision: &str) -> Deployment {
        self.until("web", |deployment| is_rolled_out(deployment, revision)).await
    }
    /// Revision and size of each replica set.
    async fn sets(&self) -> Vec<(String, i32)> {
        let sets = self.api::<ReplicaSet>().list(&ListParams::default()).await.unwrap();
        let mut sets: Vec<_> = sets
            .into_iter()
            .map(|set| {
                let revision = set.metadata.annotations.unwrap()[REVISION].clone();
                (revision, set.spec.replicas.unwrap())
            })
            .collect();
        sets.sort();
        sets
    }
    async fn update(&self, patch: Patch<Value>) {
        self.api::<Deployment>().patch("web", &PatchParams::default(), &patch).await.unwrap();
    }
}

fn sizes(sets: &[(&str, i32)]) -> Vec<(String, i32)> {
    sets.iter().map(|(revision, size)| ((*revision).to_owned(), *size)).collect()
}

#[tokio::test]
async fn a_rollout_and_its_undo_reach_every_pod() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(3)).await;
    cluster.rolled_out("1").await;
    cluster.update(image("2")).await;
    cluster.rolled_out("2").await;
    assert_eq!(cluster.sets().await, sizes(&[("1", 0), ("2", 3)]));
    cluster.update(image("1")).await;
    cluster.rolled_out("3").await;
    assert_eq!(cluster.sets().await, sizes(&[("2", 0), ("3", 3)]));
    let pods = cluster.api::<Pod>().list(&ListParams::default()).await.unwrap();
    let live: Vec<&Pod> = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect();
    assert!(
        live.iter().all(|pod| pod.spec.as_ref().unwrap().containers[0].image.as_deref() == Some("web:1"))
    );
    assert_eq!(live.len(), 3);
    cluster.stop().await;
}

#[tokio::test]
async fn scaling_and_pausing_are_obeyed() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(1)).await;
    cluster.rolled_out("1").await;
    cluster.update(Patch::Merge(json!({"spec": {"replicas": 4}}))).await;
    cluster.rolled_out("1").await;
    cluster.update(Patch::Merge(json!({"spec": {"paused": true}}))).await;
    cluster.update(image("2")).await;
    cluster
        .until("web", |deployment: &Deployment| {
            let status = deployment.status.clone().unwrap_or_default();
            status.observed_generation == deployment.metadata.generation
                && status.conditions.iter().flatten().any(|c| c.reason.as_deref() == Some("DeploymentPaused"))
        })
        .await;
    assert_eq!(cluster.sets().await, sizes(&[("1", 4)]));
    cluster.update(Patch::Merge(json!({"spec": {"paused": false}}))).await;
    cluster.rolled_out("2").await;
    cluster.stop().await;
}

#[tokio::test]
async fn k4_operators_that_are_killed_and_restarted_converge() {
    let mut cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(5)).await;
    for tag in 2..6 {
        cluster.kill_operators().await;
        cluster.update(image(&tag.to_string())).await;
        cluster.start_operators();
        cluster
            .until("web", |deployment: &Deployment| {
                deployment.status.as_ref().and_then(|status| status.observed_generation)
                    == deployment.metadata.generation
            })
            .await;
    }
    cluster
        .until("web", |deployment: &Deployment| {
            let revision = deployment.metadata.annotations.as_ref().and_then(|all| all.get(REVISION));
            revision.is_some_and(|revision| is_rolled_out(deployment, revision))
        })
        .await;
    let sets = cluster.sets().await;
    assert_eq!(sets.iter().map(|(_, size)| size).sum::<i32>(), 5, "{sets:?}");
    cluster.stop().await;
}

#[tokio::test]
async fn events_tell_what_was_scaled() {
    let cluster = Cluster::start().await;
    cluster.create::<Deployment>(web(2)).await;
    cluster.rolled_out("1").await;
    // The event was recorded before the rollout could end, but is written on its own time.
    let events = cluster.api::<Event>();
    let mut watch = Box::pin(kube::runtime::watcher(events, kube::runtime::watcher::Config::default()));
    let found = async {
        while let Some(event) = futures::StreamExt::next(&mut watch).await {
            use kube::runtime::watcher::Event::{Apply, InitApply};
            if let Ok(Apply(event) | InitApply(event)) = event
                && event.reason.as_deref() == Some("ScalingReplicaSet")
            {
                return event;
            }
        }
        panic!("the watch ended")
    };
    let event = tokio::time::timeout(crate::PATIENCE, found).await.unwrap();
    let note = event.note.unwrap();
    assert!(note.starts_with("Scaled up replica set web-") && note.ends_with(" from 0 to 2"), "{note}");
    assert_eq!(event.regarding.unwrap().kind.as_deref(), Some("Deployment"));
    cluster.stop().await;
}

#[tokio::test]
async fn a_deleted_pod_is_replaced_and_an_orphan_adopted() {
    let cluster = Cluster::start().await;
    let orphan = json!({"metadata": {"name": "orphan", "labels": {"app": "solo"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    cluster.create::<Pod>(orphan).await;
    let set = json!({"metadata": {"name": "solo"}, "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "solo"}},
        "template": {"metadata": {"labels": {"app": "solo"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    cluster.create::<ReplicaSet>(set).await;
    let available =
        |set: &ReplicaSet| set.status.as_ref().is_some_and(|status| status.available_replicas == Some(2));
    cluster.until("solo", available).await;
    let owners = cluster.api::<Pod>().get("orphan").await.unwrap().metadata.owner_references.unwrap();
    assert_eq!(owners[0].name, "solo");
    cluster.api::<Pod>().delete("orphan", &DeleteParams::default()).await.unwrap();
    cluster.until_gone::<Pod>("orphan").await;
    cluster.until("solo", available).await;
    cluster.stop().await;
}
