//! Validation, in the form of v2. Upstream: `pkg/apis/autoscaling/validation/validation.go`.

use crate::{
    cursor::{Cursor, NEGATIVE},
    pod_spec::validate::container_resource_name,
};
use proa_meta::{FieldErrors, names, quantity::Quantity};
use serde_json::Value;

const LONGEST_WINDOW: i64 = 3600;
const LONGEST_PERIOD: i64 = 1800;
const TYPES: [&str; 5] = ["ContainerResource", "External", "Object", "Pods", "Resource"];
/// Where a metric comes from: its type and its field, in upstream's order.
const SOURCES: [(&str, &str); 5] = [
    ("Object", "object"),
    ("External", "external"),
    ("Pods", "pods"),
    ("Resource", "resource"),
    ("ContainerResource", "containerResource"),
];

/// Validates a new object, or a change of `old`.
pub(super) fn object(new: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let spec = root.get("spec");
    let (min, max) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    if min.opt_int().is_some_and(|min| max.int() < min) {
        errors.invalid(max.path(), &max.int().into(), "must be greater than or equal to `minReplicas`");
    }
    let target = spec.get("scaleTargetRef");
    let is_same = old.is_some_and(|old| {
        let before = &old["spec"]["scaleTargetRef"];
        ["apiVersion", "kind"].iter().all(|field| before[field] == target.value()[field])
    });
    let version = match target.text_of("kind") {
        _ if is_same => Version::Any,
        "ReplicationController" => Version::Parsed,
        _ => Version::WithGroup,
    };
    reference(&target, version, errors);
    // Objects that were described wrongly before may stay so.
    let was_wrong = old.is_some_and(|old| {
        let metrics = old["spec"]["metrics"].as_array().into_iter().flatten();
        let mut versions = metrics.filter_map(|one| one["object"]["describedObject"]["apiVersion"].as_str());
        versions.any(|version| version_problem(version, Version::Parsed).is_some())
    });
    let metrics = spec.get("metrics");
    let described = if was_wrong { Version::Any } else { Version::Parsed };
    metrics.items().for_each(|metric| validate_metric(&metric, described, errors));
    let is_outside = |metric: &Value| metric["type"] == "Object" || metric["type"] == "External";
    if min.opt_int() == Some(0) && !metrics.list().iter().any(is_outside) {
        let text = "must specify at least one Object or External metric to support scaling to zero replicas";
        metrics.forbidden(errors, text);
    }
    let behavior = spec.get("behavior");
    for direction in ["scaleUp", "scaleDown"] {
        if let Some(rules) = behavior.present(direction) {
            validate_rules(&rules, errors);
        }
    }
    // Upstream declares these with the fields, so they come last.
    min.non_negative(errors);
    if max.int() == 0 {
        max.required(errors, "");
    } else if max.int() < 0 {
        max.invalid(errors, "must be greater than or equal to 1");
    }
}

/// Validates a status.
pub(super) fn status(new: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(new);
    let status = root.get("status");
    for condition in status.get("conditions").items() {
        condition.get("observedGeneration").non_negative(errors);
    }
    for field in ["currentReplicas", "desiredReplicas"] {
        status.get(field).non_negative(errors);
    }
}

/// How much an `apiVersion` must say.
#[derive(Clone, Copy, PartialEq)]
enum Version {
    Any,
    Parsed,
    WithGroup,
}

fn version_problem(text: &str, must: Version) -> Option<String> {
    let slashes = text.matches('/').count();
    match must {
        Version::Any => None,
        _ if slashes > 1 => Some(format!("unexpected GroupVersion string: {text}")),
        Version::WithGroup if slashes == 0 || text.starts_with('/') => {
            Some("apiVersion must specify API group".to_owned())
        }
        Version::Parsed | Version::WithGroup => None,
    }
}

fn reference(at: &Cursor<'_, '_>, must: Version, errors: &mut FieldErrors) {
    for field in ["kind", "name"] {
        let field = at.get(field);
        if field.must_be_set(errors) {
            field.named(errors, names::is_path_segment_name);
        }
    }
    let version = at.get("apiVersion");
    if let Some(why) = version_problem(version.text(), must) {
        version.invalid(errors, &why);
    }
}

