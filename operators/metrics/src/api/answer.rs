//! Answers. Pure.

use super::{
    route::Which,
    samples::{Amount, PodFigures},
};
use jiff::Timestamp;
use proa_kit::{Meta, clock::rfc3339};
use proa_meta::{
    ApiError, GroupResource,
    quantity::{Format, Quantity},
};
use serde_json::{Value, json};
use std::fmt::Write;

const VERSION: &str = "metrics.k8s.io/v1beta1";

fn described() -> Value {
    let version = json!({"groupVersion": VERSION, "version": "v1beta1"});
    json!({"name": "metrics.k8s.io", "versions": [version], "preferredVersion": version})
}

/// `/apis`.
pub(super) fn groups() -> Value {
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [described()]})
}

/// `/apis/metrics.k8s.io`.
pub(super) fn group() -> Value {
    let mut group = described();
    group["kind"] = json!("APIGroup");
    group["apiVersion"] = json!("v1");
    group
}

/// `/apis/metrics.k8s.io/v1beta1`.
pub(super) fn resources() -> Value {
    let resource = |name: &str, kind: &str, namespaced: bool| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION,
        "resources": [resource("nodes", "NodeMetrics", false), resource("pods", "PodMetrics", true)]})
}

/// A list of what was asked for, or the one thing.
pub(super) fn given(
    which: &Which,
    kind: &str,
    resource: &'static str,
    mut items: Vec<Value>,
) -> Result<Value, ApiError> {
    let Some(name) = &which.name else {
        return Ok(
            json!({"kind": format!("{kind}List"), "apiVersion": VERSION, "metadata": {}, "items": items}),
        );
    };
    let shown =
        which.namespace.as_ref().map_or_else(|| name.clone(), |namespace| format!("{namespace}/{name}"));
    let missing = || ApiError::not_found(&GroupResource::new("metrics.k8s.io", resource), &shown);
    let mut item = items.pop().ok_or_else(missing)?;
    item["kind"] = json!(kind);
    item["apiVersion"] = json!(VERSION);
    Ok(item)
}

/// The same as a table: names, what is used, and over which time.
pub(super) fn table(mut answer: Value) -> Value {
    let kind = answer["kind"].as_str().unwrap_or_default().trim_end_matches("List").to_owned();
    let items = match answer.get_mut("items").map(Value::take) {
        Some(Value::Array(items)) => items,
        _ => vec![answer],
    };
    let column = |name: &str, format: &str, description: &str| json!({"name": name, "type": "string", "format": format, "description": description, "priority": 0});
    let columns = [
        column("Name", "name", "Name of the resource"),
        column("cpu", "quantity", ""),
        column("memory", "quantity", ""),
        column("Window", "duration", ""),
    ];
    let row = |mut item: Value| {
        item["kind"] = json!(kind);
        item["apiVersion"] = json!(VERSION);
        let [cpu, memory] = ["cpu", "memory"].map(|resource| used(&item, resource));
        json!({"cells": [item["metadata"]["name"], cpu, memory, item["window"]], "object": item})
    };
    let rows: Vec<Value> = items.into_iter().map(row).collect();
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {}, "columnDefinitions": columns,
        "rows": rows})
}

/// What all containers use, or the node.
fn used(item: &Value, resource: &str) -> String {
    let containers = item["containers"].as_array();
    let all =
        containers.map_or_else(|| vec![&item["usage"]], |all| all.iter().map(|c| &c["usage"]).collect());
    let amounts = all.into_iter().filter_map(|usage| Quantity::from_json(&usage[resource]).ok());
    amounts.reduce(|sum, more| sum + more).unwrap_or_default().to_string()
}

/// What a node uses.
pub(super) fn node(meta: &Meta, amount: &Amount, now: Timestamp) -> Value {
    let mut item = measured(meta, amount.at, amount.window, now);
    item["usage"] = usage(amount);
    item
}

