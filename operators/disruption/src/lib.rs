//! The disruption operator: says how many of the pods that a PodDisruptionBudget guards may go now.
//!
//! Owns: the status of budgets (healthy, desired and expected pods, what evictions have taken), and the condition
//! `DisruptionTarget` of pods that were to be disrupted and were not. Evictions take from a budget in the API server;
//! what they took is given back here once the pod has gone, or after two minutes if it has not. Guarantees: a budget
//! whose pods cannot be counted allows nothing.
//! Upstream: pkg/controller/disruption/disruption.go.

pub mod observe;
pub mod plan;
pub mod status;

use observe::{Kinds, Observed};
use plan::stale;
use proa_kit::{
    Change, Client, Error, Index, Key, Operator, Plan, Read, Reader, RunConfig, Timestamp, Typed, Watch,
    Write,
    rbac::rbac_rules,
    views::{DeploymentView, PodDisruptionBudgetView, PodView, ReplicaSetView, View},
    watch::WatchOf,
};
use serde_json::Value;
use std::sync::Arc;

/// The operator of budgets.
#[derive(Debug, Default)]
pub struct DisruptionOperator {
    kinds: Kinds,
}

impl Operator for DisruptionOperator {
    const NAME: &'static str = "disruption-controller";
    type Object = PodDisruptionBudgetView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<PodDisruptionBudgetView>().index(Index::NAMESPACE).into(),
            Watch::mapped::<PodView>(guarding).index(Index::NAMESPACE).into(),
            Watch::mapped::<ReplicaSetView>(|change, reader, wake| {
                scaled(change, |set| set.spec.replicas(), reader, wake);
            })
            .into(),
            Watch::mapped::<DeploymentView>(|change, reader, wake| {
                scaled(change, |deployment| deployment.spec.replicas(), reader, wake);
            })
            .into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        // Whatever controls pods may have a scale.
        vec![Read { group: "*".into(), resource: "*/scale".into() }]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::sub(&PodDisruptionBudgetView::KIND, "status", &["patch"])]
    }
    async fn observe(
        &self,
        reader: &Reader,
        budget: &Arc<PodDisruptionBudgetView>,
    ) -> Result<Observed, Error> {
        observe::observe(reader, budget, &self.kinds).await
    }
    fn plan(&self, budget: &PodDisruptionBudgetView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(budget, observed, now)
    }
}

/// What counts of a pod that a budget guards.
fn counted<'p>(
    budget: &PodDisruptionBudgetView,
    pod: Option<&'p PodView>,
) -> Option<impl PartialEq + use<'p>> {
    let pod = pod.filter(|pod| budget.guards(pod))?;
    let meta = &pod.metadata;
    Some((
        &meta.uid,
        meta.is_deleting(),
        pod.is_ready(),
        pod.is_terminal(),
        meta.controller().map(|owner| &owner.uid),
    ))
}

/// A pod wakes the budgets that guard it, or did, when something has changed that they count.
fn guarding(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(latest) = change.latest() else { return };
    for budget in reader.cache::<PodDisruptionBudgetView>().by(&Index::NAMESPACE, &latest.metadata.namespace)
    {
        if counted(&budget, change.old.as_deref()) != counted(&budget, change.new.as_deref()) {
            wake(budget.key());
        }
    }
}

/// A controller that was scaled wakes the budgets of its namespace: one of them may count by it.
fn scaled<V: View>(change: &Change<V>, replicas: fn(&V) -> i32, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let of = |object: &Option<Arc<V>>| object.as_ref().map(|object| replicas(object));
    if of(&change.old) == of(&change.new) {
        return;
    }
    let Some(latest) = change.latest() else { return };
    for budget in reader.cache::<PodDisruptionBudgetView>().by(&Index::NAMESPACE, &latest.meta().namespace) {
        wake(budget.key());
    }
}

/// The operator of pods that were to be disrupted.
#[derive(Clone, Copy, Debug, Default)]
pub struct StaleOperator;

impl Operator for StaleOperator {
    const NAME: &'static str = "disruption-controller";
    type Object = PodView;
    type Observed = ();

    fn watches(&self) -> Vec<Watch> {
        let marked = |change: &Change<PodView>, trigger: &proa_kit::watch::Trigger| {
            if let Some(pod) = change.new.as_ref().filter(|pod| stale::target(pod).is_some()) {
                trigger.queue.mark(pod.key());
            }
        };
        vec![WatchOf::<PodView>::of(PodView::KIND).wakes(marked).into()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::sub(&PodView::KIND, "status", &["patch"])]
    }
    async fn observe(&self, _: &Reader, _: &Arc<PodView>) -> Result<(), Error> {
        Ok(())
    }
    fn plan(&self, pod: &PodView, (): &(), now: Timestamp) -> Plan {
        stale::plan(pod, now)
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let (budgets, pods) = (DisruptionOperator::default(), StaleOperator);
    let watches: Vec<Watch> = budgets.watches().into_iter().chain(pods.watches()).collect();
    let writes: Vec<Write> = budgets.writes().into_iter().chain(pods.writes()).collect();
    rbac_rules(watches.iter().map(Watch::watched), &budgets.reads(), &writes)
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    let budgets = proa_kit::run(DisruptionOperator::default(), client.clone(), config.clone());
    let pods = proa_kit::run(StaleOperator, client, config);
    futures::join!(budgets, pods);
}
