//! Affinity and tolerations.

use crate::{cursor::Cursor, selector};
use proa_meta::{FieldErrors, names};
use std::collections::BTreeSet;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const BOTH: &str = "exists in both matchLabelKeys and labelSelector";

/// `affinity`.
pub(super) fn affinity(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if let Some(node) = at.present("nodeAffinity") {
        node_affinity(&node, errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let terms = at.get(kind);
        terms.get(REQUIRED).items().for_each(|term| pod_term(&term, errors));
        for weighted in terms.get(PREFERRED).items() {
            weight(&weighted, errors);
            pod_term(&weighted.get("podAffinityTerm"), errors);
        }
    }
}

fn weight(term: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let weight = term.int_of("weight");
    if !(1..=100).contains(&weight) {
        term.get("weight").with(&weight.into()).invalid(errors, "must be in the range 1-100");
    }
}

fn node_affinity(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    if let Some(required) = at.present(REQUIRED) {
        node_selector(&required, errors);
    }
    for preferred in at.get(PREFERRED).items() {
        weight(&preferred, errors);
        node_term(&preferred.get("preference"), false, errors);
    }
}

/// Terms of which a node must meet one.
pub(crate) fn node_selector(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let terms = at.get("nodeSelectorTerms");
    if terms.is_empty() {
        terms.required(errors, "must have at least one node selector term");
    }
    terms.items().for_each(|term| node_term(&term, true, errors));
}

fn node_term(term: &Cursor<'_, '_>, check_values: bool, errors: &mut FieldErrors) {
    for requirement in term.get("matchExpressions").items() {
        node_requirement(&requirement, check_values, errors);
    }
    term.get("matchFields").items().for_each(|requirement| field_requirement(&requirement, errors));
}

fn node_requirement(at: &Cursor<'_, '_>, check_values: bool, errors: &mut FieldErrors) {
    let values = at.get("values");
    match at.text_of("operator") {
        "In" | "NotIn" if values.is_empty() => {
            values.required(errors, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            values.forbidden(errors, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "Gt" | "Lt" if values.list().len() != 1 => {
            values.required(errors, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        _ => at.get("operator").invalid(errors, "not a valid selector operator"),
    }
    at.get("key").named(errors, names::is_qualified_name);
    if check_values {
        values.items().for_each(|value| {
            value.named(errors, names::is_label_value);
        });
    }
}

fn field_requirement(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let values = at.get("values");
    match at.text_of("operator") {
        "In" | "NotIn" if values.list().len() != 1 => values.required(
            errors,
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
        "In" | "NotIn" => {}
        _ => at.get("operator").invalid(errors, "not a valid selector operator"),
    }
    if at.text_of("key") != "metadata.name" {
        return at.get("key").invalid(errors, "not a valid field selector key");
    }
    values.items().for_each(|value| {
        value.named(errors, names::is_dns1123_subdomain);
    });
}

fn pod_term(term: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    selector::validate(&term.get("labelSelector"), errors);
    selector::validate(&term.get("namespaceSelector"), errors);
    for name in term.get("namespaces").items() {
        term.get("namespace").with(name.value()).named(errors, names::is_dns1123_label);
    }
    label_keys(term, errors);
    let key = term.get("topologyKey");
    if key.is_empty() {
        key.required(errors, "can not be empty");
    }
    key.named(errors, names::is_qualified_name);
}

/// `matchLabelKeys` and `mismatchLabelKeys` of a pod affinity term or spread constraint.
pub(super) fn label_keys(term: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let selector = term.get("labelSelector");
    let (matching, other) = (term.get("matchLabelKeys"), term.get("mismatchLabelKeys"));
    for keys in [matching, other] {
        if keys.is_empty() {
            continue;
        }
        if !selector.is_set() {
            keys.forbidden(errors, "must not be specified when labelSelector is not set");
            continue;
        }
        keys.items().for_each(|key| {
            key.named(errors, names::is_qualified_name);
        });
    }
    repeated_keys(term, errors);
    for key in matching.items().filter(|key| other.list().contains(key.value())) {
        key.invalid(errors, "exists in both matchLabelKeys and mismatchLabelKeys");
    }
}

/// A key that was merged into the selector appears there once, as the merged requirement.
fn repeated_keys(term: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let matching = term.get("matchLabelKeys");
    let selector = term.get("labelSelector");
    let labels = selector.get("matchLabels");
    let mut seen: BTreeSet<&str> = labels.entries().map(|(key, _)| key).collect();
    for requirement in selector.get("matchExpressions").items() {
        let key = requirement.text_of("key");
        let place = matching.list().iter().position(|own| own == key);
        if let Some(place) = place.filter(|_| seen.contains(key)) {
            let path = term.path().index(place);
            errors.invalid(&path, &key.into(), BOTH);
        }
        seen.insert(key);
    }
}

/// `tolerations`.
pub(crate) fn tolerations(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for toleration in list.items() {
        let (key, value) = (toleration.get("key"), toleration.get("value"));
        let (operator, effect) = (toleration.get("operator"), toleration.get("effect"));
        key.opt_named(errors, names::is_qualified_name);
        if key.is_empty() && operator.text() != "Exists" {
            operator.invalid(
                errors,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            );
        }
        if toleration.get("tolerationSeconds").is_set() && effect.text() != "NoExecute" {
            effect.invalid(errors, "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
        toleration_operator(&operator, &value, errors);
        if !effect.is_empty() {
            taint_effect(&effect, errors);
        }
    }
}

fn toleration_operator(operator: &Cursor<'_, '_>, value: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let shown = operator.with(value.value());
    match operator.text() {
        "Equal" | "" => {
            let problems = names::is_label_value(value.text());
            if !problems.is_empty() {
                shown.invalid(errors, &problems.join(";"));
            }
        }
        "Exists" if !value.is_empty() => {
            shown.invalid(errors, "value must be empty when `operator` is 'Exists'");
        }
        "Exists" => {}
        "Lt" | "Gt" => operator.unsupported(errors, &["Equal", "Exists", "Lt", "Gt"]),
        _ => operator.unsupported(errors, &["Equal", "Exists"]),
    }
}

/// A taint's effect.
pub(crate) fn taint_effect(effect: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    effect.one_of(errors, &["NoSchedule", "PreferNoSchedule", "NoExecute"]);
}
