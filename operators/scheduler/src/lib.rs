//! The scheduler: binds pods to nodes.
//!
//! Owns: the node of every pod whose `schedulerName` is `default-scheduler`; the condition `PodScheduled` and the nominated
//! node of those that fit nowhere; the end of pods that make room for more important ones, and their condition
//! `DisruptionTarget`; the node (annotation) or the volume that claims get which wait for a pod. Watches nodes, pods,
//! namespaces, claims, volumes, disruption budgets, and the services and controllers that select pods into one snapshot
//! (`index`) that is changed by events and by its own decisions (a pod counts on its node from the moment it is chosen; a
//! refused binding takes that back). A decision (`plan`) looks at nodes until enough fit, from where the last one stopped,
//! and takes the best; when none fits, it asks where fewer pods would help.
//! Guarantees: nothing scans all pods for one pod that fits; a pod that fits nowhere is tried again when a node changed so
//! that it may fit, not by time; a pod never makes way for one that is not more important.
//! Deliberately absent, so far: limits and free space of volumes' drivers, extenders, other profiles.
//! Upstream: pkg/scheduler/{schedule_one,scheduler,eventhandlers}.go, backend/{cache,queue}, framework/preemption.

pub mod index;
pub mod plan;
mod status;

use index::Cluster;
use proa_kit::{
    Change, Client, Plan, Results, RunConfig, Timestamp, Typed, Watch, Write,
    decide::{self, Decider, Feed},
    queue::Queue,
    rbac::rbac_rules,
    views::{
        NamespaceView, NodeView, PersistentVolumeClaimView, PersistentVolumeView, PodDisruptionBudgetView,
        PodView, ReplicaSetView, ReplicationControllerView, ServiceView, StatefulSetView, StorageClassView,
    },
};
use serde_json::Value;

/// Bindings that are written at once.
const LANES: u16 = 96;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scheduler;

/// One of a fixed number of workers: it takes the most important pod that waits, writes the binding, and goes on.
/// Pods have an order of their own (priority, age), which the order of a queue of pods would not be.
pub type Lane = u16;

impl Decider for Scheduler {
    const NAME: &'static str = "default-scheduler";
    type Index = Cluster;
    type Item = Lane;

    fn index(&self) -> Cluster {
        Cluster::new(LANES)
    }
    fn feeds(&self) -> Vec<Watch<Feed<Cluster, Lane>>> {
        vec![
            decide::feed(NodeView::KIND, |cluster: &mut Cluster, change: &Change<NodeView>, wake| {
                cluster.node(change);
                wake_lane(cluster, wake);
            })
            .into(),
            decide::feed(PodView::KIND, |cluster: &mut Cluster, change: &Change<PodView>, wake| {
                cluster.pod(change);
                wake_lane(cluster, wake);
            })
            .into(),
            // Rules about other pods may select their namespaces by labels.
            decide::feed(
                NamespaceView::KIND,
                |cluster: &mut Cluster, change: &Change<NamespaceView>, wake| {
                    cluster.namespace(change);
                    wake_lane(cluster, wake);
                },
            )
            .into(),
            decide::feed(
                PersistentVolumeClaimView::KIND,
                |cluster: &mut Cluster, change: &Change<PersistentVolumeClaimView>, wake| {
                    cluster.claim(change);
                    wake_lane(cluster, wake);
                },
            )
            .into(),
            decide::feed(
                PersistentVolumeView::KIND,
                |cluster: &mut Cluster, change: &Change<PersistentVolumeView>, wake| {
                    cluster.volume(change);
                    wake_lane(cluster, wake);
                },
            )
            .into(),
            decide::feed(
                StorageClassView::KIND,
                |cluster: &mut Cluster, change: &Change<StorageClassView>, wake| {
                    cluster.class(change);
                    wake_lane(cluster, wake);
                },
            )
            .into(),
            // Budgets matter only when a decision is made: they decide who goes, not whether anybody does.
            decide::feed(
                PodDisruptionBudgetView::KIND,
                |cluster: &mut Cluster, change: &Change<PodDisruptionBudgetView>, _| {
                    cluster.budget(change);
                },
            )
            .into(),
            // What selects a pod decides what it is spread with; that makes none fit that did not.
            decide::feed(ServiceView::KIND, |cluster: &mut Cluster, change: &Change<ServiceView>, _| {
                cluster.service(change);
            })
            .into(),
            decide::feed(
                ReplicaSetView::KIND,
                |cluster: &mut Cluster, change: &Change<ReplicaSetView>, _| {
                    cluster.replica_set(change);
                },
            )
            .into(),
            decide::feed(
                StatefulSetView::KIND,
                |cluster: &mut Cluster, change: &Change<StatefulSetView>, _| {
                    cluster.stateful_set(change);
                },
            )
            .into(),
            decide::feed(
                ReplicationControllerView::KIND,
                |cluster: &mut Cluster, change: &Change<ReplicationControllerView>, _| {
                    cluster.replication_controller(change);
                },
            )
            .into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::sub(&PodView::KIND, "binding", &["create"]),
            Write::sub(&PodView::KIND, "status", &["patch"]),
            Write::to(&PodView::KIND, &["delete"]),
            Write::to(&PersistentVolumeClaimView::KIND, &["patch"]),
            Write::to(&PersistentVolumeView::KIND, &["patch"]),
        ]
    }
    fn plan(&self, lane: &Lane, cluster: &mut Cluster, now: Timestamp) -> Plan {
        plan::plan(*lane, cluster, now)
    }
    fn settle(&self, lane: &Lane, cluster: &mut Cluster, results: &Results, wake: &Queue<Lane>) {
        cluster.settled(*lane, results.error().is_none());
        if cluster.has_work() {
            wake.mark(*lane);
        }
    }
    /// The snapshot assumes what is written.
    fn catches_up(&self) -> bool {
        false
    }
}

fn wake_lane(cluster: &mut Cluster, wake: &Queue<Lane>) {
    if let Some(lane) = cluster.lane_to_wake() {
        wake.mark(lane);
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let feeds = Scheduler.feeds();
    rbac_rules(feeds.iter().map(Watch::watched), &Scheduler.reads(), &Scheduler.writes())
}

/// Runs it until shutdown.
pub async fn run(client: Client, mut config: RunConfig) {
    config.workers = usize::from(LANES);
    decide::decide(Scheduler, client, config).await;
}
