//! HorizontalPodAutoscaler, served as autoscaling/v2 and v1. One object in two forms; v2 is stored.
//!
//! Upstream: `pkg/registry/autoscaling/horizontalpodautoscaler/strategy.go`,
//! `pkg/apis/autoscaling/{v1,v2}/{defaults,conversion}.go`.

mod table;
mod v1;
mod validate;

use crate::{
    facts,
    fill::{absent, is_empty, present, set, sub},
};
use proa_meta::{GroupResource, Gvk};
use proa_registry::kind::{Conversion, Generation, KindDef, Strategy};
use serde_json::{Value, json};

/// autoscaling/v2.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("autoscaling", "v2", "HorizontalPodAutoscaler");
    completed(gvk, "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler")
        .with_table(&table::COLUMNS, table::row)
        .with_strategy(Strategy {
            default,
            validate_create: |object, errors| validate::object(object, None, errors),
            validate_update: |new, old, errors| validate::object(new, Some(old), errors),
            validate_status: |new, _, errors| validate::status(new, errors),
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

/// autoscaling/v1. It is validated and shown in the stored form.
pub(crate) fn v1_kind() -> KindDef {
    let gvk = Gvk::new("autoscaling", "v1", "HorizontalPodAutoscaler");
    let kind = completed(gvk, "io.k8s.api.autoscaling.v1.HorizontalPodAutoscaler")
        .with_table(&table::COLUMNS, |object, now| table::row(&stored(object), now))
        .with_strategy(Strategy {
            default: |object| {
                absent(sub(object, "spec"), "minReplicas", 1);
                // What the stored form makes of it is what its writer owns: annotations that stand for fields.
                v1::to_storage(object);
                v1::from_storage(object);
            },
            validate_create: |object, errors| validate::object(&stored(object), None, errors),
            validate_update: |new, old, errors| validate::object(&stored(new), Some(&stored(old)), errors),
            validate_status: |new, _, errors| validate::status(&stored(new), errors),
            generation: Generation::Spec,
            ..Strategy::default()
        });
    KindDef {
        storage: GroupResource::new("autoscaling", "horizontalpodautoscalers"),
        convert: Some(Conversion { to_storage: v1::to_storage, from_storage: v1::from_storage }),
        ..kind
    }
}

fn completed(gvk: Gvk, schema: &str) -> KindDef {
    KindDef::namespaced(gvk, "horizontalpodautoscalers", facts::schema(schema))
        .short(&["hpa"])
        .categories(&["all"])
        .with_status()
}

fn stored(object: &Value) -> Value {
    let mut stored = object.clone();
    v1::to_storage(&mut stored);
    stored
}

/// What is aimed at when nothing is said: four fifths of the CPU that pods ask for.
fn usual_metrics() -> Value {
    metrics_of_cpu(&json!(80))
}

fn metrics_of_cpu(percent: &Value) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": percent});
    json!([{"type": "Resource", "resource": {"name": "cpu", "target": target}}])
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    absent(spec, "minReplicas", 1);
    if is_empty(&spec["metrics"]) {
        set(spec, "metrics", usual_metrics());
    }
    let Some(behavior) = present(spec, "behavior") else { return };
    let policy = |kind: &str, value: u32| json!({"type": kind, "value": value, "periodSeconds": 15});
    let up = sub(behavior, "scaleUp");
    absent(up, "stabilizationWindowSeconds", 0);
    absent(up, "policies", json!([policy("Pods", 4), policy("Percent", 100)]));
    let down = sub(behavior, "scaleDown");
    absent(down, "policies", json!([policy("Percent", 100)]));
    for direction in ["scaleUp", "scaleDown"] {
        absent(sub(behavior, direction), "selectPolicy", "Max");
    }
}
