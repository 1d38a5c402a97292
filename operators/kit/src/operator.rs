//! The reconciler: one object in, the writes that bring the world closer to it out.
//!
//! Flow of one reconcile (`run`): read the object from its cache; `observe` reads what the decision needs; `plan` decides,
//! purely; the kit writes; `settle` may still change the status by what came of the writes; the kit writes the status;
//! the object is looked at again when something changes, after `requeue_after`, or after a backoff when a write failed.
//! Guarantees: never two reconciles of one object at once; never on a cache older than the operator's last write (K3).
//! Assumes: a plan made twice is harmless (K4), since the process may stop between any two writes.

use crate::{
    act::Results,
    action::Action,
    error::Error,
    kind::Key,
    rbac::{Read, Write, rbac_rules},
    reader::Reader,
    views::{Pairs, Typed},
    watch::Watch,
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::{future::Future, sync::Arc, time::Duration};

/// A reconciler.
pub trait Operator: Send + Sync + 'static {
    /// Name: reporting controller of events, field manager, label of metrics. As upstream's, such as
    /// `replicaset-controller`.
    const NAME: &'static str;
    /// View of the objects it reconciles.
    type Object: Typed;
    /// What a decision needs besides the object.
    type Observed: Send + Sync;

    /// What it watches; the first is the primary.
    fn watches(&self) -> Vec<Watch>;
    /// What it reads from the API beside its watches.
    fn reads(&self) -> Vec<Read> {
        Vec::new()
    }
    /// What it may write.
    fn writes(&self) -> Vec<Write>;
    /// Reads what the decision needs.
    fn observe(
        &self,
        reader: &Reader,
        object: &Arc<Self::Object>,
    ) -> impl Future<Output = Result<Self::Observed, Error>> + Send;
    /// Decides. Pure.
    fn plan(&self, object: &Self::Object, observed: &Self::Observed, now: Timestamp) -> Plan;
    /// What is left to do about an object that is gone, from the caches alone: dependents that carry a finalizer of this
    /// operator. Most operators leave dependents to the garbage collector.
    fn gone(&self, reader: &Reader, key: &Key) -> Plan {
        let _ = (reader, key);
        Plan::default()
    }
    /// The status to write after the actions, by what came of them. Pure; the plan's own by default.
    fn settle(
        &self,
        object: &Self::Object,
        observed: &Self::Observed,
        plan: &Plan,
        results: &Results,
        now: Timestamp,
    ) -> Option<Value> {
        let _ = (object, observed, results, now);
        plan.status.clone()
    }
}

/// What to do about one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Writes, in order; the first that fails ends the plan.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<Action>,
    /// The object's whole new status; `None` when it stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
    /// The object's whole new annotations, written with the status; only with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Pairs>,
    /// Look again by then, though nothing changed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub requeue_after: Option<Duration>,
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn seconds<S: serde::Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| format!("{}s", duration.as_secs_f64())).serialize(serializer)
}

impl Plan {
    /// Adds a write.
    pub fn push(&mut self, action: Action) {
        self.actions.push(action);
    }
    /// Look again after `delay`, or earlier if that was asked for already. Zero asks for nothing.
    pub fn look_again(&mut self, delay: Duration) {
        if !delay.is_zero() {
            self.requeue_after = Some(self.requeue_after.map_or(delay, |own| own.min(delay)));
        }
    }
}

/// `rules` of the ClusterRole that an operator needs.
pub fn operator_rules<O: Operator>(operator: &O) -> Value {
    let watches = operator.watches();
    rbac_rules(watches.iter().map(Watch::watched), &operator.reads(), &operator.writes())
}
