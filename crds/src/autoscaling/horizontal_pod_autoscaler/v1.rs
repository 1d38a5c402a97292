//! Between v1 and the stored form. What v1 has no field for, it has as JSON in annotations.
//!
//! Annotations that make no sense are dropped, as upstream drops them.

use super::{metrics_of_cpu, usual_metrics};
use crate::{
    facts,
    fill::{absent, fields, is_empty, present, remove, set, sub},
};
use proa_meta::quantity::Quantity;
use proa_schema::decode;
use serde_json::{Value, json};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";

/// Fields of a source: v1, v2.
type Fields = &'static [(&'static str, &'static str)];
/// What a source aims at, and what was measured.
const AIMS: [(&str, Fields); 5] = [
    (
        "object",
        &[
            ("/target", "/describedObject"),
            ("/metricName", "/metric/name"),
            ("/selector", "/metric/selector"),
            ("/targetValue", "/target/value"),
            ("/averageValue", "/target/averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("/metricName", "/metric/name"),
            ("/selector", "/metric/selector"),
            ("/targetAverageValue", "/target/averageValue"),
        ],
    ),
    (
        "resource",
        &[
            ("/name", "/name"),
            ("/targetAverageUtilization", "/target/averageUtilization"),
            ("/targetAverageValue", "/target/averageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("/name", "/name"),
            ("/container", "/container"),
            ("/targetAverageUtilization", "/target/averageUtilization"),
            ("/targetAverageValue", "/target/averageValue"),
        ],
    ),
    (
        "external",
        &[
            ("/metricName", "/metric/name"),
            ("/metricSelector", "/metric/selector"),
            ("/targetValue", "/target/value"),
            ("/targetAverageValue", "/target/averageValue"),
        ],
    ),
];
const MEASURED: [(&str, Fields); 5] = [
    (
        "object",
        &[
            ("/target", "/describedObject"),
            ("/metricName", "/metric/name"),
            ("/selector", "/metric/selector"),
            ("/currentValue", "/current/value"),
            ("/averageValue", "/current/averageValue"),
        ],
    ),
    (
        "pods",
        &[
            ("/metricName", "/metric/name"),
            ("/selector", "/metric/selector"),
            ("/currentAverageValue", "/current/averageValue"),
        ],
    ),
    (
        "resource",
        &[
            ("/name", "/name"),
            ("/currentAverageUtilization", "/current/averageUtilization"),
            ("/currentAverageValue", "/current/averageValue"),
        ],
    ),
    (
        "containerResource",
        &[
            ("/name", "/name"),
            ("/container", "/container"),
            ("/currentAverageUtilization", "/current/averageUtilization"),
            ("/currentAverageValue", "/current/averageValue"),
        ],
    ),
    (
        "external",
        &[
            ("/metricName", "/metric/name"),
            ("/metricSelector", "/metric/selector"),
            ("/currentValue", "/current/value"),
            ("/currentAverageValue", "/current/averageValue"),
        ],
    ),
];
/// Fields of scaling rules: upstream writes them into the annotation by the names of its Go types.
const RULES: Fields = &[
    ("/ScaleUp/StabilizationWindowSeconds", "/scaleUp/stabilizationWindowSeconds"),
    ("/ScaleUp/SelectPolicy", "/scaleUp/selectPolicy"),
    ("/ScaleUp/Tolerance", "/scaleUp/tolerance"),
    ("/ScaleDown/StabilizationWindowSeconds", "/scaleDown/stabilizationWindowSeconds"),
    ("/ScaleDown/SelectPolicy", "/scaleDown/selectPolicy"),
    ("/ScaleDown/Tolerance", "/scaleDown/tolerance"),
];
const POLICY: Fields = &[("/Type", "/type"), ("/Value", "/value"), ("/PeriodSeconds", "/periodSeconds")];

fn put(object: &mut Value, pointer: &str, value: &Value) {
    let mut at = object;
    for step in pointer.split('/').skip(1) {
        at = sub(at, step);
    }
    *at = value.clone();
}

/// Moves fields: `there` from v1 to v2, otherwise back.
fn moved(from: &Value, names: Fields, there: bool) -> Value {
    let mut to = json!({});
    for (v1, v2) in names {
        let (source, target) = if there { (v1, v2) } else { (v2, v1) };
        if let Some(value) = from.pointer(source).filter(|value| !value.is_null()) {
            put(&mut to, target, value);
        }
    }
    to
}

fn metrics(list: &Value, sources: &[(&str, Fields)], there: bool) -> Vec<Value> {
    let metric = |metric: &Value| {
        let mut made = json!({"type": metric["type"]});
        for (source, names) in sources.iter().filter(|(source, _)| metric[source].is_object()) {
            made[source] = moved(&metric[source], names, there);
        }
        made
    };
    list.as_array().into_iter().flatten().map(metric).collect()
}

/// v1 does not say of which type a target is.
fn typed(metric: &mut Value) {
    for (source, plain) in [
        ("object", "Value"),
        ("pods", "AverageValue"),
        ("resource", "Utilization"),
        ("containerResource", "Utilization"),
        ("external", "Value"),
    ] {
        let Some(target) = present(metric, source).map(|source| sub(source, "target")) else { continue };
        let has = |field: &str| !target[field].is_null();
        let is_average = match source {
            "object" => has("averageValue"),
            "external" => !has("value"),
            _ => !has("averageUtilization"),
        };
        let is_zero = Quantity::from_json(&target["value"]).is_ok_and(|quantity| quantity.is_zero());
        if source == "object" && is_average && is_zero {
            remove(target, "value");
        }
        set(target, "type", if is_average { "AverageValue" } else { plain });
    }
}

/// v1 writes a zero for what is not there.
fn zeros(metric: &mut Value, of: &[(&str, &str)]) {
    for (source, field) in of {
        if let Some(source) = present(metric, source) {
            absent(source, field, "0");
        }
    }
}

fn taken(object: &mut Value, annotation: &str) -> Option<Value> {
    let annotations = present(object, "metadata").and_then(|metadata| present(metadata, "annotations"))?;
    let text = fields(annotations).remove(annotation)?;
    serde_json::from_str(text.as_str()?).ok()
}

/// Whether a part at this place has the types that v2 has there.
fn fits(part: &Value, place: &str) -> bool {
    let mut probe = json!({});
    put(&mut probe, place, part);
    let schema = facts::schema("io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler");
    decode::decode_part(schema.get(), &mut probe, "HorizontalPodAutoscaler").is_ok()
}

fn note(object: &mut Value, annotation: &str, value: &Value) {
    if !is_empty(value) {
        set(sub(sub(object, "metadata"), "annotations"), annotation, value.to_string());
    }
}

fn only(object: &mut Value, part: &str, keep: &[&str]) {
    if let Some(part) = object.get_mut(part).and_then(Value::as_object_mut) {
        part.retain(|field, _| keep.contains(&field.as_str()));
    }
}

fn is_cpu(metric: &Value) -> bool {
    metric["type"] == "Resource" && metric["resource"]["name"] == "cpu"
}

/// From v1.
pub(super) fn to_storage(object: &mut Value) {
    let (others, rules) = (taken(object, METRICS), taken(object, BEHAVIOR));
    let (measured, conditions) = (taken(object, CURRENT_METRICS), taken(object, CONDITIONS));
    tidy(object);
    let spec = sub(object, "spec");
    let percent = fields(spec).remove("targetCPUUtilizationPercentage").filter(|percent| !percent.is_null());
    let is_list = |list: &Value| list.as_array().is_some_and(|list| list.iter().all(Value::is_object));
    let others = others.filter(is_list);
    let mut all = others.map_or_else(Vec::new, |others| metrics(&others, &AIMS, true));
    all.iter_mut().for_each(typed);
    if !fits(&all.clone().into(), "/spec/metrics") {
        all.clear();
    }
    if let Some(percent) = percent {
        all.extend(metrics_of_cpu(&percent).as_array().into_iter().flatten().cloned());
    }
    set(spec, "metrics", if all.is_empty() { usual_metrics() } else { all.into() });
    let rules = rules.map(|rules| behavior(&rules, true));
    if let Some(rules) = rules.filter(|rules| !is_empty(rules) && fits(rules, "/spec/behavior")) {
        set(spec, "behavior", rules);
    }
    let Some(status) = present(object, "status") else { return };
    let percent =
        fields(status).remove("currentCPUUtilizationPercentage").filter(|percent| !percent.is_null());
    let measured = measured.filter(is_list).map(|measured| Value::from(metrics(&measured, &MEASURED, true)));
    if let Some(measured) = measured.filter(|measured| fits(measured, "/status/currentMetrics")) {
        set(status, "currentMetrics", measured);
    } else if let Some(percent) = percent {
        let resource = json!({"name": "cpu", "current": {"averageUtilization": percent}});
        set(status, "currentMetrics", json!([{"type": "Resource", "resource": resource}]));
    }
    if let Some(conditions) = conditions.filter(|conditions| fits(conditions, "/status/conditions")) {
        set(status, "conditions", conditions);
    }
}

/// No annotations at all rather than an empty map.
fn tidy(object: &mut Value) {
    if let Some(metadata) = present(object, "metadata")
        && is_empty(&metadata["annotations"])
    {
        remove(metadata, "annotations");
    }
}

/// To v1.
pub(super) fn from_storage(object: &mut Value) {
    for annotation in [METRICS, BEHAVIOR, CURRENT_METRICS, CONDITIONS] {
        taken(object, annotation);
    }
    tidy(object);
    let (spec, status) = (object["spec"].clone(), object["status"].clone());
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let percent_of = |metric: &Value| metric["resource"]["target"]["averageUtilization"].clone();
    let (cpu, others): (Vec<_>, Vec<_>) = list(&spec["metrics"])
        .into_iter()
        .partition(|metric| is_cpu(metric) && !percent_of(metric).is_null());
    only(object, "spec", &["scaleTargetRef", "minReplicas", "maxReplicas"]);
    if let Some(cpu) = cpu.first() {
        set(sub(object, "spec"), "targetCPUUtilizationPercentage", percent_of(cpu));
    }
    let mut others = metrics(&others.into(), &AIMS, false);
    others.iter_mut().for_each(|metric| zeros(metric, &[("object", "targetValue")]));
    note(object, METRICS, &others.into());
    if spec["behavior"].is_object() {
        note(object, BEHAVIOR, &behavior(&spec["behavior"], false));
    }
    let kept = ["observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas"];
    only(object, "status", &kept);
    if let Some(status) = present(object, "status") {
        ["currentReplicas", "desiredReplicas"].iter().for_each(|field| absent(status, field, 0));
    }
    let measured = list(&status["currentMetrics"]);
    let percents = measured.iter().filter(|metric| is_cpu(metric));
    let mut percents = percents.map(|metric| &metric["resource"]["current"]["averageUtilization"]);
    if let Some(percent) = percents.rfind(|percent| !percent.is_null()) {
        set(sub(object, "status"), "currentCPUUtilizationPercentage", percent.clone());
    }
    let mut measured = metrics(&measured.into(), &MEASURED, false);
    let always = [
        ("object", "currentValue"),
        ("pods", "currentAverageValue"),
        ("resource", "currentAverageValue"),
        ("containerResource", "currentAverageValue"),
        ("external", "currentValue"),
    ];
    measured.iter_mut().for_each(|metric| zeros(metric, &always));
    note(object, CURRENT_METRICS, &measured.into());
    note(object, CONDITIONS, &status["conditions"]);
}

fn behavior(rules: &Value, there: bool) -> Value {
    let mut made = moved(rules, RULES, there);
    for (v1, v2) in
        [("/ScaleUp/Policies", "/scaleUp/policies"), ("/ScaleDown/Policies", "/scaleDown/policies")]
    {
        let (source, target) = if there { (v1, v2) } else { (v2, v1) };
        if let Some(policies) = rules.pointer(source).and_then(Value::as_array) {
            let policies: Vec<_> = policies.iter().map(|policy| moved(policy, POLICY, there)).collect();
            put(&mut made, target, &policies.into());
        }
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_v1_has_no_field_for_comes_back() {
        let described = json!({"kind": "Ingress", "name": "main", "apiVersion": "networking.k8s.io/v1"});
        let object = json!({
            "metadata": {"name": "web"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
                "minReplicas": 1, "maxReplicas": 5,
                "metrics": [
                    {"type": "Object", "object": {"describedObject": described, "metric": {"name": "hits"},
                        "target": {"type": "Value", "value": "2k"}}},
                    {"type": "Pods", "pods": {"metric": {"name": "packets"},
                        "target": {"type": "AverageValue", "averageValue": "1k"}}},
                    {"type": "Resource", "resource": {"name": "cpu",
                        "target": {"type": "Utilization", "averageUtilization": 60}}},
                ],
                "behavior": {"scaleUp": {"selectPolicy": "Max", "stabilizationWindowSeconds": 0,
                    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}]}},
            },
            "status": {"currentReplicas": 2, "desiredReplicas": 3,
                "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "current": {"averageValue": "10m", "averageUtilization": 50}}}]},
        });
        let mut v1 = object.clone();
        from_storage(&mut v1);
        assert_eq!(v1["spec"]["targetCPUUtilizationPercentage"], 60);
        assert_eq!(v1["status"]["currentCPUUtilizationPercentage"], 50);
        assert_eq!(v1["spec"].as_object().map(serde_json::Map::len), Some(4));
        to_storage(&mut v1);
        assert_eq!(v1, object);
    }

    #[test]
    fn what_is_of_another_type_is_dropped() {
        let policies = r#"[{"Type":"Pods","Value":1,"PeriodSeconds":1}]"#;
        let rules = format!(r#"{{"ScaleUp":{{"StabilizationWindowSeconds":"x","Policies":{policies}}}}}"#);
        for (annotation, text) in [
            (BEHAVIOR, rules.as_str()),
            (BEHAVIOR, "{}"),
            (METRICS, "[5]"),
            (METRICS, "5"),
            (CONDITIONS, "5"),
        ] {
            let mut object = json!({"metadata": {"annotations": {annotation: text}}, "spec": {"maxReplicas": 2},
                "status": {"currentReplicas": 1}});
            to_storage(&mut object);
            let wanted = json!({"metadata": {}, "spec": {"maxReplicas": 2, "metrics": usual_metrics()},
                "status": {"currentReplicas": 1}});
            assert_eq!(object, wanted, "{annotation}: {text}");
        }
    }

    #[test]
    fn nothing_said_is_four_fifths_of_the_cpu() {
        let mut object = json!({"spec": {"maxReplicas": 2}});
        to_storage(&mut object);
        assert_eq!(object["spec"]["metrics"], usual_metrics());
    }
}
