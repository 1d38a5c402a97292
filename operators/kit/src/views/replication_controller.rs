//! ReplicationController: a replica set of old, whose selector is a plain map.

use super::{Meta, Pairs, meta, replica_set::ReplicaSetSpec, replica_set::ReplicaSetStatus};
use crate::{kind::Kind, selector::LabelSelector, template::Template};
use serde::{Deserialize, Deserializer};

/// A replication controller with its annotations and its template.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ReplicationControllerView {
    /// Metadata with annotations.
    #[serde(default, deserialize_with = "meta::annotated")]
    pub metadata: Meta,
    /// Spec, as a replica set has it.
    #[serde(default, deserialize_with = "spec")]
    pub spec: ReplicaSetSpec,
    /// Status, as a replica set has it.
    #[serde(default)]
    pub status: ReplicaSetStatus,
}

crate::view!(
    ReplicationControllerView,
    Kind::namespaced("", "v1", "ReplicationController", "replicationcontrollers")
);

fn spec<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ReplicaSetSpec, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Spec {
        replicas: Option<i32>,
        min_ready_seconds: i32,
        selector: Pairs,
        template: Template,
    }
    let Spec { replicas, min_ready_seconds, selector, template } = Spec::deserialize(deserializer)?;
    let selector = LabelSelector { match_labels: selector, ..LabelSelector::default() };
    Ok(ReplicaSetSpec { replicas, min_ready_seconds, selector, template })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_selects_as_match_labels_do() {
        let json = r#"{"metadata":{"name":"a"},"spec":{"replicas":2,"selector":{"app":"a"},"template":{}}}"#;
        let view: ReplicationControllerView = serde_json::from_str(json).unwrap();
        assert_eq!((view.spec.replicas(), view.spec.selector.match_labels.get("app")), (2, Some("a")));
    }
}
