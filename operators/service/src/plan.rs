//! The decision about one service. Pure.

pub mod endpoints;
pub mod leftover;
pub mod mirror;
pub mod slices;

use crate::observe::Observed;
use proa_kit::{Plan, views::ServiceView};

/// The plan for one service. One without a selector is published by hand.
pub fn plan(service: &ServiceView, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    let by_hand = service.spec.selector.is_empty() || &*service.spec.kind == "ExternalName";
    if by_hand || service.metadata.is_deleting() {
        return plan;
    }
    let mut actions = slices::actions(service, observed);
    actions.extend(endpoints::action(service, observed));
    match actions.len() {
        0 => {}
        1 => plan.actions = actions,
        _ => plan.push(proa_kit::Action::parallel(actions)),
    }
    plan
}
