//! v1 ReplicationController: a replica set of old, whose selector is a plain map.
//!
//! Upstream: `pkg/registry/core/replicationcontroller/strategy.go`, `pkg/apis/core/{v1/defaults.go,validation/validation.go}`.

use crate::{
    apps,
    core::namespaced,
    cursor::Cursor,
    fill::{absent, is_empty, present, set, sub},
    pod_spec::{defaults, template},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Column, Generation, KindDef, Propagation, Selectable, Strategy};
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
    namespaced("ReplicationController", "replicationcontrollers")
        .short(&["rc"])
        .categories(&["all"])
        .selectable(&[Selectable::new("status.replicas").or("0")])
        .with_status()
        .with_scale(apps::scale())
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            validate,
            validate_status,
            create_warnings: template::owner_warnings,
            // Upstream looks at the whole name only, not at the beginning of a generated one.
            name: |name, is_prefix| match is_prefix {
                true => Vec::new(),
                false => names::name_is_dns_subdomain(name, false),
            },
            generation: Generation::Spec,
            default_propagation: Propagation::Orphan,
            ..Strategy::default()
        })
}

/// Without labels and selector of its own it has those of its pods.
fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    absent(spec, "replicas", 1);
    let Some(template) = present(spec, "template") else { return };
    let labels = template["metadata"]["labels"].clone();
    defaults::pod_spec(sub(template, "spec"));
    if is_empty(&labels) {
        return;
    }
    if is_empty(&spec["selector"]) {
        set(spec, "selector", labels.clone());
    }
    if is_empty(&object["metadata"]["labels"]) {
        set(sub(object, "metadata"), "labels", labels);
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let own = spec.get("selector");
    own.must_be_set(errors);
    pods(&spec.get("template"), &own, errors);
    // Upstream declares these with the fields; such rules come last.
    spec.get("replicas").non_negative(errors);
    spec.get("minReadySeconds").non_negative(errors);
}

fn pods(at: &Cursor<'_, '_>, own: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return at.required(errors, "");
    }
    let metadata = at.get("metadata");
    let labels = metadata.get("labels");
    let mut pairs = own.value().as_object().into_iter().flatten();
    if pairs.any(|(key, value)| labels.value().get(key) != Some(value)) {
        errors.invalid(labels.path(), labels.value(), template::MISMATCH);
    }
    template::template(at, errors);
    template::runs_for_ever(at, "ReplicationController", errors);
}

fn validate_status(new: &Value, _: &Value, errors: &mut FieldErrors) {
    const COUNTS: [&str; 5] =
        ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
    let root = Cursor::root(new);
    let status = root.get("status");
    apps::counts(&status, &COUNTS, errors);
    let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    apps::parts_of_replicas(&status, &parts, errors);
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
        selector::label_text(&spec["selector"]).into(),
    ]
}
