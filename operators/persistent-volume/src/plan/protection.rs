//! The decisions: which finalizers go and come, and whether a claim is used.

use proa_kit::{
    Action, Plan, Timestamp, Typed,
    clock::rfc3339,
    conditions, finalizers,
    storage::{CLAIM_PROTECTION, VOLUME_PROTECTION},
    views::{PersistentVolumeClaimView, PersistentVolumeView, PodView},
};
use serde_json::json;
use std::sync::Arc;

const UNUSED: &str = "Unused";

/// The plan for one claim and the pods that name it.
pub fn claim(claim: &PersistentVolumeClaimView, users: &[Arc<PodView>], now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let meta = &claim.metadata;
    if !meta.is_deleting() && &*claim.status.phase == "Bound" {
        plan.actions.extend(used(claim, users.iter().any(|pod| !pod.is_terminal()), now));
    }
    if may_go(claim, users) {
        plan.actions.extend(finalizers::remove(claim.reference(), meta, CLAIM_PROTECTION));
    } else if plan.actions.is_empty() {
        plan.actions.extend(finalizers::add(claim.reference(), meta, CLAIM_PROTECTION));
    }
    plan
}

/// Whether it is to go and no pod on a node uses it. One without a node does not get it any more.
pub(crate) fn may_go(claim: &PersistentVolumeClaimView, users: &[Arc<PodView>]) -> bool {
    let meta = &claim.metadata;
    let protects = |pod: &PodView| {
        // A pod owns the claims that were made for it; once it is shut down, they need not wait for its end.
        let is_over = pod.metadata.is_deleting() && pod.metadata.deletion_grace_period_seconds == Some(0);
        let is_own = meta.is_controlled_by(&pod.metadata.uid);
        !(pod.spec.node_name.is_empty() || is_own && is_over)
    };
    meta.is_deleting() && meta.has_finalizer(CLAIM_PROTECTION) && !users.iter().any(|pod| protects(pod))
}

/// The condition that says since when nobody uses it.
fn used(claim: &PersistentVolumeClaimView, is_used: bool, now: Timestamp) -> Option<Action> {
    let own = conditions::find(&claim.status.conditions, UNUSED);
    let (status, reason, message) = if is_used {
        ("False", "PodUsingPVC", "A pod is currently referencing this PVC")
    } else {
        ("True", "NoPodsUsingPVC", "No pods are currently referencing this PVC")
    };
    if own.is_some_and(|own| &*own.status == status) {
        return None;
    }
    let condition = json!({
        "type": UNUSED, "status": status, "reason": reason, "message": message, "lastTransitionTime": rfc3339(now),
    });
    Some(Action::merge_status(claim.reference(), json!({"conditions": [condition]})))
}

/// The plan for one volume.
pub fn volume(volume: &PersistentVolumeView) -> Plan {
    let meta = &volume.metadata;
    let is_bound = &*volume.status.phase == "Bound";
    let action = if meta.is_deleting() {
        (!is_bound).then(|| finalizers::remove(volume.reference(), meta, VOLUME_PROTECTION)).flatten()
    } else {
        finalizers::add(volume.reference(), meta, VOLUME_PROTECTION)
    };
    Plan { actions: action.into_iter().collect(), ..Plan::default() }
}
