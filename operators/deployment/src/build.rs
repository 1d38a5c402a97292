//! The replica set of a template: name, labels, selector, annotations.

use proa_kit::{Pairs, Typed, owner::controller_reference, selector::LabelSelector, views::DeploymentView};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Label that tells the pods of one template from those of another.
pub const HASH: &str = "pod-template-hash";
/// Revision of a replica set, and of the deployment's current one.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Former revisions of a replica set that came back.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The deployment's size when the replica set was last scaled.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// That size with the surge.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";

/// Annotations that are the deployment's own.
const NOT_COPIED: [&str; 6] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    REVISION_HISTORY,
    DESIRED_REPLICAS,
    MAX_REPLICAS,
    "deprecated.deployment.rollback.to",
];
/// Longest list of former revisions, in characters.
const HISTORY_LENGTH: usize = 2000;
/// Longest name of an object.
const NAME_LENGTH: usize = 253;

/// Hash of the deployment's template.
pub fn template_hash(deployment: &DeploymentView) -> String {
    deployment.spec.template.hash(deployment.status.collision_count)
}

/// Name of the replica set for the deployment's template.
pub fn replica_set_name(deployment: &DeploymentView) -> String {
    let hash = template_hash(deployment);
    let name = &deployment.metadata.name;
    let length = name.len().min(NAME_LENGTH - 1 - hash.len());
    format!("{}-{hash}", name.get(..length).unwrap_or(name))
}

/// A new replica set of a size, with annotations.
pub fn replica_set(
    deployment: &DeploymentView,
    replicas: i32,
    annotations: &BTreeMap<String, String>,
) -> Value {
    let hash = template_hash(deployment);
    let template = deployment.spec.template.with_label(HASH, &hash);
    let LabelSelector { match_labels, match_expressions } = &deployment.spec.selector;
    let labels: Pairs = match_labels.iter().chain([(HASH, hash.as_str())]).collect();
    let selector = LabelSelector { match_labels: labels, match_expressions: match_expressions.clone() };
    let mut spec = json!({"replicas": replicas, "selector": selector, "template": template.value()});
    if deployment.spec.min_ready_seconds != 0 {
        spec["minReadySeconds"] = json!(deployment.spec.min_ready_seconds);
    }
    json!({
        "metadata": {
            "name": replica_set_name(deployment),
            "labels": template.labels(),
            "annotations": annotations,
            "ownerReferences": [controller_reference(&deployment.reference())],
        },
        "spec": spec,
    })
}

/// Changes of annotations that a deployment's current replica set needs: the deployment's own, and a newer revision.
pub fn annotation_changes(
    deployment: &DeploymentView,
    existing: &Pairs,
    revision: i64,
) -> BTreeMap<String, String> {
    let copied = deployment
        .metadata
        .annotations
        .iter()
        .filter(|(key, value)| !NOT_COPIED.contains(key) && existing.get(key) != Some(value));
    let mut changes: BTreeMap<String, String> =
        copied.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let old = existing.get(REVISION);
    let Ok(old_number) = old.unwrap_or("0").parse::<i64>() else { return changes };
    if old_number >= revision {
        return changes;
    }
    changes.insert(REVISION.to_owned(), revision.to_string());
    if let Some(old) = old
        && let Some(history) = longer_history(existing.get(REVISION_HISTORY).unwrap_or(""), old)
    {
        changes.insert(REVISION_HISTORY.to_owned(), history);
    }
    changes
}

/// The list with one more revision, the oldest dropped while it is too long.
fn longer_history(history: &str, revision: &str) -> Option<String> {
    if history.is_empty() {
        return Some(revision.to_owned());
    }
    let mut kept = history;
    while kept.len() + revision.len() + 1 > HISTORY_LENGTH {
        kept = kept.split_once(',').map_or("", |(_, rest)| rest);
        if kept.is_empty() {
            return (revision.len() <= HISTORY_LENGTH).then(|| revision.to_owned());
        }
    }
    Some(format!("{kept},{revision}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Pairs {
        pairs.iter().copied().collect()
    }

    #[test]
    fn annotations_are_copied_but_not_the_deployments_own() {
        let mut deployment = DeploymentView::default();
        deployment.metadata.annotations = pairs(&[("team", "a"), (REVISION, "9"), (NOT_COPIED[0], "{}")]);
        let changes = annotation_changes(&deployment, &pairs(&[(REVISION, "1")]), 1);
        assert_eq!(changes.into_iter().collect::<Vec<_>>(), [("team".to_owned(), "a".to_owned())]);
    }

    #[test]
    fn a_set_that_comes_back_remembers_its_revisions() {
        let deployment = DeploymentView::default();
        let changes = annotation_changes(&deployment, &pairs(&[(REVISION, "3"), (REVISION_HISTORY, "1")]), 5);
        assert_eq!(changes[REVISION], "5");
        assert_eq!(changes[REVISION_HISTORY], "1,3");
        let long = "1234567890,".repeat(181) + "1234567890";
        let history = longer_history(&long, "77").unwrap();
        assert!(history.len() <= HISTORY_LENGTH && history.ends_with(",77"), "{}", history.len());
    }
}
