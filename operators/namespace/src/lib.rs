//! The namespace operator: empties namespaces that are being deleted, then lets them go.
//!
//! Owns: the finalizer `kubernetes` in the spec of namespaces and the conditions of terminating ones. Nothing is watched
//! for a namespace that is not going; for one that is, every namespaced kind that can be deleted is listed (metadata
//! only) at each pass, definitions' kinds too. Guarantees: pods go first, and everything else only once they are gone
//! (KEP-5080); the finalizer is removed only after a pass that found nothing, in all kinds, from the server itself.
//! Waits: for pods by their events; for others' finalizers by looking again, since any kind may carry them.
//! Upstream: pkg/controller/namespace/{namespace_controller.go,deletion/*.go}.

pub mod observe;
pub mod plan;
pub mod status;

use observe::Observed;
use proa_kit::{
    Change, Client, Error, Key, Kind, Operator, Plan, Read, Reader, Results, RunConfig, Timestamp, Typed,
    Watch, Write,
    operator::operator_rules,
    views::{NamespaceView, PodView},
};
use serde_json::Value;
use std::sync::Arc;

pub(crate) const NAMESPACES: Kind = NamespaceView::KIND;
pub(crate) const PODS: Kind = PodView::KIND;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamespaceOperator;

impl Operator for NamespaceOperator {
    const NAME: &'static str = "namespace-controller";
    type Object = NamespaceView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::primary::<NamespaceView>().into(), Watch::mapped::<PodView>(emptied).into()]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::any()]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::any(&["delete"]),
            Write::sub(&NAMESPACES, "finalize", &["update"]),
            Write::sub(&NAMESPACES, "status", &["patch"]),
        ]
    }
    async fn observe(&self, reader: &Reader, namespace: &Arc<NamespaceView>) -> Result<Observed, Error> {
        observe::observe(reader, namespace).await
    }
    fn plan(&self, namespace: &NamespaceView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(namespace, observed, now)
    }
    fn settle(
        &self,
        namespace: &NamespaceView,
        observed: &Observed,
        plan: &Plan,
        results: &Results,
        now: Timestamp,
    ) -> Option<Value> {
        status::settle(namespace, observed, plan, results, now)
    }
}

/// A pod that is gone wakes its namespace, if that is going too.
fn emptied(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    let (Some(pod), None) = (&change.old, &change.new) else { return };
    let key = Key::new("", &pod.metadata.namespace);
    if reader.cache::<NamespaceView>().get(&key).is_some_and(|namespace| namespace.metadata.is_deleting()) {
        wake(key);
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    operator_rules(&NamespaceOperator)
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    proa_kit::run(NamespaceOperator, client, config).await;
}
