//! The daemon set operator: one pod of a template on every node that it fits.
//!
//! Owns: the daemon set's pods, its revisions (ControllerRevisions), rolling replacement within maxUnavailable or
//! maxSurge, its status. A pod names its node by node affinity and is bound by the scheduler; it tolerates what nodes are
//! tainted with while they are not well. A failed pod is deleted at most once a second per node, then less and less often.
//! Upstream: pkg/controller/daemon/{daemon_controller,update}.go, pkg/controller/daemon/util/daemonset_util.go.

pub mod build;
pub mod observe;
pub mod plan;
pub mod status;

use observe::{FailureBackoff, Observed};
use plan::nodes::Fit;
use proa_kit::{
    Change, Error, Index, Key, Operator, Plan, Read, Reader, Timestamp, Typed, View, Watch, Write,
    views::{ControllerRevisionView, DaemonSetView, NodeView, PodView},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Debug, Default)]
pub struct DaemonSetOperator {
    backoff: FailureBackoff,
}

impl Operator for DaemonSetOperator {
    const NAME: &'static str = "daemonset-controller";
    type Object = DaemonSetView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<DaemonSetView>().index(Index::NAMESPACE).into(),
            Watch::owned::<PodView, DaemonSetView>().index(Index::ORPHANS).also(adopters).into(),
            // As upstream, a revision wakes no one: what others do to revisions stays until there is something to do.
            Watch::read::<ControllerRevisionView>().index(Index::CONTROLLER).index(Index::ORPHANS).into(),
            Watch::mapped::<NodeView>(concerned).into(),
        ]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&DaemonSetView::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&PodView::KIND, &["create", "delete", "patch"]),
            Write::to(&ControllerRevisionView::KIND, &["create", "delete", "patch"]),
            Write::sub(&DaemonSetView::KIND, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, set: &Arc<DaemonSetView>) -> Result<Observed, Error> {
        observe::observe(reader, set, &self.backoff).await
    }
    fn plan(&self, set: &DaemonSetView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(set, observed, now)
    }
}

/// RBAC rules that follow from what it watches and writes.
pub fn rules() -> Value {
    proa_kit::operator::operator_rules(&DaemonSetOperator::default())
}

/// Runs it until shutdown.
pub async fn run(client: proa_kit::Client, config: proa_kit::RunConfig) {
    proa_kit::run(DaemonSetOperator::default(), client, config).await;
}

/// An orphan wakes the daemon sets that may adopt it.
fn adopters(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let Some(pod) = change.new.as_ref().filter(|pod| pod.metadata.controller().is_none()) else { return };
    if pod.metadata.labels.is_empty() {
        return;
    }
    for set in reader.cache::<DaemonSetView>().by(&Index::NAMESPACE, &pod.metadata.namespace) {
        if set.spec.selector.matches(&pod.metadata.labels) {
            wake(set.key());
        }
    }
}

/// A node wakes the daemon sets that fit it before or after, unless nothing changed that decides.
fn concerned(change: &Change<NodeView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && old.metadata.labels == new.metadata.labels
        && old.spec.taints == new.spec.taints
    {
        return;
    }
    for set in reader.cache::<DaemonSetView>().list() {
        let Some(spec) = plan::nodes::daemon_spec(&set) else { continue };
        let fits: Vec<Fit> = change.both().map(|node| plan::nodes::fit(&spec, node)).collect();
        // With one state only, the node came or went; with two equal ones nothing changes for this set.
        if fits.len() == 1 || fits.first() != fits.last() || set.status.number_misscheduled > 0 {
            wake(set.key());
        }
    }
}
