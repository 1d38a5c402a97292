//! Failure, success and replacement policies of jobs.

use super::status::parse_indexes;
use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use serde_json::Value;
use std::collections::BTreeSet;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const MAX_RULES: usize = 20;

/// The three policies.
pub(super) fn policies(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if let Some(policy) = spec.present("podFailurePolicy") {
        failure(spec, &policy, errors);
    }
    if let Some(policy) = spec.present("successPolicy") {
        if spec.text_of("completionMode") == "Indexed" {
            success(&policy, spec.int_of("completions"), errors);
        } else {
            policy.invalid(errors, "requires indexed completion mode");
        }
    }
    let replacement = spec.get("podReplacementPolicy");
    let supported: &[&str] = match spec.get("podFailurePolicy").is_set() {
        true => &["Failed"],
        false => &["Failed", "TerminatingOrFailed"],
    };
    replacement.opt_one_of(errors, supported);
}

fn at_most(list: &Cursor<'_, '_>, max: usize, errors: &mut FieldErrors) {
    if list.list().len() > max {
        errors.too_many(list.path(), list.list().len(), max);
    }
}

/// `Invalid value` without a value.
fn wrong(at: &Cursor<'_, '_>, text: &str, errors: &mut FieldErrors) {
    super::status::wrong(at, text, errors);
}

fn failure(spec: &Cursor<'_, '_>, policy: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let rules = policy.get("rules");
    at_most(&rules, MAX_RULES, errors);
    let pod = &spec.value()["template"]["spec"];
    let containers = ["containers", "initContainers"].into_iter().flat_map(|list| pod[list].as_array());
    let containers: BTreeSet<&str> = containers.flatten().filter_map(|c| c["name"].as_str()).collect();
    for rule in rules.items() {
        let action = rule.get("action");
        match action.text() {
            "" => action.required(errors, &format!("valid values: {ACTIONS:?}").replace(", ", " ")),
            "FailIndex" if !spec.get("backoffLimitPerIndex").is_set() => {
                action.invalid(errors, "requires the backoffLimitPerIndex to be set");
            }
            _ => {
                action.enumeration(errors, &ACTIONS);
            }
        }
        let (codes, conditions) = (rule.get("onExitCodes"), rule.get("onPodConditions"));
        if codes.is_set() {
            exit_codes(&codes, &containers, errors);
        }
        pod_conditions(&conditions, errors);
        match (codes.is_set(), conditions.is_empty()) {
            (true, false) => {
                wrong(&rule, "specifying both OnExitCodes and OnPodConditions is not supported", errors);
            }
            (false, true) => {
                wrong(&rule, "specifying one of OnExitCodes and OnPodConditions is required", errors);
            }
            _ => {}
        }
    }
}

fn exit_codes(at: &Cursor<'_, '_>, containers: &BTreeSet<&str>, errors: &mut FieldErrors) {
    let (operator, values) = (at.get("operator"), at.get("values"));
    match operator.is_empty() {
        true => operator.required(errors, "valid values: [\"In\" \"NotIn\"]"),
        false => {
            operator.enumeration(errors, &["In", "NotIn"]);
        }
    }
    let container = at.get("containerName");
    if container.is_set() && !containers.contains(container.text()) {
        let text = "must be one of the container or initContainer names in the pod template";
        container.invalid(errors, text);
    }
    if values.is_empty() {
        errors.invalid(values.path(), &Value::Null, "at least one value is required");
    }
    at_most(&values, 255, errors);
    let mut seen = BTreeSet::new();
    for value in values.items() {
        if operator.text() == "In" && value.int() == 0 {
            value.invalid(errors, "must not be 0 for the In operator");
        }
        if !seen.insert(value.int()) {
            value.duplicate(errors);
        }
    }
    if !values.list().is_sorted_by_key(Value::as_i64) {
        values.invalid(errors, "must be ordered");
    }
}

fn pod_conditions(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at_most(list, 20, errors);
    for pattern in list.items() {
        pattern.get("type").named(errors, names::is_qualified_name);
        let status = pattern.get("status");
        match status.is_empty() {
            true => status.required(errors, "valid values: [\"False\" \"True\" \"Unknown\"]"),
            false => {
                status.enumeration(errors, &["False", "True", "Unknown"]);
            }
        }
    }
}

fn success(policy: &Cursor<'_, '_>, completions: i64, errors: &mut FieldErrors) {
    let rules = policy.get("rules");
    if rules.is_empty() {
        rules.required(errors, "at least one rules must be specified when the successPolicy is specified");
    }
    at_most(&rules, MAX_RULES, errors);
    rules.items().for_each(|rule| success_rule(&rule, completions, errors));
}

fn success_rule(rule: &Cursor<'_, '_>, completions: i64, errors: &mut FieldErrors) {
    const MAX_BYTES: usize = 64 * 1024;
    let (count, indexes) = (rule.get("succeededCount"), rule.get("succeededIndexes"));
    if !count.is_set() && !indexes.is_set() {
        rule.required(errors, "at least one of succeededCount or succeededIndexes must be specified");
    }
    let mut listed = 0;
    if indexes.is_set() {
        if indexes.text().len() > MAX_BYTES {
            errors.too_long(indexes.path(), MAX_BYTES);
        }
        match parse_indexes(indexes.text(), completions) {
            Ok(intervals) => listed = intervals.iter().map(|(first, last)| last - first + 1).sum(),
            Err(problem) => {
                indexes.invalid(errors, &format!("error parsing succeededIndexes: {problem}"));
            }
        }
    }
    if !count.is_set() {
        return;
    }
    count.non_negative(errors);
    if count.int() > completions {
        let text =
            format!("must be less than or equal to {completions} (the number of specified completions)");
        count.invalid(errors, &text);
    }
    if indexes.is_set() && count.int() > listed {
        let text = format!(
            "must be less than or equal to {listed} (the number of indexes in the specified succeededIndexes field)"
        );
        count.invalid(errors, &text);
    }
}
