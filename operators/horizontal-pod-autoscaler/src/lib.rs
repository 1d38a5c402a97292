//! The horizontal pod autoscaler: as many replicas as the metrics ask for.
//!
//! Owns: the scale of whatever a HorizontalPodAutoscaler names, and the autoscaler's status. Metrics are samples that
//! nobody tells of, so each autoscaler is looked at every fifteen seconds, at a time of its own; a changed spec counts at
//! once. Guarantees: never fewer or more replicas than the spec allows; without figures nothing is scaled down.
//! Figures come from `metrics.k8s.io`, `custom.metrics.k8s.io` and `external.metrics.k8s.io`, whoever serves them.
//! Recommendations and changes are remembered in memory only, as upstream.
//! Upstream: pkg/controller/podautoscaler/{horizontal,replica_calculator}.go.

pub mod observe;
pub mod plan;
pub mod status;

use observe::{Memory, Observed};
use proa_kit::{
    Change, Client, Error, Index, Key, Operator, Plan, Read, Reader, Results, RunConfig, Timestamp, Typed,
    View, Watch, Write,
    views::{HorizontalPodAutoscalerView, PodView},
    watch::{Trigger, WatchOf},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Debug, Default)]
pub struct AutoscalerOperator {
    memory: Memory,
}

impl Operator for AutoscalerOperator {
    const NAME: &'static str = "horizontal-pod-autoscaler";
    type Object = HorizontalPodAutoscalerView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            WatchOf::<HorizontalPodAutoscalerView>::of(HorizontalPodAutoscalerView::KIND)
                .wakes(changed)
                .into(),
            Watch::read::<PodView>().index(Index::NAMESPACE).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        let read = |group: &str, resource: &str| Read { group: group.into(), resource: resource.into() };
        vec![
            read("*", "*/scale"),
            read("metrics.k8s.io", "pods"),
            // Their resources are named by whoever measures.
            read("custom.metrics.k8s.io", "*"),
            read("external.metrics.k8s.io", "*"),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write { resource: "*/scale".into(), ..Write::any(&["patch"]) },
            Write::sub(&HorizontalPodAutoscalerView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(
        &self,
        reader: &Reader,
        autoscaler: &Arc<HorizontalPodAutoscalerView>,
    ) -> Result<Observed, Error> {
        Ok(observe::observe(reader, autoscaler, &self.memory).await)
    }
    fn plan(&self, autoscaler: &HorizontalPodAutoscalerView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(autoscaler, observed, now)
    }
    fn settle(
        &self,
        autoscaler: &HorizontalPodAutoscalerView,
        observed: &Observed,
        _: &Plan,
        results: &Results,
        now: Timestamp,
    ) -> Option<Value> {
        let decision = observed.decision(autoscaler, now);
        let failure = results.error().map(Error::message);
        let change = decision.change().filter(|_| failure.is_none());
        self.memory.learn(autoscaler, &decision.lesson, change, now);
        status::settled(autoscaler, decision, failure.as_deref(), now)
    }
    fn gone(&self, _: &Reader, key: &Key) -> Plan {
        self.memory.forget(key);
        Plan::default()
    }
}

/// Its own status says nothing new.
fn changed(change: &Change<HorizontalPodAutoscalerView>, trigger: &Trigger) {
    let what =
        |view: &Arc<HorizontalPodAutoscalerView>| (view.metadata.uid.clone(), view.metadata.generation);
    if change.old.as_ref().map(what) != change.new.as_ref().map(what)
        && let Some(latest) = change.latest()
    {
        trigger.queue.mark(latest.key());
    }
}

/// RBAC rules that follow from what it watches, reads and writes.
pub fn rules() -> Value {
    proa_kit::operator::operator_rules(&AutoscalerOperator::default())
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    proa_kit::run(AutoscalerOperator::default(), client, config).await;
}
