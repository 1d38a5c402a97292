//! The replica set operator: keeps as many pods of a template as wanted.
//!
//! Owns: creation and deletion of a replica set's pods, adoption of matching orphans, release of pods that no longer
//! match, the replica set's status. Guarantees: never more than 500 writes in one pass; creations start slowly, so that a
//! quota that refuses them is asked only a few times. Deliberately absent: rollouts, which are the deployment's.
//! Upstream: pkg/controller/replicaset/{replica_set,replica_set_utils}.go.

pub mod observe;
pub mod plan;
pub mod status;

use observe::Observed;
use proa_kit::Timestamp;
use proa_kit::{
    Change, Error, Index, Key, Operator, Plan, Read, Reader, Results, Typed, View, Watch, Write,
    views::{PodView, ReplicaSetView},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplicaSetOperator;

impl Operator for ReplicaSetOperator {
    const NAME: &'static str = "replicaset-controller";
    type Object = ReplicaSetView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<ReplicaSetView>().index(Index::CONTROLLER).index(Index::NAMESPACE).into(),
            Watch::owned::<PodView, ReplicaSetView>().index(Index::ORPHANS).also(adopters).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&ReplicaSetView::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PodView::KIND, &["create", "delete", "patch"]),
            Write::sub(&ReplicaSetView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, set: &Arc<ReplicaSetView>) -> Result<Observed, Error> {
        observe::observe(reader, set).await
    }
    fn plan(&self, set: &ReplicaSetView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(set, observed, now)
    }
    fn settle(
        &self,
        set: &ReplicaSetView,
        observed: &Observed,
        plan: &Plan,
        results: &Results,
        now: Timestamp,
    ) -> Option<Value> {
        status::settle(set, observed, plan, results, now)
    }
}

/// An orphan wakes the replica sets that may adopt it.
fn adopters(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(pod) = change.new.as_ref().filter(|pod| pod.metadata.controller().is_none()) else { return };
    if pod.metadata.labels.is_empty() {
        return;
    }
    for set in reader.cache::<ReplicaSetView>().by(&Index::NAMESPACE, &pod.metadata.namespace) {
        if set.spec.selector.matches(&pod.metadata.labels) {
            wake(set.key());
        }
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    proa_kit::operator::operator_rules(&ReplicaSetOperator)
}

/// Runs it until shutdown.
pub async fn run(client: proa_kit::Client, config: proa_kit::RunConfig) {
    proa_kit::run(ReplicaSetOperator, client, config).await;
}
