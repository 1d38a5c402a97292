//! apps/v1 Deployment.
//!
//! Upstream: `pkg/registry/apps/deployment/strategy.go`, `pkg/apis/apps/{v1/defaults.go,validation/validation.go}`.

use super::{collisions, counts, namespaced, parts_of_replicas, rollout, scale, selector_and_template};
use crate::{
    cursor::Cursor,
    fill::{absent, sub, zero},
    pod_spec::{defaults, template},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Ready"),
        Column::text("Up-to-date"),
        Column::text("Available"),
        Column::age(),
        Column::text("Containers").wide(),
        Column::text("Images").wide(),
        Column::text("Selector").wide(),
    ];
    namespaced("Deployment", "deployments")
        .short(&["deploy"])
        .categories(&["all"])
        .with_status()
        .with_scale(scale())
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            validate,
            validate_update: |new, old, errors| {
                let (new, old) = (Cursor::root(new), Cursor::root(old));
                let (new, old) = (new.get("spec"), old.get("spec"));
                new.get("selector").immutable(&old.get("selector"), errors);
            },
            validate_status,
            warnings: template::owner_warnings,
            generation: Generation::SpecOrAnnotations,
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    absent(spec, "replicas", 1);
    absent(spec, "revisionHistoryLimit", 10);
    absent(spec, "progressDeadlineSeconds", 600);
    let strategy = sub(spec, "strategy");
    zero(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = sub(strategy, "rollingUpdate");
        absent(rolling, "maxUnavailable", "25%");
        absent(rolling, "maxSurge", "25%");
    }
    defaults::template(spec);
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    spec.get("replicas").non_negative(errors);
    selector_and_template(&spec, errors);
    strategy(&spec.get("strategy"), errors);
    spec.get("minReadySeconds").non_negative(errors);
    spec.get("revisionHistoryLimit").non_negative(errors);
    let deadline = spec.get("progressDeadlineSeconds");
    deadline.non_negative(errors);
    if deadline.opt_int().is_some_and(|seconds| seconds <= spec.int_of("minReadySeconds")) {
        deadline.invalid(errors, "must be greater than minReadySeconds");
    }
}

fn strategy(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let rolling = at.get("rollingUpdate");
    match (at.text_of("type"), rolling.is_set()) {
        ("Recreate", true) => {
            rolling.forbidden(errors, "may not be specified when strategy `type` is 'Recreate'");
        }
        ("Recreate", false) => {}
        ("RollingUpdate", true) => rolling_update(&rolling, errors),
        ("RollingUpdate", false) => {
            rolling.required(errors, "this should be defaulted and never be nil");
        }
        _ => at.unsupported(errors, &["Recreate", "RollingUpdate"]),
    }
}

fn rolling_update(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (unavailable, surge) = (at.get("maxUnavailable"), at.get("maxSurge"));
    rollout::int_or_percent(&unavailable, errors);
    rollout::int_or_percent(&surge, errors);
    if rollout::amount(unavailable.value()) == 0 && rollout::amount(surge.value()) == 0 {
        unavailable.invalid(errors, "may not be 0 when `maxSurge` is 0");
    }
    rollout::at_most_all(&unavailable, errors);
}

fn validate_status(new: &Value, old: &Value, errors: &mut FieldErrors) {
    const COUNTS: [&str; 8] = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    let status = new.get("status");
    counts(&status, &COUNTS, errors);
    parts_of_replicas(&status, &["updatedReplicas", "readyReplicas", "availableReplicas"], errors);
    collisions(&status, &old.get("status"), errors);
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let number = |value: &Value| value.as_i64().unwrap_or(0);
    let [names, images] = table::containers(&spec["template"]["spec"]);
    vec![
        table::name(object),
        format!("{}/{}", number(&status["readyReplicas"]), number(&spec["replicas"])).into(),
        table::number(&status["updatedReplicas"]),
        table::number(&status["availableReplicas"]),
        table::age(object, now),
        names,
        images,
        selector::text(&spec["selector"]).unwrap_or_else(|| "<invalid>".to_owned()).into(),
    ]
}
