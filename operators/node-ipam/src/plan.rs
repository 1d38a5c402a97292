//! The decision: a share for a node that has none. Pure but for what it notes as given.

use crate::index::Shares;
use proa_kit::{Action, Plan};
use serde_json::json;
use std::sync::Arc;

/// The plan for one node.
pub fn plan(name: &Arc<str>, shares: &mut Shares) -> Plan {
    let mut plan = Plan::default();
    let Some(node) = shares.without(name) else { return plan };
    match shares.give(name) {
        Some(share) => {
            let share = share.to_string();
            plan.push(Action::merge(node, json!({"spec": {"podCIDR": share, "podCIDRs": [share]}})));
        }
        None => {
            let note = format!("Node {name} status is now: CIDRNotAvailable");
            plan.push(Action::normal(&Arc::new(node), "CIDRNotAvailable", note));
        }
    }
    plan
}
