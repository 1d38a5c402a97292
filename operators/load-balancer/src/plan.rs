//! The decision: where a service is reached, and what its users are told about it. Pure but for what it notes as given.

use crate::index::{Given, Index};
use proa_kit::{
    Action, Announce, Key, Plan, Typed,
    action::PatchKind,
    views::{ServiceView, service::Ingress},
};
use serde_json::{Value, json};
use std::{net::IpAddr, sync::Arc};

/// The plan for one service.
pub fn plan(key: &Key, index: &mut Index) -> Plan {
    let mut plan = Plan::default();
    let Some(Given { service, addresses, news }) = index.give(key) else { return plan };
    let about = Arc::new(service.reference());
    if let Some((reason, note)) = news {
        plan.push(Action::warning(&about, reason, note));
    }
    let present = &service.status.load_balancer.ingress;
    if !is_written(present, &addresses) {
        let list: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
        let patch = json!({"status": {"loadBalancer": {"ingress": list}}});
        let announce =
            Announce::about(&about).failure("SyncLoadBalancerFailed", "Error syncing load balancer: {error}");
        let announce = match (present.is_empty(), addresses.is_empty()) {
            (true, _) => announce.success("EnsuredLoadBalancer", "Ensured load balancer"),
            (false, false) => announce.success("UpdatedLoadBalancer", "Updated load balancer with new hosts"),
            (false, true) => announce,
        };
        let patch = Action::patch(service.reference(), "status", PatchKind::Merge, patch);
        plan.push(patch.announced(announce));
    }
    plan
}

fn is_written(present: &[Ingress], wanted: &[IpAddr]) -> bool {
    let is = |(own, wanted): (&Ingress, &IpAddr)| {
        own.ip.parse() == Ok(*wanted) && own.ip_mode.as_deref() == Some("VIP") && own.hostname.is_empty()
    };
    present.len() == wanted.len() && present.iter().zip(wanted).all(is)
}

/// Whether a service is this operator's.
pub(crate) fn is_own(service: &ServiceView) -> bool {
    &*service.spec.kind == "LoadBalancer" && service.spec.load_balancer_class.is_none()
}
