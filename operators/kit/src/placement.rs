//! Whether a pod may run on a node by labels, affinity and taints: shared by the scheduler and daemon sets.
//!
//! Upstream: component-helpers `scheduling/corev1` (nodeaffinity, helpers.go), api `core/v1/toleration.go`.

use crate::views::{
    NodeView,
    node::Taint,
    pod_spec::{NodeSelectorTerm, PodSpec, Toleration},
};

impl Toleration {
    /// Whether it tolerates the taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if !self.effect.is_empty() && self.effect != taint.effect {
            return false;
        }
        if !self.key.is_empty() && self.key != taint.key {
            return false;
        }
        match &*self.operator {
            "" | "Equal" => self.value == taint.value,
            "Exists" => true,
            "Lt" => self.compares(taint, |taint, own| taint < own),
            "Gt" => self.compares(taint, |taint, own| taint > own),
            _ => false,
        }
    }
    fn compares(&self, taint: &Taint, holds: fn(i64, i64) -> bool) -> bool {
        matches!((taint.value.parse(), self.value.parse()), (Ok(taint), Ok(own)) if holds(taint, own))
    }
}

/// The first taint with one of the effects that no toleration covers.
pub fn untolerated_taint<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    effects: &[&str],
) -> Option<&'a Taint> {
    taints
        .iter()
        .filter(|taint| effects.contains(&&*taint.effect))
        .find(|taint| !tolerations.iter().any(|toleration| toleration.tolerates(taint)))
}

impl NodeSelectorTerm {
    /// Whether the node satisfies every requirement; a term without any matches nothing.
    pub fn matches(&self, node: &NodeView) -> bool {
        let fields = |key: &str| (key == "metadata.name").then_some(&*node.metadata.name);
        !(self.match_expressions.is_empty() && self.match_fields.is_empty())
            && self.match_expressions.iter().all(|r| r.matches_labels(&node.metadata.labels))
            && self.match_fields.iter().all(|r| r.matches(fields(&r.key)))
    }
}

/// Whether the pod's nodeSelector and required node affinity allow the node.
pub fn matches_node(spec: &PodSpec, node: &NodeView) -> bool {
    if !spec.node_selector.is_subset_of(&node.metadata.labels) {
        return false;
    }
    let required = spec
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.as_ref())
        .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term.matches(node)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn toleration(value: Value) -> Toleration {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn tolerations_match_by_key_value_and_effect() {
        let taint =
            Taint { key: "k".into(), value: "v".into(), effect: "NoSchedule".into(), time_added: None };
        for (value, want) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "k", "operator": "Exists"}), true),
            (json!({"key": "k", "value": "v"}), true),
            (json!({"key": "k", "value": "w"}), false),
            (json!({"key": "k", "value": "v", "effect": "NoExecute"}), false),
            (json!({"key": "x", "operator": "Exists"}), false),
        ] {
            assert_eq!(toleration(value.clone()).tolerates(&taint), want, "{value}");
        }
        assert!(untolerated_taint(std::slice::from_ref(&taint), &[], &["NoSchedule"]).is_some());
        assert!(untolerated_taint(&[taint], &[], &["NoExecute"]).is_none());
    }

    #[test]
    fn one_affinity_term_must_match_and_an_empty_one_never_does() {
        let node: NodeView =
            serde_json::from_value(json!({"metadata": {"name": "n1", "labels": {"zone": "a"}}})).unwrap();
        let spec = |terms: Value| -> PodSpec {
            serde_json::from_value(json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}}))
            .unwrap()
        };
        let by_name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]});
        let by_zone = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["b"]}]});
        assert!(matches_node(&spec(json!([by_zone, by_name])), &node));
        assert!(!matches_node(&spec(json!([by_zone])), &node));
        assert!(!matches_node(&spec(json!([{}])), &node));
        assert!(matches_node(&PodSpec::default(), &node));
    }
}
