//! The stateful set operator: pods with numbers that keep their names.
//!
//! Owns: the set's pods, the claims that they mount and who owns those, its revisions (ControllerRevisions), rolling
//! replacement from the last pod to the first, its status. Guarantees: at most one pod of each number; with `OrderedReady` a pod is created only when all before it are
//! available, and at most one is deleted at a time; a rolling update keeps within `maxUnavailable`.
//! A pod is made after its claims, and never with a claim that is going. Claims stay when their pod goes, unless the
//! retention policy says otherwise; the garbage collector removes them then, for whom they are owned by.
//! Upstream: pkg/controller/statefulset/{stateful_set,stateful_set_control,stateful_set_utils}.go.

pub mod build;
pub mod observe;
pub mod plan;
pub mod status;

use observe::Observed;
use proa_kit::{
    Change, Error, Index, Key, Operator, Plan, Read, Reader, Timestamp, Typed, View, Watch, Write,
    views::{ControllerRevisionView, PersistentVolumeClaimView, PodView, StatefulSetView},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatefulSetOperator;

impl Operator for StatefulSetOperator {
    const NAME: &'static str = "statefulset-controller";
    type Object = StatefulSetView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<StatefulSetView>().index(Index::NAMESPACE).into(),
            Watch::owned::<PodView, StatefulSetView>().index(Index::ORPHANS).also(adopters).into(),
            Watch::mapped::<PersistentVolumeClaimView>(without_claim).into(),
            // As upstream, a revision wakes no one: what others do to revisions stays until there is something to do.
            Watch::read::<ControllerRevisionView>().index(Index::CONTROLLER).index(Index::ORPHANS).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&StatefulSetView::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PodView::KIND, &["create", "delete", "patch"]),
            Write::to(&PersistentVolumeClaimView::KIND, &["create", "patch"]),
            Write::to(&ControllerRevisionView::KIND, &["create", "delete", "patch"]),
            Write::sub(&StatefulSetView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, set: &Arc<StatefulSetView>) -> Result<Observed, Error> {
        observe::observe(reader, set).await
    }
    fn plan(&self, set: &StatefulSetView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(set, observed, now)
    }
}

/// RBAC rules that follow from what it watches and writes.
pub fn rules() -> Value {
    proa_kit::operator::operator_rules(&StatefulSetOperator)
}

/// Runs it until shutdown.
pub async fn run(client: proa_kit::Client, config: proa_kit::RunConfig) {
    proa_kit::run(StatefulSetOperator, client, config).await;
}

/// An orphan wakes the stateful sets that may adopt it.
fn adopters(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(pod) = change.new.as_ref().filter(|pod| pod.metadata.controller().is_none()) else { return };
    if pod.metadata.labels.is_empty() {
        return;
    }
    for set in reader.cache::<StatefulSetView>().by(&Index::NAMESPACE, &pod.metadata.namespace) {
        if set.spec.selector.matches(&pod.metadata.labels) && build::ordinal(&set, pod).is_some() {
            wake(set.key());
        }
    }
}

/// A claim that is gone wakes the stateful sets that may make it anew: a pod may wait for that.
fn without_claim(change: &Change<PersistentVolumeClaimView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let (Some(gone), None) = (&change.old, &change.new) else { return };
    for set in reader.cache::<StatefulSetView>().by(&Index::NAMESPACE, &gone.metadata.namespace) {
        let is_own = |template: &proa_kit::template::Template| {
            let (_, ordinal) = gone.metadata.name.rsplit_once('-').unwrap_or_default();
            let ordinal = ordinal.parse().ok();
            ordinal.is_some_and(|number| {
                *build::claim_name(&set, template.value(), number) == *gone.metadata.name
            })
        };
        if set.spec.volume_claim_templates.iter().any(is_own) {
            wake(set.key());
        }
    }
}
