//! A pod with what decisions need, worked out once.

use super::{
    pod_rules::PodRules,
    ports::{HostPort, host_ports},
    resources::Requests,
    storage::claims_of,
};
use proa_kit::{
    Key, Timestamp, conditions,
    views::{PodView, pod_spec::PodSpec},
};
use std::sync::Arc;

/// Condition of pods that are to go for a reason that is not their own.
pub(crate) const DISRUPTION_TARGET: &str = "DisruptionTarget";
/// Its reason when the scheduler makes room.
pub(crate) const PREEMPTED: &str = "PreemptionByScheduler";

/// A pod with what decisions need, worked out once.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The pod.
    pub view: Arc<PodView>,
    /// What it needs.
    pub requests: Requests,
    /// Host ports it takes.
    pub ports: Vec<HostPort>,
    /// Claims of its volumes, and whether they are made for it.
    pub claims: Box<[(Key, bool)]>,
    /// Rules about other pods.
    pub rules: PodRules,
    /// Whether such rules, its own or others', kept it away when it was tried last.
    pub is_kept_by_rules: bool,
    /// Whether volumes or claims did.
    pub is_kept_by_volumes: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was tried last.
    pub tried: Option<Timestamp>,
    /// Whether its deletion, to make room for another, is on its way.
    pub is_preempted: bool,
}

impl Candidate {
    /// Not tried yet.
    pub fn new(view: Arc<PodView>) -> Self {
        Self {
            requests: Requests::of(&view.spec),
            ports: host_ports(&view.spec),
            rules: PodRules::of(&view),
            claims: claims_of(&view),
            is_kept_by_rules: false,
            is_kept_by_volumes: false,
            attempts: 0,
            tried: None,
            is_preempted: false,
            view,
        }
    }
    /// The same with a newer view of the same spec.
    pub(super) fn renewed(&self, view: Arc<PodView>) -> Self {
        Self { view, ..self.clone() }
    }
    /// Its priority.
    pub fn priority(&self) -> i32 {
        priority(&self.view.spec)
    }
    /// Whether it may make others go.
    pub fn may_preempt(&self) -> bool {
        self.view.spec.preemption_policy.as_deref() != Some("Never")
    }
    /// Whether it is on its way out: nobody needs to ask for that again.
    pub fn is_going(&self) -> bool {
        self.is_preempted || self.view.metadata.is_deleting()
    }
    /// Whether it is, to make room for another.
    pub fn is_going_for_another(&self) -> bool {
        let is_marked = |view: &PodView| {
            conditions::find(&view.status.conditions, DISRUPTION_TARGET)
                .is_some_and(|own| own.is_true() && &*own.reason == PREEMPTED)
        };
        self.is_preempted || self.view.metadata.is_deleting() && is_marked(&self.view)
    }
    /// When it started; now, when it has not.
    pub fn started(&self, now: Timestamp) -> Timestamp {
        self.view.status.start_time.unwrap_or(now)
    }
}

/// Priority of a pod that admission has seen or not.
pub(super) fn priority(spec: &PodSpec) -> i32 {
    spec.priority.unwrap_or(0)
}
