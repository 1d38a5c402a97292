//! The replica set operator: keeps as many pods of a template as wanted. Replication controllers, the same of old, run by
//! the same code.
//!
//! Owns: creation and deletion of a replica set's pods, adoption of matching orphans, release of pods that no longer
//! match, the replica set's status. Guarantees: never more than 500 writes in one pass; creations start slowly, so that a
//! quota that refuses them is asked only a few times. Deliberately absent: rollouts, which are the deployment's.
//! Upstream: pkg/controller/replicaset/{replica_set,replica_set_utils}.go.

pub mod observe;
pub mod plan;
pub mod status;

use observe::Observed;
use proa_kit::{
    Change, Error, Index, Key, Operator, Plan, Read, Reader, Results, Timestamp, Typed, Watch, Write,
    views::{
        PodView, ReplicaSetView, ReplicationControllerView,
        replica_set::{ReplicaSetSpec, ReplicaSetStatus},
    },
};
use serde_json::Value;
use std::{marker::PhantomData, sync::Arc};

/// What keeps a number of pods of one template: a replica set, or a replication controller.
pub trait PodSet: Typed {
    /// Name of its operator.
    const OPERATOR: &'static str;
    /// Spec.
    fn spec(&self) -> &ReplicaSetSpec;
    /// Status.
    fn status(&self) -> &ReplicaSetStatus;
    /// Whether its status has a count of pods that are going.
    fn counts_terminating(&self) -> bool;
}

impl PodSet for ReplicaSetView {
    const OPERATOR: &'static str = "replicaset-controller";
    fn spec(&self) -> &ReplicaSetSpec {
        &self.spec
    }
    fn status(&self) -> &ReplicaSetStatus {
        &self.status
    }
    fn counts_terminating(&self) -> bool {
        true
    }
}

impl PodSet for ReplicationControllerView {
    const OPERATOR: &'static str = "replication-controller";
    fn spec(&self) -> &ReplicaSetSpec {
        &self.spec
    }
    fn status(&self) -> &ReplicaSetStatus {
        &self.status
    }
    fn counts_terminating(&self) -> bool {
        false
    }
}

/// The operator of one kind of pod sets.
#[derive(Clone, Copy, Debug)]
pub struct PodSetOperator<V>(PhantomData<fn() -> V>);

impl<V> Default for PodSetOperator<V> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// The operator of replica sets.
pub type ReplicaSetOperator = PodSetOperator<ReplicaSetView>;

impl<V: PodSet> Operator for PodSetOperator<V> {
    const NAME: &'static str = V::OPERATOR;
    type Object = V;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<V>().index(Index::CONTROLLER).index(Index::NAMESPACE).into(),
            Watch::owned::<PodView, V>().index(Index::ORPHANS).also(adopters::<V>).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&V::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PodView::KIND, &["create", "delete", "patch"]),
            Write::sub(&V::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, set: &Arc<V>) -> Result<Observed, Error> {
        observe::observe(reader, &**set).await
    }
    fn plan(&self, set: &V, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(set, observed, now)
    }
    fn settle(
        &self,
        set: &V,
        observed: &Observed,
        plan: &Plan,
        results: &Results,
        now: Timestamp,
    ) -> Option<Value> {
        status::settle(set, observed, plan, results, now)
    }
}

/// Replication controllers, run as an operator of their own.
pub mod replication {
    use super::PodSetOperator;
    use proa_kit::{Client, RunConfig, operator::operator_rules, views::ReplicationControllerView};
    use serde_json::Value;

    /// RBAC rules that follow from its declared watches and writes.
    pub fn rules() -> Value {
        operator_rules(&PodSetOperator::<ReplicationControllerView>::default())
    }

    /// Runs it until shutdown.
    pub async fn run(client: Client, config: RunConfig) {
        proa_kit::run(PodSetOperator::<ReplicationControllerView>::default(), client, config).await;
    }
}

/// An orphan wakes the replica sets that may adopt it.
fn adopters<V: PodSet>(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(pod) = change.new.as_ref().filter(|pod| pod.metadata.controller().is_none()) else { return };
    if pod.metadata.labels.is_empty() {
        return;
    }
    for set in reader.cache::<V>().by(&Index::NAMESPACE, &pod.metadata.namespace) {
        if set.spec().selector.matches(&pod.metadata.labels) {
            wake(set.key());
        }
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    proa_kit::operator::operator_rules(&ReplicaSetOperator::default())
}

/// Runs it until shutdown.
pub async fn run(client: proa_kit::Client, config: proa_kit::RunConfig) {
    proa_kit::run(ReplicaSetOperator::default(), client, config).await;
}
