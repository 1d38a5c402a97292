//! policy/v1 PodDisruptionBudget.
//!
//! Upstream: `pkg/registry/policy/poddisruptionbudget/strategy.go`, `pkg/apis/policy/validation/validation.go`.

use crate::{
    apps::{counts, rollout},
    conditions,
    cursor::Cursor,
    facts, selector, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, Gvk, names};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::{Value, json};

/// The kind.
pub(crate) fn kind() -> KindDef {
    let gvk = Gvk::new("policy", "v1", "PodDisruptionBudget");
    let columns = [
        Column::name(),
        Column::text("Min Available"),
        Column::text("Max Unavailable"),
        Column::of("Allowed Disruptions", "integer"),
        Column::age(),
    ];
    let schema = facts::schema("io.k8s.api.policy.v1.PodDisruptionBudget");
    KindDef::namespaced(gvk, "poddisruptionbudgets", schema)
        .short(&["pdb"])
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            validate,
            validate_status,
            generation: Generation::Spec,
            // Upstream asks nothing of the name but that it can stand in a path.
            name: names::name_is_path_segment,
            unconditional_update: false,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let (min, max) = (spec.get("minAvailable"), spec.get("maxUnavailable"));
    if min.is_set() && max.is_set() {
        errors.invalid(spec.path(), &shown(&spec), "minAvailable and maxUnavailable cannot be both set");
    }
    for limit in [min, max].iter().filter(|limit| limit.is_set()) {
        rollout::int_or_percent(limit, errors);
        rollout::at_most_all(limit, errors);
    }
    selector::validate(&spec.get("selector"), errors);
    spec.get("unhealthyPodEvictionPolicy").opt_one_of(errors, &["AlwaysAllow", "IfHealthyBudget"]);
}

/// The spec as upstream's internal type prints itself.
fn shown(spec: &Cursor<'_, '_>) -> Value {
    json!({
        "MinAvailable": spec.get("minAvailable").value(), "Selector": spec.get("selector").value(),
        "MaxUnavailable": spec.get("maxUnavailable").value(),
        "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy").value(),
    })
}

fn validate_status(new: &Value, _: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let status = root.get("status");
    conditions::validate(&status.get("conditions"), errors);
    counts(&status, &["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"], errors);
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let limit = |field: &str| match &object["spec"][field] {
        Value::Null => Value::from("N/A"),
        Value::String(text) => text.as_str().into(),
        number => number.to_string().into(),
    };
    vec![
        table::name(object),
        limit("minAvailable"),
        limit("maxUnavailable"),
        table::number(&object["status"]["disruptionsAllowed"]),
        table::age(object, now),
    ]
}
