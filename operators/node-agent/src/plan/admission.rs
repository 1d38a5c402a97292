//! Whether the node takes a pod that was bound to it: the scheduler may have decided on older facts.
//!
//! Upstream: pkg/kubelet/lifecycle/predicate.go.

use super::{
    containers,
    memory::{NoRoom, Verdict},
    resources::{self, Amounts},
};
use k8s_openapi::api::core::v1::{ContainerPort, Pod};
use proa_kit::{
    placement,
    views::{NodeView, pod_spec::PodSpec},
};

/// Why the node does not take the pod, if so. `others` are the pods that run here or will.
pub(crate) fn refusal<'a>(
    pod: &Pod,
    others: impl Iterator<Item = &'a Pod> + Clone,
    node: &NodeView,
) -> Option<Verdict> {
    let (reason, message) =
        fits(pod, others.clone(), node).or_else(|| placed(pod, node)).or_else(|| ports(pod, others))?;
    Some(rejected(&reason, &message))
}

/// Why the node has no room for a pod's changed resources, if so: never, or not now.
pub(crate) fn no_room<'a>(
    pod: &Pod,
    others: impl Iterator<Item = &'a Pod> + Clone,
    node: &NodeView,
) -> Option<NoRoom> {
    let refusal = |reason: &str, message| NoRoom { reason: reason.to_owned(), message };
    let alone = resources::requests(pod).into_iter().find_map(|(name, asked)| {
        let capacity = resources::amount(&name, node.status.allocatable.get(&name)?);
        (asked > capacity).then(|| {
            format!("Node didn't have enough capacity: {name}, requested: {asked}, capacity: {capacity}")
        })
    });
    if let Some(message) = alone {
        return Some(refusal("Infeasible", message));
    }
    fits(pod, others, node).map(|(_, message)| refusal("Deferred", message))
}

/// A pod that the node does not take.
pub(crate) fn rejected(reason: &str, message: &str) -> Verdict {
    let message = format!("Pod was rejected: {message}");
    Verdict { reason: reason.to_owned(), message, grace: None, disruption: false }
}

fn fits<'a>(
    pod: &Pod,
    others: impl Iterator<Item = &'a Pod> + Clone,
    node: &NodeView,
) -> Option<(String, String)> {
    let allocatable = &node.status.allocatable;
    let count = i64::try_from(others.clone().count()).unwrap_or(i64::MAX);
    let capacity = allocatable.get("pods").map_or(0, |text| resources::amount("pods", text));
    if count >= capacity {
        return Some(out_of("pods", 1, count, capacity));
    }
    let used: Vec<Amounts> = others.map(resources::requests).collect();
    resources::requests(pod).into_iter().filter(|(_, asked)| *asked > 0).find_map(|(name, asked)| {
        let capacity = match allocatable.get(&name) {
            Some(text) => resources::amount(&name, text),
            // What only a device plugin knows of is not the node's to judge.
            None if name.contains('/') => return None,
            None => 0,
        };
        let used = used.iter().filter_map(|amounts| amounts.get(&name)).sum();
        (asked > capacity - used).then(|| out_of(&name, asked, used, capacity))
    })
}

fn out_of(name: &str, asked: i64, used: i64, capacity: i64) -> (String, String) {
    let message = format!(
        "Node didn't have enough resource: {name}, requested: {asked}, used: {used}, capacity: {capacity}"
    );
    (format!("OutOf{name}"), message)
}

fn placed(pod: &Pod, node: &NodeView) -> Option<(String, String)> {
    // A view is decoded from text; a spec that came from the API can always be written as such.
    let text = serde_json::to_string(containers::spec(pod)).ok()?;
    let spec: PodSpec = serde_json::from_str(&text).ok()?;
    if !placement::matches_node(&spec, node) {
        return Some(predicate("NodeAffinity", "node(s) didn't match Pod's node affinity/selector"));
    }
    placement::untolerated_taint(&node.spec.taints, &spec.tolerations, &["NoExecute"])
        .map(|_| predicate("TaintToleration", "node(s) had taints that the pod didn't tolerate"))
}

fn ports<'a>(pod: &Pod, others: impl Iterator<Item = &'a Pod>) -> Option<(String, String)> {
    let taken: Vec<&ContainerPort> = others.flat_map(host_ports).collect();
    let conflicts = host_ports(pod).any(|port| taken.iter().any(|other| collides(port, other)));
    conflicts.then(|| predicate("NodePorts", "node(s) didn't have free ports for the requested pod ports"))
}

fn host_ports(pod: &Pod) -> impl Iterator<Item = &ContainerPort> {
    let spec = containers::spec(pod);
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|init| init.restart_policy.as_deref() == Some("Always"));
    sidecars
        .chain(&spec.containers)
        .flat_map(|container| container.ports.iter().flatten())
        .filter(|port| port.host_port.is_some_and(|port| port > 0))
}

fn collides(a: &ContainerPort, b: &ContainerPort) -> bool {
    let address = |port: &ContainerPort| match port.host_ip.as_deref() {
        None | Some("" | "0.0.0.0") => None,
        Some(address) => Some(address.to_owned()),
    };
    let protocol = |port: &ContainerPort| port.protocol.clone().unwrap_or_else(|| "TCP".to_owned());
    let same_address = match (address(a), address(b)) {
        (Some(a), Some(b)) => a == b,
        _ => true,
    };
    a.host_port == b.host_port && protocol(a) == protocol(b) && same_address
}

fn predicate(name: &str, why: &str) -> (String, String) {
    (name.to_owned(), format!("Predicate {name} failed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    fn node() -> NodeView {
        let node = json!({"metadata": {"name": "n", "labels": {"zone": "a"}},
            "spec": {"taints": [{"key": "k", "effect": "NoExecute"}, {"key": "x", "effect": "NoSchedule"}]},
            "status": {"allocatable": {"cpu": "1", "memory": "1Gi", "pods": "3"}}});
        serde_json::from_str(&node.to_string()).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_refused_as_upstream_does() {
        let tolerates = json!([{"key": "k", "operator": "Exists"}]);
        let asks = |cpu: &str, port: i32| {
            json!({"tolerations": tolerates, "containers": [{"name": "a",
            "resources": {"requests": {"cpu": cpu}}, "ports": [{"containerPort": 80, "hostPort": port}]}]})
        };
        let others = [pod(&asks("600m", 8080))];
        let refused = |spec: Value| refusal(&pod(&spec), others.iter(), &node());
        assert_eq!(refused(asks("400m", 0)), None);
        for (spec, reason, message) in [
            (
                asks("500m", 0),
                "OutOfcpu",
                "Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000",
            ),
            (
                asks("100m", 8080),
                "NodePorts",
                "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports",
            ),
            (
                json!({"containers": [], "tolerations": tolerates, "nodeSelector": {"zone": "b"}}),
                "NodeAffinity",
                "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
            ),
            (
                json!({"containers": []}),
                "TaintToleration",
                "Predicate TaintToleration failed: node(s) had taints that the pod didn't tolerate",
            ),
        ] {
            let verdict = refused(spec).unwrap();
            assert_eq!(
                (verdict.reason.as_str(), verdict.message),
                (reason, format!("Pod was rejected: {message}"))
            );
        }
        let many = vec![pod(&asks("1m", 0)); 3];
        assert_eq!(refusal(&pod(&asks("1m", 0)), many.iter(), &node()).unwrap().reason, "OutOfpods");
        let device = json!({"tolerations": tolerates, "containers": [{"name": "a",
            "resources": {"requests": {"example.com/gpu": "1"}}}]});
        assert_eq!(refused(device), None);
    }
}
