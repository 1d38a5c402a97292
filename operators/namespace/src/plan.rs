//! The decision: delete what is left; when nothing is, let the namespace go. Pure.

use crate::{observe::Observed, status};
use proa_kit::{Action, ObjectRef, Plan, Timestamp, Typed, action::Replace, views::NamespaceView};
use serde_json::json;
use std::time::Duration;

const FINALIZER: &str = "kubernetes";
/// After deletions: most objects are gone at once.
const SOON: Duration = Duration::from_millis(20);
/// While others' finalizers hold objects, or a list failed.
const LATER: Duration = Duration::from_secs(1);

/// Whether the namespace is going and not emptied yet.
pub(crate) fn must_be_emptied(namespace: &NamespaceView) -> bool {
    namespace.metadata.is_deleting()
        && namespace.spec.finalizers.iter().any(|finalizer| &**finalizer == FINALIZER)
}

/// The plan for one namespace.
pub fn plan(namespace: &NamespaceView, observed: &Observed, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    if !observed.terminating {
        return plan;
    }
    let deletions = deletions(observed);
    let clear =
        observed.content.is_empty() && observed.undiscovered.is_empty() && observed.failures.is_empty();
    if clear {
        plan.actions.extend(release(namespace, observed, now));
        return plan;
    }
    plan.look_again(if deletions.is_empty() { LATER } else { SOON });
    if deletions.is_empty() {
        plan.status = status::changed(namespace, observed, &[], now);
    } else {
        // What remains of it is said by the next pass.
        plan.push(Action::parallel(deletions));
    }
    plan
}

/// What is not going yet is deleted.
fn deletions(observed: &Observed) -> Vec<Action> {
    let each = observed.content.iter().flat_map(|content| {
        content.objects.iter().filter(|meta| !meta.is_deleting()).map(|meta| {
            let object = ObjectRef::new(content.kind.clone(), &meta.namespace, &meta.name);
            Action::delete(object.with_uid(&meta.uid))
        })
    });
    each.collect()
}

/// Removes the finalizer. The conditions are worth a write only if others keep the namespace.
fn release(namespace: &NamespaceView, observed: &Observed, now: Timestamp) -> Vec<Action> {
    let target = namespace.reference();
    let finalizers: Vec<&str> = namespace
        .spec
        .finalizers
        .iter()
        .map(|finalizer| &**finalizer)
        .filter(|own| *own != FINALIZER)
        .collect();
    let is_kept = !finalizers.is_empty() || !namespace.metadata.finalizers.is_empty();
    let mut actions = Vec::new();
    if let Some(status) = status::changed(namespace, observed, &[], now).filter(|_| is_kept) {
        actions.push(Action::merge_status(target.clone(), status));
    }
    let object = json!({"spec": {"finalizers": finalizers}});
    actions.push(Action::Replace(Replace { target, subresource: "finalize", object }));
    actions
}
