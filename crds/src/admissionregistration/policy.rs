//! What both kinds of policies share: defaults, validation of everything but their expressions, columns.
//!
//! Upstream: `pkg/apis/admissionregistration/{v1/defaults,validation/validation}.go`.

use super::webhook;
use crate::{
    cursor::Cursor,
    fill::{self, absent, present, sub},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::{Generation, Strategy};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// End of the names of policies that come from files.
const STATIC_SUFFIX: &str = ".static.k8s.io";

/// What policies and bindings of both kinds do alike.
pub(super) fn strategy(default: fn(&mut Value), validate: fn(&Value, &mut FieldErrors)) -> Strategy {
    Strategy {
        default,
        validate,
        validate_create: validate_new,
        warnings,
        generation: Generation::Spec,
        unconditional_update: false,
        ..Strategy::default()
    }
}

/// Defaults of a policy.
pub(super) fn default(object: &mut Value) {
    let spec = sub(object, "spec");
    absent(spec, "failurePolicy", "Fail");
    if let Some(constraints) = present(spec, "matchConstraints") {
        default_match(constraints);
    }
}

/// Defaults of what a policy or a binding matches.
pub(super) fn default_match(resources: &mut Value) {
    absent(resources, "matchPolicy", "Equivalent");
    absent(resources, "namespaceSelector", json!({}));
    absent(resources, "objectSelector", json!({}));
    for rules in ["resourceRules", "excludeResourceRules"] {
        fill::items(resources, rules).for_each(|rule| absent(rule, "scope", "*"));
    }
}

/// Cells of a policy; `what` names the list that is counted.
pub(super) fn row(object: &Value, what: &str, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let params = &spec["paramKind"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let params = if params.is_object() {
        format!("{}/{}", text(&params["apiVersion"]), text(&params["kind"]))
    } else {
        "<unset>".to_owned()
    };
    let count = spec[what].as_array().map_or(0, Vec::len);
    vec![table::name(object), count.into(), params.into(), table::age(object, now)]
}

/// Names of new objects must not look as if they came from a file.
fn validate_new(object: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let metadata = root.get("metadata");
    let name = metadata.get("name");
    if name.text().ends_with(STATIC_SUFFIX) {
        name.invalid(errors, &reserved());
    }
}

/// The warning of an object that has such a name all the same.
fn warnings(object: &Value) -> Vec<String> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.ends_with(STATIC_SUFFIX) { vec![format!("metadata.name: {}", reserved())] } else { Vec::new() }
}

fn reserved() -> String {
    format!(
        "names ending with {STATIC_SUFFIX:?} are reserved for static manifest-based configurations and cannot be \
         managed via the API"
    )
}

/// Validates what comes before the expressions: failure policy, kind of parameters, constraints.
pub(super) fn validate_head(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let failure = spec.get("failurePolicy");
    if failure.is_set() {
        failure.enumeration(errors, &["Fail", "Ignore"]);
    } else {
        failure.required(errors, "");
    }
    if let Some(kind) = spec.present("paramKind") {
        param_kind(&kind, errors);
    }
    let constraints = spec.get("matchConstraints");
    if constraints.is_set() {
        match_resources(&constraints, errors);
        let rules = constraints.get("resourceRules");
        if rules.is_empty() {
            rules.required(errors, "");
        }
    } else {
        constraints.required(errors, "");
    }
}

fn param_kind(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let version = at.get("apiVersion");
    match version.text() {
        "" => version.required(errors, ""),
        text => api_version(&version, text, errors),
    }
    let kind = at.get("kind");
    if kind.is_empty() {
        kind.required(errors, "");
    } else {
        let problems = names::is_dns1035_label(&kind.text().to_lowercase());
        if !problems.is_empty() {
            let why = format!("may have mixed case, but should otherwise match: {}", problems.join(", "));
            kind.invalid(errors, &why);
        }
    }
}

fn api_version(at: &Cursor<'_, '_>, text: &str, errors: &mut FieldErrors) {
    let (group, version) = match text.split_once('/') {
        Some((_, rest)) if rest.contains('/') => {
            return at.invalid(errors, &format!("unexpected GroupVersion string: {text}"));
        }
        Some(parts) => parts,
        None => ("", text),
    };
    let show = |part: &str, problems: Vec<String>, errors: &mut FieldErrors| {
        if !problems.is_empty() {
            at.with(&part.into()).invalid(errors, &problems.join(","));
        }
    };
    if !group.is_empty() {
        show(group, names::is_dns1123_subdomain(group), errors);
    }
    if version.is_empty() {
        at.invalid(errors, "version must be specified");
    } else {
        show(version, names::is_dns1035_label(version), errors);
    }
}

/// Validates what a policy or a binding matches.
pub(super) fn match_resources(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let policy = at.get("matchPolicy");
    if policy.is_set() {
        policy.enumeration(errors, &["Equivalent", "Exact"]);
    } else {
        policy.required(errors, "");
    }
    for name in ["namespaceSelector", "objectSelector"] {
        let chosen = at.get(name);
        if chosen.is_set() {
            selector::validate(&chosen, errors);
        } else {
            chosen.required(errors, "");
        }
    }
    for list in ["resourceRules", "excludeResourceRules"] {
        at.get(list).items().for_each(|rule| named_rule(&rule, errors));
    }
}

fn named_rule(rule: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for name in rule.get("resourceNames").items() {
        name.named(errors, names::is_path_segment_name);
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
    }
    webhook::rule_with_operations(rule, errors);
}

/// Mutating policies are not asked about deletes: such rules say so at the list, as upstream.
pub(super) fn mutating_operations(resources: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let rules = resources.get("resourceRules");
    let at = rules.get("operations");
    for operation in rules.items().flat_map(|rule| rule.get("operations").list()) {
        at.with(operation).enumeration(errors, &["*", "CONNECT", "CREATE", "UPDATE"]);
    }
}
