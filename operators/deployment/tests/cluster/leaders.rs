//! Election of one of several replicas by a real lease.

use crate::{Cluster, PATIENCE};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use proa_kit::{
    clock::SystemClock,
    leader::{ElectionConfig, Leadership, elect},
};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

struct Replica {
    leadership: Leadership,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

fn join(cluster: &Cluster, identity: &str) -> Replica {
    join_as(
        cluster,
        ElectionConfig {
            lease_duration: Duration::from_secs(1),
            renew_deadline: Duration::from_millis(800),
            retry_period: Duration::from_millis(100),
            ..ElectionConfig::new("default", "operators", identity)
        },
    )
}

fn join_as(cluster: &Cluster, config: ElectionConfig) -> Replica {
    let shutdown = CancellationToken::new();
    let (election, leadership) =
        elect(cluster.client.clone(), config, Arc::new(SystemClock), shutdown.clone());
    Replica { leadership, shutdown, task: tokio::spawn(election) }
}

async fn holder(cluster: &Cluster) -> (Option<String>, Option<i32>) {
    let lease = Api::<Lease>::namespaced(cluster.client.clone(), "default").get("operators").await.unwrap();
    let spec = lease.spec.unwrap();
    (spec.holder_identity, spec.lease_transitions)
}

#[tokio::test]
async fn another_replica_takes_over_when_the_leader_falls_silent_or_leaves() {
    let cluster = Cluster::start().await;
    let mut first = join(&cluster, "first");
    timeout(PATIENCE, first.leadership.gained()).await.unwrap();
    let mut second = join(&cluster, "second");
    assert_eq!(holder(&cluster).await, (Some("first".to_owned()), Some(0)));
    // Falls silent: no release, as after a crash.
    first.task.abort();
    timeout(PATIENCE, second.leadership.gained()).await.unwrap();
    assert_eq!(holder(&cluster).await, (Some("second".to_owned()), Some(1)));
    // Leaves in order: the lease is released, and its own leadership ends.
    second.shutdown.cancel();
    second.task.await.unwrap();
    assert!(!second.leadership.is_leader());
    assert_eq!(holder(&cluster).await.0.as_deref(), Some(""));
    let mut third = join(&cluster, "third");
    timeout(PATIENCE, third.leadership.gained()).await.unwrap();
    third.shutdown.cancel();
    cluster.stop().await;
}

#[tokio::test]
async fn a_waiting_replica_takes_a_released_lease_though_nobody_looks_for_an_hour() {
    let cluster = Cluster::start().await;
    let patient = |identity: &str| ElectionConfig {
        lease_duration: Duration::from_secs(3600),
        renew_deadline: Duration::from_secs(3500),
        retry_period: Duration::from_secs(3400),
        ..ElectionConfig::new("default", "operators", identity)
    };
    let mut first = join_as(&cluster, patient("first"));
    timeout(PATIENCE, first.leadership.gained()).await.unwrap();
    let mut second = join_as(&cluster, patient("second"));
    first.shutdown.cancel();
    timeout(PATIENCE, second.leadership.gained()).await.unwrap();
    second.shutdown.cancel();
    cluster.stop().await;
}
