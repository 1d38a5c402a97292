//! Every operator of the table, in two replicas and with crashes and lagging caches, against the real server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

use super::{
    Operator, Settings, all,
    work::{Work, made_once},
};
use kube::Client;
use proa_kit::{
    RunConfig,
    leader::{self, ElectionConfig, Leadership},
};
use proa_operator_node_ipam::PodNetwork;
use proa_test_cluster::{Cluster, Faults, Tap};
use std::{collections::BTreeMap, time::Duration};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// Longer than any test takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks at what has become of the work.
const LOOK: Duration = Duration::from_millis(50);

/// With an authority that signs.
fn settings() -> Settings {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = params.self_signed(&key).unwrap();
    let pod_network = PodNetwork { network: "10.244.0.0/16".parse().unwrap(), node_bits: 24, reserved: 0 };
    Settings {
        authority: Some((authority.pem(), key.serialize_pem())),
        pod_network: Some(pod_network),
        load_balancer_addresses: Some("192.0.2.0/24".parse().unwrap()),
    }
}

/// A cluster that knows the operators' identities and permissions and runs none.
async fn cluster() -> Cluster {
    let mut builder = Cluster::builder().nodes(2);
    for operator in all() {
        builder = builder.identity(operator.name, (operator.rules)());
    }
    let cluster = builder.start().await.unwrap();
    timeout(PATIENCE, cluster.nodes_ready()).await.unwrap().unwrap();
    cluster
}

async fn done(work: &Work<'_>) {
    let done = async {
        while work.missing().await.is_some() {
            tokio::time::sleep(LOOK).await;
        }
    };
    if timeout(PATIENCE, done).await.is_err() {
        panic!("{}", work.missing().await.unwrap_or_default());
    }
}

/// One of two replicas.
struct Replica {
    tap: Tap,
    tasks: JoinSet<()>,
    leadership: Leadership,
}

fn replica(operator: &Operator, identity: &str, client: Client) -> Replica {
    let tap = Tap::new(Faults::default(), 0);
    let client = tap.client(client);
    let config = RunConfig { identity: identity.into(), ..RunConfig::default() };
    let election = ElectionConfig {
        lease_duration: Duration::from_secs(2),
        renew_deadline: Duration::from_millis(1500),
        retry_period: Duration::from_millis(300),
        ..ElectionConfig::new("kube-system", operator.name, identity)
    };
    let (election, leadership) =
        leader::elect(client.clone(), election, config.clock.clone(), CancellationToken::new());
    let mut tasks = JoinSet::new();
    tasks.spawn(election);
    let config = RunConfig { leadership: Some(leadership.clone()), ..config };
    tasks.spawn((operator.run)(leadership.fence(client), config, &settings()));
    Replica { tap, tasks, leadership }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_replicas_of_every_operator_one_acts_until_it_is_killed() {
    let cluster = cluster().await;
    let operators = all();
    let mut replicas = Vec::new();
    for operator in &operators {
        let mut first = replica(operator, "first", cluster.operator(operator.name));
        timeout(PATIENCE, first.leadership.gained()).await.unwrap();
        replicas.push((first, replica(operator, "second", cluster.operator(operator.name))));
    }
    let client = cluster.admin();
    let work = Work { client: &client, namespace: "before" };
    work.give().await;
    done(&work).await;
    for (operator, (first, second)) in operators.iter().zip(&replicas) {
        assert!(!first.tap.written().is_empty(), "{} has nothing to do", operator.name);
        assert_eq!(second.tap.written(), [], "both replicas of {} act", operator.name);
    }
    for (first, _) in &mut replicas {
        first.tap.crash();
        first.tasks.abort_all();
    }
    let work = Work { client: &client, namespace: "after" };
    work.give().await;
    done(&work).await;
    for (operator, (_, second)) in operators.iter().zip(&replicas) {
        assert!(!second.tap.written().is_empty(), "nobody took over {}", operator.name);
    }
    drop(replicas);
    cluster.stop().await;
}

/// Runs an operator, again after each crash.
async fn restarting(operator: Operator, client: Client, tap: Tap) {
    loop {
        let life = tap.revived();
        tokio::select! {
            () = (operator.run)(life.client(client.clone()), RunConfig::default(), &settings()) => {}
            () = life.crashed() => {}
        }
    }
}

/// The work gets done, and nothing is made twice.
async fn converges(faults: Faults, seed: u64) {
    let cluster = cluster().await;
    let mut running = JoinSet::new();
    let mut taps = Vec::new();
    for (number, operator) in (0..).zip(all()) {
        let tap = Tap::new(faults, seed ^ (number << 8));
        taps.push(tap.clone());
        let client = cluster.operator(operator.name);
        running.spawn(restarting(operator, client, tap));
    }
    let client = cluster.admin();
    let work = Work { client: &client, namespace: "work" };
    work.give().await;
    done(&work).await;
    running.shutdown().await;
    let written: Vec<_> = taps.iter().flat_map(Tap::written).collect();
    let made = work.made(&written);
    let expected = made_once();
    let more: BTreeMap<_, _> = made.iter().filter(|(what, times)| expected.get(what) < Some(times)).collect();
    assert!(more.is_empty(), "made too often, with the seed {seed}: {more:?}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k4_a_crash_at_any_write_is_made_good() {
    for seed in 0..3 {
        converges(Faults { crashes: 30, lag: Duration::ZERO }, seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k3_caches_that_lag_lead_to_nothing_being_made_twice() {
    for seed in 0..2 {
        converges(Faults { crashes: 0, lag: Duration::from_millis(60) }, seed).await;
        converges(Faults { crashes: 15, lag: Duration::from_millis(30) }, seed).await;
    }
}
