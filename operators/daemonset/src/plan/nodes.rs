//! Which nodes a daemon set fits.

use proa_kit::{
    placement::{matches_node, untolerated_taint},
    views::{
        DaemonSetView, NodeView, PodView,
        pod_spec::{PodSpec, Toleration},
    },
};

/// What a daemon set has to do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Its pod shall run there.
    Runs,
    /// No new pod, but one that runs may stay: the node refuses new pods only.
    MayStay,
    /// No pod.
    Never,
}

/// Taints of nodes that are not well, which every daemon tolerates.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// The tolerations that a daemon's pods get.
pub fn tolerations(host_network: bool) -> impl Iterator<Item = Toleration> {
    let network = host_network.then_some(("node.kubernetes.io/network-unavailable", "NoSchedule"));
    TOLERATED.into_iter().chain(network).map(|(key, effect)| Toleration {
        key: key.into(),
        operator: "Exists".into(),
        effect: effect.into(),
        ..Toleration::default()
    })
}

/// The pod spec that placement sees: the template's with the daemon's tolerations. `None` when it cannot be read.
pub fn daemon_spec(set: &DaemonSetView) -> Option<PodSpec> {
    let mut spec = set.spec.template.pod_spec()?;
    spec.tolerations = spec.tolerations.iter().cloned().chain(tolerations(spec.host_network)).collect();
    Some(spec)
}

/// What a daemon with this spec has to do with a node.
pub fn fit(spec: &PodSpec, node: &NodeView) -> Fit {
    if !(spec.node_name.is_empty() || spec.node_name == node.metadata.name) || !matches_node(spec, node) {
        return Fit::Never;
    }
    let taints = &node.spec.taints;
    if untolerated_taint(taints, &spec.tolerations, &["NoSchedule", "NoExecute"]).is_none() {
        Fit::Runs
    } else if untolerated_taint(taints, &spec.tolerations, &["NoExecute"]).is_none() {
        Fit::MayStay
    } else {
        Fit::Never
    }
}

/// The node that a daemon's pod is on, or is meant for.
pub fn node_of(pod: &PodView) -> Option<&str> {
    if !pod.spec.node_name.is_empty() {
        return Some(&pod.spec.node_name);
    }
    let affinity = pod.spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity.required_during_scheduling_ignored_during_execution.as_ref()?;
    let fields = required.node_selector_terms.iter().flat_map(|term| &term.match_fields);
    fields.filter(|field| &*field.key == "metadata.name" && &*field.operator == "In").find_map(|field| {
        match &*field.values {
            [name] => Some(&**name),
            _ => None,
        }
    })
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "literals read better")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn node(taints: Value) -> NodeView {
        serde_json::from_value(
            json!({"metadata": {"name": "n1", "labels": {"disk": "ssd"}}, "spec": {"taints": taints}}),
        )
        .unwrap()
    }

    fn set(spec: Value) -> PodSpec {
        let set: DaemonSetView =
            serde_json::from_value(json!({"spec": {"template": {"spec": spec}}})).unwrap();
        daemon_spec(&set).unwrap()
    }

    #[test]
    fn taints_and_affinity_decide() {
        let unwell = json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
            {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]);
        assert_eq!(fit(&set(json!({})), &node(unwell)), Fit::Runs);
        let control_plane = json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]);
        assert_eq!(fit(&set(json!({})), &node(control_plane.clone())), Fit::MayStay);
        let tolerant = json!({"tolerations": [{"operator": "Exists"}]});
        assert_eq!(fit(&set(tolerant), &node(control_plane)), Fit::Runs);
        let drained = json!([{"key": "x", "effect": "NoExecute"}]);
        assert_eq!(fit(&set(json!({})), &node(drained)), Fit::Never);
        assert_eq!(fit(&set(json!({"nodeSelector": {"disk": "hdd"}})), &node(json!([]))), Fit::Never);
        assert_eq!(fit(&set(json!({"nodeName": "n2"})), &node(json!([]))), Fit::Never);
        let network = json!([{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]);
        assert_eq!(fit(&set(json!({})), &node(network.clone())), Fit::MayStay);
        assert_eq!(fit(&set(json!({"hostNetwork": true})), &node(network)), Fit::Runs);
    }
}
