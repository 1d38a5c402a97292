//! apps/v1 DaemonSet. The generation of its template lives in an annotation.
//!
//! Upstream: `pkg/registry/apps/daemonset/strategy.go`, `pkg/apis/apps/{v1/conversion.go,validation/validation.go}`.

use super::{collisions, counts, namespaced, rollout};
use crate::{
    cursor::Cursor,
    fill::{absent, annotation, present, same, set, sub, zero},
    pod_spec::{defaults, template},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::FieldErrors;
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::of("Desired", "integer"),
        Column::of("Current", "integer"),
        Column::of("Ready", "integer"),
        Column::of("Up-to-date", "integer"),
        Column::of("Available", "integer"),
        Column::text("Node Selector"),
        Column::age(),
        Column::text("Containers").wide(),
        Column::text("Images").wide(),
        Column::text("Selector").wide(),
    ];
    namespaced("DaemonSet", "daemonsets")
        .short(&["ds"])
        .categories(&["all"])
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            prepare_create: |object| {
                let generation = annotation(object, TEMPLATE_GENERATION).parse().unwrap_or(0).max(1);
                set_generation(object, generation);
            },
            prepare_update: |new, old| {
                let before = annotation(old, TEMPLATE_GENERATION).parse().unwrap_or(1);
                let changed = !same(&new["spec"]["template"], &old["spec"]["template"]);
                set_generation(new, i64::saturating_add(before, i64::from(changed)));
            },
            prepare_status: |new, old| {
                let generation = annotation(old, TEMPLATE_GENERATION).parse().unwrap_or(1);
                set_generation(new, generation);
            },
            validate_create: validate,
            validate_update: |object, old, errors| {
                let (new, old) = (Cursor::root(object), Cursor::root(old));
                let (new, old) = (new.get("spec"), old.get("spec"));
                new.get("selector").immutable(&old.get("selector"), errors);
                validate(object, errors);
            },
            validate_status,
            warnings: template::template_warnings,
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

fn set_generation(object: &mut Value, generation: i64) {
    set(sub(sub(object, "metadata"), "annotations"), TEMPLATE_GENERATION, generation.to_string());
}

fn default(object: &mut Value) {
    // Upstream keeps it in a field of its own, which is written as this annotation whatever its value.
    absent(sub(sub(object, "metadata"), "annotations"), TEMPLATE_GENERATION, "0");
    let spec = sub(object, "spec");
    absent(spec, "revisionHistoryLimit", 10);
    let strategy = sub(spec, "updateStrategy");
    zero(strategy, "type", "RollingUpdate");
    if strategy["type"] == "RollingUpdate" {
        let rolling = sub(strategy, "rollingUpdate");
        absent(rolling, "maxUnavailable", 1);
        absent(rolling, "maxSurge", 0);
    } else if let Some(unused) = present(strategy, "rollingUpdate") {
        ["maxUnavailable", "maxSurge"].iter().for_each(|limit| absent(unused, limit, 0));
    }
    defaults::template(spec);
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let own = spec.get("selector");
    selector::validate(&own, errors);
    template::selected(&spec, errors);
    if own.is_set() && selector::is_empty(own.value()) {
        own.invalid(errors, "empty selector is invalid for daemonset");
    }
    let at = spec.get("template");
    template::template(&at, errors);
    template::runs_for_ever(&at, "DaemonSet", errors);
    spec.get("minReadySeconds").non_negative(errors);
    strategy(&spec.get("updateStrategy"), errors);
    spec.get("revisionHistoryLimit").non_negative(errors);
}

fn strategy(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let rolling = at.get("rollingUpdate");
    match at.text_of("type") {
        "OnDelete" => {}
        "RollingUpdate" if rolling.is_set() => rolling_update(&rolling, errors),
        "RollingUpdate" => rolling.required(errors, ""),
        _ => at.unsupported(errors, &["RollingUpdate", "OnDelete"]),
    }
}

fn rolling_update(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (unavailable, surge) = (at.get("maxUnavailable"), at.get("maxSurge"));
    for limit in [unavailable, surge] {
        rollout::int_or_percent(&limit, errors);
    }
    for limit in [unavailable, surge] {
        rollout::at_most_all(&limit, errors);
    }
    match (rollout::amount(unavailable.value()) != 0, rollout::amount(surge.value()) != 0) {
        (true, true) => surge.invalid(errors, "may not be set when maxUnavailable is non-zero"),
        (false, false) => unavailable.required(errors, "cannot be 0 when maxSurge is 0"),
        _ => {}
    }
}

fn validate_status(new: &Value, old: &Value, errors: &mut FieldErrors) {
    const COUNTS: [&str; 9] = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    let (new, old) = (Cursor::root(new), Cursor::root(old));
    let status = new.get("status");
    counts(&status, &COUNTS, errors);
    collisions(&status, &old.get("status"), errors);
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let pod = &spec["template"]["spec"];
    let [names, images] = table::containers(pod);
    vec![
        table::name(object),
        table::number(&status["desiredNumberScheduled"]),
        table::number(&status["currentNumberScheduled"]),
        table::number(&status["numberReady"]),
        table::number(&status["updatedNumberScheduled"]),
        table::number(&status["numberAvailable"]),
        selector::label_text(&pod["nodeSelector"]).into(),
        table::age(object, now),
        names,
        images,
        table::selector(&spec["selector"]),
    ]
}
