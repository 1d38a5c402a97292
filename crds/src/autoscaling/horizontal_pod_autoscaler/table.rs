//! The columns of both versions.

use crate::table;
use jiff::Timestamp;
use proa_registry::kind::Column;
use serde_json::Value;

/// Most metrics that are shown.
const SHOWN: usize = 2;

/// Columns.
pub(super) const COLUMNS: [Column; 7] = [
    Column::name(),
    Column::text("Reference"),
    Column::text("Targets"),
    Column::text("MinPods"),
    Column::text("MaxPods"),
    Column::text("Replicas"),
    Column::age(),
];

/// Cells of an object in the form of v2.
pub(super) fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let target = &spec["scaleTargetRef"];
    let text = |field: &str| target[field].as_str().unwrap_or("");
    vec![
        table::name(object),
        format!("{}/{}", text("kind"), text("name")).into(),
        targets(&spec["metrics"], &status["currentMetrics"]).into(),
        spec["minReplicas"].as_i64().map_or_else(|| "<unset>".to_owned(), |min| min.to_string()).into(),
        table::number(&spec["maxReplicas"]),
        table::number(&status["currentReplicas"]),
        table::age(object, now),
    ]
}

/// What is measured, and what is aimed at.
fn targets(metrics: &Value, measured: &Value) -> String {
    let metrics = metrics.as_array().map_or(&[][..], Vec::as_slice);
    let all: Vec<String> =
        metrics.iter().enumerate().map(|(i, metric)| target(metric, &measured[i])).collect();
    let shown = all[..all.len().min(SHOWN)].join(", ");
    match all.len() {
        0 => "<none>".to_owned(),
        n if n > SHOWN => format!("{shown} + {} more...", n - SHOWN),
        _ => shown,
    }
}

fn target(metric: &Value, measured: &Value) -> String {
    let quantity = |value: &Value| value.as_str().map(str::to_owned);
    let percent = |value: &Value| value.as_i64().map(|percent| format!("{percent}%"));
    let unknown = |text: Option<String>| text.unwrap_or_else(|| "<unknown>".to_owned());
    let (source, is_resource) = match metric["type"].as_str() {
        Some("External") => ("external", false),
        Some("Pods") => ("pods", false),
        Some("Object") => ("object", false),
        Some("Resource") => ("resource", true),
        Some("ContainerResource") => ("containerResource", true),
        _ => return "<unknown type>".to_owned(),
    };
    let (aim, current) = (&metric[source]["target"], &measured[source]["current"]);
    let average = quantity(&aim["averageValue"]);
    if is_resource {
        let name = metric[source]["name"].as_str().unwrap_or("");
        return match average {
            Some(average) => format!("{name}: {}/{average}", unknown(quantity(&current["averageValue"]))),
            None => {
                let aim = percent(&aim["averageUtilization"]).unwrap_or_else(|| "<auto>".to_owned());
                format!("{name}: {}/{aim}", unknown(percent(&current["averageUtilization"])))
            }
        };
    }
    match average {
        Some(average) => {
            let of_pods = if source == "pods" { "" } else { " (avg)" };
            format!("{}/{average}{of_pods}", unknown(quantity(&current["averageValue"])))
        }
        None => {
            let aim = quantity(&aim["value"]).unwrap_or_default();
            format!("{}/{aim}", unknown(quantity(&current["value"])))
        }
    }
}
