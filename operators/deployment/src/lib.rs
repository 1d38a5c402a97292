//! The deployment operator: replaces the pods of an old template by those of a new one, through replica sets.
//!
//! Owns: one replica set per template, their sizes, their revisions and history, the deployment's status. Guarantees while
//! rolling: never fewer than replicas - maxUnavailable available pods by its own doing, never more than replicas +
//! maxSurge pods. Deliberately absent: pods (the replica set's), the removed `rollbackTo` field (`kubectl rollout undo`
//! patches the template, and the old replica set is found by its template).
//! Upstream: pkg/controller/deployment/{deployment_controller,sync,rolling,recreate,progress}.go.

pub mod build;
pub mod observe;
pub mod plan;
pub mod status;

use observe::Observed;
use proa_kit::{
    Change, Error, Index, Key, Operator, Plan, Read, Reader, Results, Timestamp, Typed, View, Watch, Write,
    views::{DeploymentView, PodView, ReplicaSetView},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeploymentOperator;

impl Operator for DeploymentOperator {
    const NAME: &'static str = "deployment-controller";
    type Object = DeploymentView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<DeploymentView>().index(Index::NAMESPACE).into(),
            Watch::owned::<ReplicaSetView, DeploymentView>().index(Index::ORPHANS).also(adopters).into(),
            Watch::mapped::<PodView>(last_pods).index(Index::CONTROLLER).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&DeploymentView::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&ReplicaSetView::KIND, &["create", "delete", "patch"]),
            Write::sub(&DeploymentView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, deployment: &Arc<DeploymentView>) -> Result<Observed, Error> {
        observe::observe(reader, deployment).await
    }
    fn plan(&self, deployment: &DeploymentView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(deployment, observed, now)
    }
    fn settle(
        &self,
        deployment: &DeploymentView,
        _: &Observed,
        plan: &Plan,
        results: &Results,
        now: Timestamp,
    ) -> Option<Value> {
        status::settle(deployment, plan, results, now)
    }
}

/// An orphan wakes the deployments that may adopt it.
fn adopters(change: &Change<ReplicaSetView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(set) = change.new.as_ref().filter(|set| set.metadata.controller().is_none()) else { return };
    for deployment in reader.cache::<DeploymentView>().by(&Index::NAMESPACE, &set.metadata.namespace) {
        if !deployment.spec.selector.is_empty() && deployment.spec.selector.matches(&set.metadata.labels) {
            wake(deployment.key());
        }
    }
}

/// A pod that is gone may be the last of an old template, which is what a recreation waits for.
fn last_pods(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let (Some(pod), None) = (&change.old, &change.new) else { return };
    let Some(set) = pod.metadata.controller_key("apps", "ReplicaSet") else { return };
    let Some(set) = reader.cache::<ReplicaSetView>().get(&set) else { return };
    let Some(key) = set.metadata.controller_key("apps", "Deployment") else { return };
    if reader.cache::<DeploymentView>().get(&key).is_some_and(|deployment| deployment.spec.recreates()) {
        wake(key);
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    proa_kit::operator::operator_rules(&DeploymentOperator)
}

/// Runs it until shutdown.
pub async fn run(client: proa_kit::Client, config: proa_kit::RunConfig) {
    proa_kit::run(DeploymentOperator, client, config).await;
}
