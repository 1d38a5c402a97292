//! The objects that are written, the same for every server.

use serde_json::{Value, json};

/// Nodes and values of the label `app` that pods of lists are spread over.
pub(crate) const SPREAD: u64 = 100;

pub(crate) fn namespace(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}).to_string()
}

/// What admission wants of each namespace with pods; made by hand where no controller makes it.
pub(crate) fn service_account() -> String {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}).to_string()
}

/// 1 KiB of data.
pub(crate) fn config_map(name: &str, note: u64) -> String {
    let data = json!({"a": "x".repeat(1024), "note": note.to_string()});
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}).to_string()
}

/// A pod as a Deployment makes it: two containers with settings and probes, already on a node.
pub(crate) fn placed_pod(number: u64) -> String {
    let env: Vec<_> = (0..8)
        .map(|i| json!({"name": format!("SETTING_{i}"), "value": format!("value of setting {i}")}))
        .collect();
    let resources = json!({"cpu": "100m", "memory": "128Mi"});
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example/team/web:1.2.3", "env": env,
            "ports": [{"containerPort": 8080, "name": format!("http-{name}")}],
            "resources": {"requests": resources, "limits": resources},
            "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
        })
    };
    let app = format!("web-{}", number % SPREAD);
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{app}-5d8f7c9b6d-{number:06}"),
            "labels": {"app": app, "pod-template-hash": "5d8f7c9b6d", "tier": "front"},
        },
        "spec": {"nodeName": format!("node-{}", number % SPREAD), "containers": [container("web"), container("log")]},
    })
    .to_string()
}

/// A small pod that waits for a scheduler.
pub(crate) fn waiting_pod(number: u64) -> String {
    waiting(&format!("plain-{number:06}"), "plain", &Value::Null)
}

/// A small pod that shares its node with no other of its kind.
pub(crate) fn apart_pod(number: u64) -> String {
    let term = json!({
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"app": "apart"}},
    });
    let affinity = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}});
    waiting(&format!("apart-{number:06}"), "apart", &affinity)
}

fn waiting(name: &str, app: &str, affinity: &Value) -> String {
    let mut pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": app}},
        "spec": {"containers": [{
            "name": "pause", "image": "registry.example/pause:1",
            "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
        }]},
    });
    if !affinity.is_null() {
        pod["spec"]["affinity"] = affinity.clone();
    }
    pod.to_string()
}

/// A node that says that it is ready; nobody renews that.
pub(crate) fn node(name: &str) -> String {
    let room = json!({"cpu": "32", "memory": "128Gi", "pods": "110"});
    let ready = json!({"type": "Ready", "status": "True", "reason": "Bench", "message": "ready"});
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"capacity": room, "allocatable": room, "conditions": [ready]},
    })
    .to_string()
}

/// Takes off the taint that admission puts on each new node; no controller does where none runs.
pub(crate) fn no_taints() -> String {
    json!({"spec": {"taints": null}}).to_string()
}

pub(crate) fn definition_plural(number: u64) -> String {
    format!("widget{number}s")
}

/// The group of all definitions.
pub(crate) const GROUP: &str = "bench.example.com";

/// A CustomResourceDefinition with a schema of forty fields.
pub(crate) fn definition(number: u64) -> String {
    let text = json!({"type": "string", "description": "A setting of this widget.", "maxLength": 253});
    let part: serde_json::Map<String, Value> = (0..10).map(|n| (format!("part{n}"), text.clone())).collect();
    let group = json!({"type": "object", "properties": part});
    let spec = json!({"type": "object", "properties": {"a": group, "b": group, "c": group, "d": group}});
    let schema = json!({"type": "object", "properties": {"spec": spec, "status": {"type": "object"}}});
    let plural = definition_plural(number);
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{GROUP}")},
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": {"plural": plural, "kind": format!("Widget{number}")},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
    .to_string()
}
