//! Labels that a pod asks for: `nodeSelector` and required node affinity.
//!
//! Upstream: pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go.

use proa_kit::{
    placement::matches_node,
    views::{
        NodeView,
        pod_spec::{NodeSelectorTerm, PodSpec},
    },
};

pub(super) const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

/// Whether the node has what is asked for.
pub fn fits(spec: &PodSpec, node: &NodeView) -> bool {
    spec.node_selector.is_empty() && spec.affinity.is_none() || matches_node(spec, node)
}

/// The only nodes that come into question, when every alternative names some: what daemon sets ask for.
pub fn named_nodes(spec: &PodSpec) -> Option<Vec<&str>> {
    let required = spec
        .affinity
        .as_ref()?
        .node_affinity
        .as_ref()?
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let mut names = Vec::new();
    for term in &required.node_selector_terms {
        names.extend(names_of(term)?);
    }
    names.sort_unstable();
    names.dedup();
    Some(names)
}

fn names_of(term: &NodeSelectorTerm) -> Option<impl Iterator<Item = &str>> {
    let named = |field: &&proa_kit::views::pod_spec::Requirement| {
        &*field.key == "metadata.name" && &*field.operator == "In"
    };
    term.match_fields.iter().find(named).map(|field| field.values.iter().map(|name| &**name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn spec(terms: &Value) -> PodSpec {
        serde_json::from_value(json!({"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}))
        .unwrap()
    }

    #[test]
    fn nodes_are_named_only_if_every_alternative_names_some() {
        let name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]});
        let label = json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]});
        assert_eq!(named_nodes(&spec(&json!([name]))), Some(vec!["a"]));
        assert_eq!(named_nodes(&spec(&json!([name, label]))), None);
        assert_eq!(named_nodes(&PodSpec::default()), None);
    }
}
