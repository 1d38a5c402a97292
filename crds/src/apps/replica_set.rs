//! apps/v1 ReplicaSet.
//!
//! Upstream: `pkg/registry/apps/replicaset/strategy.go`, `pkg/apis/apps/validation/validation.go`.

use super::{counts, namespaced, parts_of_replicas, scale, selector_and_template};
use crate::{
    cursor::Cursor,
    fill::{absent, sub},
    pod_spec::{defaults, template},
    table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::of("Desired", "integer"),
        Column::of("Current", "integer"),
        Column::of("Ready", "integer"),
        Column::age(),
        Column::text("Containers").wide(),
        Column::text("Images").wide(),
        Column::text("Selector").wide(),
    ];
    namespaced("ReplicaSet", "replicasets")
        .short(&["rs"])
        .categories(&["all"])
        .with_status()
        .with_scale(scale())
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default: |object| {
                let spec = sub(object, "spec");
                absent(spec, "replicas", 1);
                defaults::template(spec);
            },
            validate,
            validate_update: |new, old, errors| {
                let (new, old) = (Cursor::root(new), Cursor::root(old));
                let (new, old) = (new.get("spec"), old.get("spec"));
                new.get("selector").immutable(&old.get("selector"), errors);
            },
            validate_status,
            warnings: template::owner_warnings,
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    spec.get("replicas").non_negative(errors);
    spec.get("minReadySeconds").non_negative(errors);
    selector_and_template(&spec, errors);
}

fn validate_status(new: &Value, _: &Value, errors: &mut FieldErrors) {
    const COUNTS: [&str; 6] = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
        "terminatingReplicas",
    ];
    let root = Cursor::root(new);
    let status = root.get("status");
    counts(&status, &COUNTS, errors);
    parts_of_replicas(&status, &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"], errors);
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let [names, images] = table::containers(&spec["template"]["spec"]);
    vec![
        table::name(object),
        table::number(&spec["replicas"]),
        table::number(&status["replicas"]),
        table::number(&status["readyReplicas"]),
        table::age(object, now),
        names,
        images,
        table::selector(&spec["selector"]),
    ]
}