/// What a pod uses.
pub(super) fn pod(meta: &Meta, figures: &PodFigures, now: Timestamp) -> Value {
    let mut item = measured(meta, figures.at, figures.window, now);
    item["metadata"]["namespace"] = json!(meta.namespace);
    let containers = figures.containers.iter();
    item["containers"] =
        containers.map(|(name, amount)| json!({"name": name, "usage": usage(amount)})).collect();
    item
}

/// Times are in milliseconds.
fn measured(meta: &Meta, at: i64, window: i64, now: Timestamp) -> Value {
    let mut metadata = json!({"name": meta.name, "creationTimestamp": rfc3339(now)});
    if !meta.labels.is_empty() {
        metadata["labels"] = json!(meta.labels);
    }
    let at = Timestamp::from_millisecond(at).unwrap_or(now);
    json!({"metadata": metadata, "timestamp": rfc3339(at), "window": duration(window)})
}

fn usage(amount: &Amount) -> Value {
    let cpu = Quantity::scaled(i128::from(amount.cpu), -9, Format::DecimalSi);
    let memory = Quantity::scaled(i128::from(amount.memory), 0, Format::BinarySi);
    json!({"cpu": cpu.to_string(), "memory": memory.to_string()})
}

/// Milliseconds as Go writes durations.
fn duration(milliseconds: i64) -> String {
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let mut text = String::new();
    // Writing to a string cannot fail.
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let fraction = format!(".{rest:03}");
    let fraction = if rest == 0 { "" } else { fraction.trim_end_matches('0') };
    let _ = write!(text, "{}{fraction}s", seconds % 60);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_in_go() {
        for (milliseconds, text) in
            [(0, "0s"), (15_000, "15s"), (3_120, "3.12s"), (61_005, "1m1.005s"), (3_600_000, "1h0m0s")]
        {
            assert_eq!(duration(milliseconds), text);
        }
    }

    #[test]
    fn tables_show_sums() {
        let of = |cpu: &str, memory: &str| json!({"usage": {"cpu": cpu, "memory": memory}});
        let pod = json!({"metadata": {"name": "p"}, "window": "15s",
            "containers": [of("1500n", "1Mi"), of("2m", "1Ki")]});
        let node = json!({"kind": "NodeMetrics", "metadata": {"name": "n"}, "window": "3s",
            "usage": {"cpu": "1", "memory": "1Gi"}});
        let cells = |answer: Value| table(answer)["rows"][0]["cells"].clone();
        let list = json!({"kind": "PodMetricsList", "items": [pod]});
        assert_eq!(table(list.clone())["rows"][0]["object"]["kind"], "PodMetrics");
        assert_eq!(cells(list), json!(["p", "2001500n", "1025Ki", "15s"]));
        assert_eq!(cells(node), json!(["n", "1", "1Gi", "3s"]));
        assert_eq!(table(json!({"kind": "PodMetricsList", "items": []}))["rows"], json!([]));
    }

    #[test]
    fn usage_is_shown_as_metrics_server_does() {
        let meta: Meta =
            serde_json::from_str(r#"{"name": "p", "namespace": "n", "labels": {"app": "web"}}"#).unwrap();
        let amount = Amount { cpu: 1_234_567, memory: 3 << 20, at: 1_000_400, window: 3_100 };
        let figures = PodFigures { at: 1_000_400, window: 3_100, containers: [("c".into(), amount)].into() };
        let shown = pod(&meta, &figures, Timestamp::from_second(2_000).unwrap());
        assert_eq!(
            shown,
            json!({"metadata": {"name": "p", "namespace": "n", "labels": {"app": "web"},
                    "creationTimestamp": "1970-01-01T00:33:20Z"},
                "timestamp": "1970-01-01T00:16:40Z", "window": "3.1s",
                "containers": [{"name": "c", "usage": {"cpu": "1234567n", "memory": "3Mi"}}]})
        );
    }
}
