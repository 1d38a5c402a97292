//! The decision: what of a site has to be written, and in which order it is taken away.

use crate::{
    Settings,
    api::WebServerView,
    build::{self, INGRESS},
    observe::Observed,
    status::{self, Verdict},
};
use proa_kit::{Action, Plan, Timestamp, Typed, children, finalizers};
use std::sync::Arc;

/// Keeps a WebServer until its Ingress is gone.
pub const FINALIZER: &str = "webserver.example.com/ingress";

/// The plan for one WebServer.
pub fn plan(site: &WebServerView, observed: &Observed, settings: &Settings, now: Timestamp) -> Plan {
    let (owner, meta) = (Arc::new(site.reference()), &site.metadata);
    if meta.is_deleting() {
        return Plan { actions: withdraw(site, observed), ..Plan::default() };
    }
    // Nothing else before it: the finalizer is there when the first child is.
    if let Some(add) = finalizers::add(site.reference(), meta, FINALIZER) {
        return Plan { actions: vec![add], ..Plan::default() };
    }
    let host = site.host(&settings.domain);
    let holder = observed.rivals.iter().find(|rival| rival.is_older_than(site));
    let wanted = build::children(site, holder.is_none().then_some(&host), settings);
    let changes = children::changes(&owner, &wanted, &observed.found);
    let verdict = match (holder, changes.taken.first()) {
        (Some(holder), _) => Verdict::HostTaken { host, by: holder.reference() },
        (None, Some(taken)) => Verdict::NameTaken(taken.clone()),
        (None, None) => Verdict::Accepted { host },
    };
    let mut plan = Plan::default();
    if changes.taken.is_empty() {
        plan.actions = changes.actions;
    }
    status::report(site, &owner, &verdict, &observed.found, now, &mut plan);
    plan
}

/// The Ingress goes first; when it is gone, the garbage collector may take the rest.
fn withdraw(site: &WebServerView, observed: &Observed) -> Vec<Action> {
    let meta = &site.metadata;
    let is_own =
        |found: &&children::Found| found.kind == INGRESS && found.object.metadata.is_controlled_by(&meta.uid);
    match observed.found.iter().find(is_own) {
        Some(ingress) if ingress.object.metadata.is_deleting() => Vec::new(),
        Some(ingress) if meta.has_finalizer(FINALIZER) => vec![Action::delete(ingress.reference())],
        _ => finalizers::remove(site.reference(), meta, FINALIZER).into_iter().collect(),
    }
}
