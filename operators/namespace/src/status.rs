//! What is said about a terminating namespace.
//!
//! Upstream: pkg/controller/namespace/deletion/status_condition_utils.go.

use crate::observe::Observed;
use proa_kit::{
    Error, Plan, Results, Timestamp,
    conditions::{self, Condition},
    views::NamespaceView,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Type, reason and message of each condition while all is well.
const WELL: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

/// The status after the writes: as planned, unless something could not be deleted.
pub(crate) fn settle(
    namespace: &NamespaceView,
    observed: &Observed,
    plan: &Plan,
    results: &Results,
    now: Timestamp,
) -> Option<Value> {
    let failed =
        |error: &&Error| !matches!(error, Error::Skipped) && !error.is_not_found() && !error.is_conflict();
    let failures: Vec<String> = results
        .0
        .iter()
        .filter_map(|result| result.as_ref().err())
        .filter(failed)
        .map(ToString::to_string)
        .collect();
    if failures.is_empty() || observed.content.is_empty() {
        return plan.status.clone();
    }
    changed(namespace, observed, &failures, now)
}

/// The new status, if it says something new.
pub(crate) fn changed(
    namespace: &NamespaceView,
    observed: &Observed,
    failures: &[String],
    now: Timestamp,
) -> Option<Value> {
    let mut list = namespace.status.conditions.to_vec();
    let mut changed = &*namespace.status.phase != "Terminating";
    for (kind, reason, message) in WELL {
        let condition = match trouble(kind, observed, failures) {
            Some((reason, message)) => Condition::new(kind, "True", reason, &message, now),
            None => Condition::new(kind, "False", reason, message, now),
        };
        changed |= conditions::set(&mut list, condition);
    }
    changed.then(|| json!({"phase": "Terminating", "conditions": list}))
}

/// Reason and message of a condition that holds.
fn trouble(kind: &str, observed: &Observed, failures: &[String]) -> Option<(&'static str, String)> {
    match kind {
        "NamespaceDeletionDiscoveryFailure" => undiscovered(&observed.undiscovered),
        "NamespaceDeletionContentFailure" => undeleted(observed, failures),
        "NamespaceContentRemaining" => remaining(observed),
        "NamespaceFinalizersRemaining" => held(observed),
        _ => None,
    }
}

fn undiscovered(groups: &[Box<str>]) -> Option<(&'static str, String)> {
    if groups.is_empty() {
        return None;
    }
    let each: Vec<String> =
        groups.iter().map(|group| format!("{group}: stale GroupVersion discovery: {group}")).collect();
    let message = format!(
        "Discovery failed for some groups, {} failing: unable to retrieve the complete list of server APIs: {}",
        groups.len(),
        each.join(", ")
    );
    Some(("DiscoveryFailed", message))
}

fn undeleted(observed: &Observed, failures: &[String]) -> Option<(&'static str, String)> {
    let mut all: Vec<&str> = observed.failures.iter().chain(failures).map(String::as_str).collect();
    if all.is_empty() {
        return None;
    }
    all.sort_unstable();
    let message = format!("Failed to delete all resource types, {} remaining: {}", all.len(), all.join(", "));
    Some(("ContentDeletionFailed", message))
}

fn remaining(observed: &Observed) -> Option<(&'static str, String)> {
    let mut kinds: Vec<String> = observed
        .content
        .iter()
        .map(|content| {
            let (kind, count) = (&content.kind, content.objects.len());
            format!("{}.{} has {count} resource instances", kind.plural, kind.group)
        })
        .collect();
    kinds.sort();
    (!kinds.is_empty())
        .then(|| ("SomeResourcesRemain", format!("Some resources are remaining: {}", kinds.join(", "))))
}

fn held(observed: &Observed) -> Option<(&'static str, String)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for meta in observed.content.iter().flat_map(|content| &content.objects) {
        meta.finalizers.iter().for_each(|finalizer| *counts.entry(finalizer).or_default() += 1);
    }
    let each: Vec<String> = counts
        .iter()
        .map(|(finalizer, count)| format!("{finalizer} in {count} resource instances"))
        .collect();
    (!each.is_empty()).then(|| {
        let text = each.join(", ");
        ("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {text}"))
    })
}
