//! batch/v1 CronJob.
//!
//! Upstream: `pkg/registry/batch/cronjob/strategy.go`, `pkg/apis/batch/{v1/defaults.go,validation/validation.go}`.

use super::job;
use crate::{
    cursor::Cursor,
    facts,
    fill::{absent, sub, zero},
    pod_spec::{defaults, template, warnings},
    table,
};
use jiff::Timestamp;
use proa_meta::{
    FieldErrors, Gvk,
    cron::{self, Schedule},
};
use proa_registry::kind::{Column, Generation, KindDef, Strategy};
use serde_json::Value;

/// The operator appends eleven characters to the name for a job's.
const LONGEST_NAME: usize = 63 - 11;

/// The kind.
pub(crate) fn kind() -> KindDef {
    let columns = [
        Column::name(),
        Column::text("Schedule"),
        Column::text("Timezone"),
        Column::of("Suspend", "boolean"),
        Column::of("Active", "integer"),
        Column::text("Last Schedule"),
        Column::age(),
        Column::text("Containers").wide(),
        Column::text("Images").wide(),
        Column::text("Selector").wide(),
    ];
    let gvk = Gvk::new("batch", "v1", "CronJob");
    KindDef::namespaced(gvk, "cronjobs", facts::schema("io.k8s.api.batch.v1.CronJob"))
        .short(&["cj"])
        .categories(&["all"])
        .with_status()
        .with_table(&columns, row)
        .with_strategy(Strategy {
            default,
            validate_create: |object, errors| validate(object, None, errors),
            validate_update: |new, old, errors| validate(new, Some(old), errors),
            warnings,
            generation: Generation::Spec,
            ..Strategy::default()
        })
}

fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    zero(spec, "concurrencyPolicy", "Allow");
    absent(spec, "suspend", false);
    absent(spec, "successfulJobsHistoryLimit", 3);
    absent(spec, "failedJobsHistoryLimit", 1);
    let job = sub(sub(spec, "jobTemplate"), "spec");
    job::default_policies(job);
    defaults::template(job);
}

fn validate(object: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let at = spec.get("schedule");
    if !at.is_empty() {
        schedule(&at, errors);
    }
    spec.get("startingDeadlineSeconds").non_negative(errors);
    let zone = spec.get("timeZone");
    // A zone that was known once may stay.
    if old.is_none_or(|old| old["spec"]["timeZone"] != *zone.value()) {
        time_zone(&zone, errors);
    }
    spec.get("concurrencyPolicy").one_of(errors, &["Allow", "Forbid", "Replace"]);
    let template = spec.get("jobTemplate");
    let job = template.get("spec");
    job::validate_spec(&job, errors);
    let selector = job.get("selector");
    if selector.is_set() {
        selector.invalid(errors, "`selector` will be auto-generated");
    }
    let manual = job.get("manualSelector");
    if manual.is_true() {
        manual.unsupported(errors, &["nil", "false"]);
    }
    spec.get("successfulJobsHistoryLimit").non_negative(errors);
    spec.get("failedJobsHistoryLimit").non_negative(errors);
    let name = root.get("metadata");
    let name = name.get("name");
    if old.is_none() && name.text().len() > LONGEST_NAME {
        name.invalid(errors, &format!("must be no more than {LONGEST_NAME} characters"));
    }
    // The only rule that upstream declares with the field; those come last.
    at.must_be_set(errors);
}

fn schedule(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if at.text().contains("TZ") {
        at.invalid(errors, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if let Err(why) = Schedule::parse(at.text()) {
        at.invalid(errors, &why.to_string());
    }
}

fn time_zone(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if !at.is_set() {
        return;
    }
    match at.text() {
        "" => at.invalid(errors, "timeZone must be nil or non-empty string"),
        "Local" => at.invalid(
            errors,
            "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones",
        ),
        name if cron::time_zone(name).is_none() => {
            at.invalid(errors, &format!("unknown time zone {name}"));
        }
        _ => {}
    }
}

fn warnings(object: &Value) -> Vec<String> {
    let mut found = template::name_warning(object, "Pod names and hostnames");
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let template = spec.get("jobTemplate");
    let job = template.get("spec");
    found.extend(job::size_warning(&job));
    found.extend(warnings::warnings(&job.get("template"), true));
    found
}

fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let job = &spec["jobTemplate"]["spec"];
    let [names, images] = table::containers(&job["template"]["spec"]);
    let last = &status["lastScheduleTime"];
    let suspended = spec["suspend"].as_bool();
    vec![
        table::name(object),
        table::text_or(&spec["schedule"], ""),
        table::text_or(&spec["timeZone"], "<none>"),
        suspended.map_or("<unset>", |flag| if flag { "True" } else { "False" }).into(),
        status["active"].as_array().map_or(0, Vec::len).into(),
        if last.is_string() { table::since(last, now).into() } else { "<none>".into() },
        table::age(object, now),
        names,
        images,
        table::selector(&job["selector"]),
    ]
}