fn validate_rules(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let window = at.get("stabilizationWindowSeconds");
    if window.int() < 0 {
        window.invalid(errors, "must be greater than or equal to zero");
    }
    if window.int() > LONGEST_WINDOW {
        window.invalid(errors, &format!("must be less than or equal to {LONGEST_WINDOW}"));
    }
    at.get("selectPolicy").opt_one_of(errors, &["Disabled", "Max", "Min"]);
    let policies = at.get("policies");
    if policies.is_empty() {
        policies.required(errors, "must specify at least one Policy");
    }
    for policy in policies.items() {
        policy.get("type").enumeration(errors, &["Percent", "Pods"]);
        policy.get("value").positive(errors);
        let period = policy.get("periodSeconds");
        period.positive(errors);
        if period.int() > LONGEST_PERIOD {
            period.invalid(errors, &format!("must be less than or equal to {LONGEST_PERIOD}"));
        }
    }
    let tolerance = at.get("tolerance");
    if Quantity::from_json(tolerance.value()).is_ok_and(|tolerance| tolerance.is_negative()) {
        tolerance.invalid(errors, NEGATIVE);
    }
}

fn validate_metric(at: &Cursor<'_, '_>, described: Version, errors: &mut FieldErrors) {
    let kind = at.get("type");
    if kind.is_empty() {
        kind.required(errors, "must specify a metric source type");
    }
    kind.enumeration(errors, &TYPES);
    let given: Vec<_> = SOURCES.into_iter().filter(|(_, field)| at.get(field).is_set()).collect();
    if let Some((_, field)) = given.first() {
        validate_source(&at.get(field), field, described, errors);
    }
    let own = SOURCES.into_iter().find(|(name, _)| *name == kind.text());
    if let Some((_, field)) = own
        && !at.get(field).is_set()
    {
        at.get(field).required(errors, "must populate information for the given metric source");
    }
    if given.len() > 1 {
        for (_, field) in given.iter().filter(|source| Some(**source) != own) {
            at.get(field).forbidden(errors, "must populate the given metric source only");
        }
    }
}

fn validate_source(at: &Cursor<'_, '_>, field: &str, described: Version, errors: &mut FieldErrors) {
    let is_resource = matches!(field, "resource" | "containerResource");
    let (metric, target) = (at.get("metric"), at.get("target"));
    let name = if is_resource { at.get("name") } else { metric.get("name") };
    if field == "object" {
        reference(&at.get("describedObject"), described, errors);
    }
    match (name.is_empty(), is_resource) {
        (true, true) => name.required(errors, "must specify a resource name"),
        (true, false) => name.required(errors, "must specify a metric name"),
        (false, true) if field == "containerResource" => {
            container_resource_name(&name, name.text(), errors);
        }
        (false, true) => {}
        (false, false) => {
            name.named(errors, names::is_path_segment_name);
        }
    }
    if field == "containerResource" {
        let container = at.get("container");
        if container.is_empty() {
            container.required(errors, "must specify a container");
        } else {
            container.named(errors, names::is_dns1123_label);
        }
    }
    validate_target(&target, errors);
    let (value, average, percent) =
        (target.get("value"), target.get("averageValue"), target.get("averageUtilization"));
    match field {
        "object" if !value.is_set() && !average.is_set() => {
            average.required(errors, "must set either a target value or averageValue");
        }
        "external" if !value.is_set() && !average.is_set() => {
            average.required(errors, "must set either a target value for metric or a per-pod target");
        }
        "external" if value.is_set() && average.is_set() => {
            value.forbidden(errors, "may not set both a target value for metric and a per-pod target");
        }
        "pods" if !average.is_set() => {
            average.required(errors, "must specify a positive target averageValue");
        }
        _ if is_resource && !percent.is_set() && !average.is_set() => {
            percent.required(errors, "must set either a target raw value or a target utilization");
        }
        _ if is_resource && percent.is_set() && average.is_set() => {
            average.forbidden(errors, "may not set both a target raw value and a target utilization");
        }
        _ => {}
    }
}

fn validate_target(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let kind = at.get("type");
    if kind.is_empty() {
        kind.required(errors, "must specify a metric target type");
    }
    if !matches!(kind.text(), "Utilization" | "Value" | "AverageValue") {
        kind.invalid(errors, "must be either Utilization, Value, or AverageValue");
    }
    for field in ["value", "averageValue"] {
        let value = at.get(field);
        if Quantity::from_json(value.value()).is_ok_and(|quantity| quantity <= Quantity::ZERO) {
            value.invalid(errors, "must be positive");
        }
    }
    let percent = at.get("averageUtilization");
    if percent.opt_int().is_some_and(|percent| percent < 1) {
        percent.invalid(errors, "must be greater than 0");
    }
}
