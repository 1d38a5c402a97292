//! Scopes: which pods (or claims) a quota is about.
//!
//! Upstream: `pkg/apis/core/validation/validation.go`, `pkg/apis/core/helper/helpers.go`.

use crate::{cursor::Cursor, pod_spec::resources};
use proa_meta::FieldErrors;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const KNOWN: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
const COMPUTE: [&str; 6] =
    ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
const EXCLUSIVE: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
const ONLY_EXISTS: &str = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                           ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                           ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

/// Both ways to write scopes.
pub(super) fn validate(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let hard = spec.get("hard");
    let limited: BTreeSet<&str> = hard.entries().map(|(name, _)| name).collect();
    let misfits = |scope: &str| limited.iter().filter(|name| !fits(scope, name)).count();
    listed(&spec.get("scopes"), &misfits, errors);
    if let Some(selector) = spec.present("scopeSelector") {
        selected(spec, &selector, &misfits, errors);
    }
}

fn listed(scopes: &Cursor<'_, '_>, misfits: &dyn Fn(&str) -> usize, errors: &mut FieldErrors) {
    let names: Vec<&str> = scopes.list().iter().filter_map(Value::as_str).collect();
    for scope in &names {
        if !KNOWN.contains(scope) {
            scopes.invalid(errors, "unsupported scope");
        }
        for _ in 0..misfits(scope) {
            scopes.invalid(errors, "unsupported scope applied to resource");
        }
    }
    conflicts(&names, scopes, errors);
}

fn selected(
    spec: &Cursor<'_, '_>,
    selector: &Cursor<'_, '_>,
    misfits: &dyn Fn(&str) -> usize,
    errors: &mut FieldErrors,
) {
    let expressions = selector.get("matchExpressions");
    let mut names = Vec::new();
    for requirement in expressions.items() {
        let scope = requirement.text_of("scopeName");
        names.push(scope);
        if !KNOWN.contains(&scope) {
            errors.invalid(&expressions.path().child("scopeName"), &scope.into(), "unsupported scope");
        }
        for _ in 0..misfits(scope) {
            let text = "unsupported scope applied to resource";
            errors.invalid(expressions.path(), &shown(&expressions), text);
        }
        operator(&expressions, &requirement, scope, errors);
    }
    // Upstream shows the other way to write them.
    conflicts(&names, &expressions.with(spec.get("scopes").value()), errors);
}

/// Upstream's paths name the list, not the element.
fn operator(list: &Cursor<'_, '_>, requirement: &Cursor<'_, '_>, scope: &str, errors: &mut FieldErrors) {
    let operator = requirement.get("operator");
    let values = requirement.get("values");
    let (of_operator, of_values) = (list.path().child("operator"), list.path().child("values"));
    let takes_no_operator =
        KNOWN.contains(&scope) && !matches!(scope, "PriorityClass" | "VolumeAttributesClass");
    if takes_no_operator && operator.text() != "Exists" {
        errors.invalid(&of_operator, &operator.text().into(), ONLY_EXISTS);
    }
    match operator.text() {
        "In" | "NotIn" if values.is_empty() => {
            let text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
            errors.required(&of_values, text);
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            let text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
            errors.invalid(&of_values, values.value(), text);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => errors.invalid(&of_operator, &other.into(), "not a valid selector operator"),
    }
}

fn conflicts(names: &[&str], shown: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for pair in EXCLUSIVE {
        if pair.iter().all(|scope| names.contains(scope)) {
            errors.invalid(shown.path(), shown.value(), "conflicting scopes");
        }
    }
}

/// Whether a resource with a plain name can be limited in a scope. Other names are not checked, nor are unknown scopes.
fn fits(scope: &str, name: &str) -> bool {
    if !resources::is_standard(name) || name == "storage" {
        return true;
    }
    match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        _ if KNOWN.contains(&scope) => name == "pods" || COMPUTE.contains(&name),
        _ => true,
    }
}

/// The selector as upstream's internal type prints itself.
fn shown(expressions: &Cursor<'_, '_>) -> Value {
    let one = |requirement: Cursor<'_, '_>| {
        json!({"ScopeName": requirement.text_of("scopeName"), "Operator": requirement.text_of("operator"),
            "Values": requirement.get("values").value()})
    };
    json!({"MatchExpressions": expressions.items().map(one).collect::<Vec<_>>()})
}
