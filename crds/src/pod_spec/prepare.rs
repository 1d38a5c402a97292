//! What creating a pod adds to its spec and status.
//!
//! Upstream: `pkg/registry/core/pod/strategy.go`.

use super::qos;
use crate::fill::{fields, items, present, set, sub};
use serde_json::{Value, json};

/// Initial status, and selectors completed by the pod's own labels.
pub(crate) fn create(pod: &mut Value) {
    let mut status = json!({"phase": "Pending", "qosClass": qos::class(&pod["spec"])});
    if pod["spec"]["schedulingGates"].as_array().is_some_and(|gates| !gates.is_empty()) {
        status["conditions"] = json!([{
            "type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null, "lastTransitionTime": pod["metadata"]["creationTimestamp"],
        }]);
    }
    set(pod, "status", status);
    let labels = pod["metadata"]["labels"].clone();
    let spec = sub(pod, "spec");
    items(spec, "topologySpreadConstraints").for_each(|constraint| merge_label_keys(constraint, &labels));
    if let Some(affinity) = present(spec, "affinity") {
        for kind in ["podAffinity", "podAntiAffinity"] {
            present(affinity, kind).into_iter().for_each(|terms| affinity_terms(terms, &labels));
        }
    }
}

fn affinity_terms(affinity: &mut Value, labels: &Value) {
    for term in items(affinity, "requiredDuringSchedulingIgnoredDuringExecution") {
        merge_label_keys(term, labels);
    }
    for weighted in items(affinity, "preferredDuringSchedulingIgnoredDuringExecution") {
        present(weighted, "podAffinityTerm").into_iter().for_each(|term| merge_label_keys(term, labels));
    }
}

/// `matchLabelKeys` and `mismatchLabelKeys` become requirements with the pod's own values.
fn merge_label_keys(term: &mut Value, labels: &Value) {
    if term["labelSelector"].is_null() {
        return;
    }
    let mut more = requirements(&term["matchLabelKeys"], labels, "In");
    more.extend(requirements(&term["mismatchLabelKeys"], labels, "NotIn"));
    if more.is_empty() {
        return;
    }
    let selector = fields(sub(term, "labelSelector"));
    match selector.entry("matchExpressions").or_insert(Value::Null) {
        Value::Array(list) => list.append(&mut more),
        other => *other = Value::Array(more),
    }
}

fn requirements(keys: &Value, labels: &Value, operator: &str) -> Vec<Value> {
    let keys = keys.as_array().into_iter().flatten().filter_map(Value::as_str);
    keys.filter_map(|key| Some(json!({"key": key, "operator": operator, "values": [labels.get(key)?]})))
        .collect()
}
