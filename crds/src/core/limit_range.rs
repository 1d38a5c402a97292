//! v1 LimitRange.
//!
//! Upstream: `pkg/registry/core/limitrange/strategy.go`, `pkg/apis/core/validation/validation.go`,
//! `SetDefaults_LimitRangeItem`.

use super::namespaced;
use crate::{
    cursor::Cursor,
    fill::{fields, items, present, sub},
    pod_spec::{
        resources::{self, amount, amounts},
        validate as spec_rules,
    },
};
use proa_meta::{FieldErrors, names, quantity::Quantity};
use proa_registry::kind::{KindDef, Strategy};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

const LISTS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];
/// Quantities above are compared as whole numbers, as thousandths would not fit.
const MAX_MILLI: i64 = i64::MAX / 1000;

/// The kind.
pub(crate) fn kind() -> KindDef {
    namespaced("LimitRange", "limitranges").short(&["limits"]).with_strategy(Strategy {
        default: |object| {
            let Some(spec) = present(object, "spec") else { return };
            items(spec, "limits").for_each(default);
        },
        validate,
        create_on_update: true,
        ..Strategy::default()
    })
}

/// A container's default limit is the maximum, its default request the default limit or the minimum.
fn default(limit: &mut Value) {
    for list in LISTS {
        if let Some(list) = present(limit, list) {
            resources::round_up(list);
        }
    }
    if limit["type"] != "Container" {
        return;
    }
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")] {
        let given = limit[from].as_object().cloned().unwrap_or_else(Map::new);
        let filled = fields(sub(limit, to));
        for (name, quantity) in given {
            filled.entry(name).or_insert(quantity);
        }
    }
}

fn validate(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let spec = root.get("spec");
    let mut seen = BTreeSet::new();
    for limit in spec.get("limits").items() {
        let kind = limit.get("type");
        type_name(&kind, errors);
        if !seen.insert(kind.text()) {
            kind.duplicate(errors);
        }
        lists(&limit, kind.text(), errors);
        let bound = |list: &str| amount(limit.get(list).value(), "storage").is_some();
        if kind.text() == "PersistentVolumeClaim" && !bound("min") && !bound("max") {
            let text = "either minimum or maximum storage value is required, but neither was provided";
            errors.required(&limit.path().child("limits"), text);
        }
        relations(&limit, kind.text(), errors);
    }
}

fn type_name(kind: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let is_qualified = kind.named(errors, names::is_qualified_name);
    if is_qualified && !kind.text().contains('/') && !TYPES.contains(&kind.text()) {
        kind.invalid(errors, "must be a standard limit type or fully qualified");
    }
}

fn lists(limit: &Cursor<'_, '_>, kind: &str, errors: &mut FieldErrors) {
    for name in LISTS {
        let list = limit.get(name);
        if kind == "Pod" && matches!(name, "default" | "defaultRequest") {
            if !list.is_empty() {
                list.forbidden(errors, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        for (resource, entry) in list.entries() {
            match kind {
                "Pod" | "Container" => spec_rules::container_resource_name(&entry, resource, errors),
                _ => {
                    spec_rules::resource_name(&entry, resource, errors);
                }
            }
        }
    }
}

/// What the lists say of one resource.
struct Item {
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

fn relations(limit: &Cursor<'_, '_>, kind: &str, errors: &mut FieldErrors) {
    let lists = LISTS.map(|list| amounts(limit.get(list).value()));
    let resources: BTreeSet<&String> = lists.iter().flat_map(|list| list.keys()).collect();
    for resource in resources {
        let [max, min, default, request, ratio] = lists.each_ref().map(|list| list.get(resource).copied());
        let has_defaults = kind != "Pod";
        let item = Item {
            min,
            max,
            default: default.filter(|_| has_defaults),
            request: request.filter(|_| has_defaults),
            ratio,
        };
        item.validate(limit, resource, errors);
    }
}

impl Item {
    fn validate(&self, limit: &Cursor<'_, '_>, resource: &str, errors: &mut FieldErrors) {
        let mut wrong = |list: &str, shown: Quantity, text: String| {
            let list = limit.path().child(list);
            errors.invalid(&list.key(resource), &shown.to_string().into(), &text);
        };
        let above = |low: Option<Quantity>, high: Option<Quantity>| low.zip(high).filter(|(l, h)| l > h);
        if let Some((min, max)) = above(self.min, self.max) {
            wrong("min", min, format!("min value {min} is greater than max value {max}"));
        }
        if let Some((min, request)) = above(self.min, self.request) {
            let text = format!("min value {min} is greater than default request value {request}");
            wrong("defaultRequest", request, text);
        }
        if let Some((request, max)) = above(self.request, self.max) {
            let text = format!("default request value {request} is greater than max value {max}");
            wrong("defaultRequest", request, text);
        }
        if let Some((request, default)) = above(self.request, self.default) {
            let text =
                format!("default request value {request} is greater than default limit value {default}");
            wrong("defaultRequest", request, text);
        }
        if let Some((min, default)) = above(self.min, self.default) {
            wrong("default", min, format!("min value {min} is greater than default value {default}"));
        }
        if let Some((default, max)) = above(self.default, self.max) {
            wrong("default", max, format!("default value {default} is greater than max value {max}"));
        }
        if let Some(ratio) = self.ratio.filter(|ratio| *ratio < Quantity::milli(1000)) {
            wrong("maxLimitRequestRatio", ratio, format!("ratio {ratio} is less than 1"));
        }
        if let (Some(ratio), Some((min, max))) = (self.ratio, self.min.zip(self.max)) {
            let (own, most) = ratios(ratio, min, max);
            if own > most {
                let text = format!("ratio {ratio} is greater than max/min = {most:.6}");
                wrong("maxLimitRequestRatio", ratio, text);
            }
        }
        if let Some((default, request)) = self.default.zip(self.request)
            && default != request
            && !resources::is_overcommit_allowed(resource)
        {
            let text =
                format!("default value {default} must equal to defaultRequest value {request} in {resource}");
            wrong("defaultRequest", request, text);
        }
    }
}

/// The ratio that is asked for, and the largest that the bounds leave room for.
fn ratios(ratio: Quantity, min: Quantity, max: Quantity) -> (f64, f64) {
    if [ratio, min, max].iter().all(|quantity| quantity.value() < MAX_MILLI) {
        let most = max.milli_value() as f64 / min.milli_value() as f64;
        return (ratio.milli_value() as f64 / 1000.0, most);
    }
    (ratio.value() as f64, max.value() as f64 / min.value() as f64)
}
