//! batch/v1 Job.
//!
//! Upstream: `pkg/registry/batch/job/strategy.go`, `pkg/apis/batch/{v1/defaults.go,validation/validation.go}`.

mod policies;
mod spec;
mod status;

pub(super) use spec::validate_spec;

use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, fields, is_empty, items, present, remove, set, sub, zero},
    pod_spec::{defaults, template},
    table,
};
use jiff::Timestamp;
use proa_meta::Gvk;
use proa_registry::kind::{Column, Generation, KindDef, Propagation, Selectable, Strategy};
use serde_json::{Value, json};

/// Labels that tie pods to their job, in both spellings.
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];

const KEPT: &str = "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning";

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Status"),
        Column::text("Completions"),
        Column::text("Duration"),
        Column::age(),
        Column::text("Containers").wide(),
        Column::text("Images").wide(),
        Column::text("Selector").wide(),
    ];
    let gvk = Gvk::new("batch", "v1", "Job");
    KindDef::namespaced(gvk, "jobs", facts::schema("io.k8s.api.batch.v1.Job"))
        .categories(&["all"])
        .with_status()
        .selectable(&[Selectable::new("status.succeeded").or("0").called("status.successful")])
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            prepare_create,
            prepare_unlabelled: share_labels,
            prepare_status: |new, _| default_labels(new),
            validate_create: spec::validate_create,
            validate_update: spec::validate_update,
            validate_status: status::validate,
            warnings,
            generation: Generation::Spec,
            default_propagation: Propagation::Orphan,
            delete_warning: Some(KEPT),
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        set(spec, "completions", 1);
    }
    absent(spec, "parallelism", 1);
    let backoff = if spec["backoffLimitPerIndex"].is_null() { 6 } else { i32::MAX };
    absent(spec, "backoffLimit", backoff);
    absent(spec, "completionMode", "NonIndexed");
    absent(spec, "suspend", false);
    absent(spec, "manualSelector", false);
    let replacement = if spec["podFailurePolicy"].is_null() { "TerminatingOrFailed" } else { "Failed" };
    absent(spec, "podReplacementPolicy", replacement);
    default_policies(spec);
    defaults::template(spec);
    default_labels(object);
}

/// What a job's spec gets wherever it is.
pub(super) fn default_policies(spec: &mut Value) {
    // Its feature, like those in `pod_spec::alpha`, is off.
    remove(spec, "scheduling");
    if let Some(policy) = present(spec, "podFailurePolicy") {
        for rule in items(policy, "rules") {
            items(rule, "onPodConditions").for_each(|pattern| zero(pattern, "status", "True"));
        }
    }
}

/// A job without labels has those of its pods.
fn default_labels(object: &mut Value) {
    if is_empty(&object["metadata"]["labels"]) {
        share_labels(object);
    }
}

/// Unless the user chose the selector, it is the job's uid.
fn prepare_create(object: &mut Value) {
    set(object, "status", json!({}));
    if object["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) =
        (Value::from(object["metadata"]["name"].as_str().unwrap_or("")), object["metadata"]["uid"].clone());
    let spec = sub(object, "spec");
    let labels = fields(sub(sub(sub(spec, "template"), "metadata"), "labels"));
    for label in NAME_LABELS {
        labels.entry(label).or_insert_with(|| name.clone());
    }
    for label in UID_LABELS {
        labels.entry(label).or_insert_with(|| uid.clone());
    }
    let selector = fields(sub(sub(spec, "selector"), "matchLabels"));
    selector.entry(UID_LABELS[1]).or_insert(uid);
}

/// A job that came without labels has those of its pods, also the ones that they got since.
fn share_labels(object: &mut Value) {
    let labels = object["spec"]["template"]["metadata"]["labels"].clone();
    if !is_empty(&labels) {
        set(sub(object, "metadata"), "labels", labels);
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let mut found = template::name_warning(object, "Pod names and hostnames");
    found.extend(size_warning(&Cursor::root(object).get("spec")));
    found.extend(template::template_warnings(object));
    found
}

/// A warning of a spec with very many indexes.
pub(super) fn size_warning(spec: &Cursor<'_, '_>) -> Option<String> {
    const MANY: i64 = 100_000;
    let is_large = spec.int_of("completions") > MANY && spec.int_of("parallelism") > 10_000;
    (is_large && spec.text_of("completionMode") == "Indexed").then(|| {
        format!("{}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail", spec.path())
    })
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let [names, images] = table::containers(&spec["template"]["spec"]);
    vec![
        table::name(object),
        state(object).into(),
        completions(object).into(),
        duration(&object["status"], now).into(),
        table::age(object, now),
        names,
        images,
        table::selector(&spec["selector"]),
    ]
}

fn state(object: &Value) -> &'static str {
    let is = |kind: &str| table::condition(object, kind) == "True";
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if object["metadata"]["deletionTimestamp"].is_string() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(object: &Value) -> String {
    let (spec, status) = (&object["spec"], &object["status"]);
    let done = status["succeeded"].as_i64().unwrap_or(0);
    match (spec["completions"].as_i64(), spec["parallelism"].as_i64().unwrap_or(0)) {
        (Some(wanted), _) => format!("{done}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{done}/1 of {parallelism}"),
        (None, _) => format!("{done}/1"),
    }
}

fn duration(status: &Value, now: Timestamp) -> String {
    let time = |field: &str| status[field].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match time("startTime") {
        None => String::new(),
        Some(start) => {
            let end = time("completionTime").unwrap_or(now);
            proa_schema::table::human_duration(end.duration_since(start).as_secs())
        }
    }
}
