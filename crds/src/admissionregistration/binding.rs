//! What both kinds of bindings share: defaults, validation, columns.
//!
//! Upstream: `pkg/apis/admissionregistration/validation/validation.go`.

use super::policy;
use crate::{
    cursor::Cursor,
    fill::{present, sub},
    selector, table,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::Column;
use serde_json::Value;

/// Columns of both kinds.
pub(super) const COLUMNS: [Column; 4] =
    [Column::name(), Column::text("PolicyName"), Column::text("ParamRef"), Column::age()];

/// Defaults of a binding.
pub(super) fn default(object: &mut Value) {
    if let Some(resources) = present(sub(object, "spec"), "matchResources") {
        policy::default_match(resources);
    }
}

/// Cells of both kinds.
pub(super) fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let params = &spec["paramRef"];
    let text = |field: &str| params[field].as_str().unwrap_or_default();
    let params = match (text("namespace"), text("name")) {
        _ if !params.is_object() => "<unset>".to_owned(),
        (_, "") => selector_text(&params["selector"]),
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    };
    vec![table::name(object), spec["policyName"].clone(), params.into(), table::age(object, now)]
}

/// A selector in the form of Go's generated `String`.
fn selector_text(selector: &Value) -> String {
    if !selector.is_object() {
        return "<unset>".to_owned();
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels: String = (selector["matchLabels"].as_object().into_iter().flatten())
        .map(|(key, value)| format!("{key}: {},", text(value)))
        .collect();
    let requirement = |of: &Value| {
        let values: Vec<String> = of["values"].as_array().into_iter().flatten().map(&text).collect();
        let (key, operator) = (text(&of["key"]), text(&of["operator"]));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let requirements: String =
        selector["matchExpressions"].as_array().into_iter().flatten().map(requirement).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{\
         {requirements}}},}}"
    )
}

/// Validates what both kinds have.
pub(super) fn validate(spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let name = spec.get("policyName");
    if name.must_be_set(errors) {
        name.named(errors, |name| names::name_is_dns_subdomain(name, false));
    }
    if let Some(params) = spec.present("paramRef") {
        param_ref(&params, errors);
    }
    if let Some(resources) = spec.present("matchResources") {
        policy::match_resources(&resources, errors);
    }
}

fn param_ref(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    const EITHER: &str = "name and selector are mutually exclusive";
    let (name, chosen) = (at.get("name"), at.get("selector"));
    if !name.is_empty() {
        name.named(errors, names::is_path_segment_name);
        if chosen.is_set() {
            name.forbidden(errors, EITHER);
        }
    }
    if chosen.is_set() {
        selector::validate(&chosen, errors);
        if !name.is_empty() {
            chosen.forbidden(errors, EITHER);
        }
    }
    if name.is_empty() && !chosen.is_set() {
        at.required(errors, "one of name or selector must be specified");
    }
    at.get("parameterNotFoundAction").one_of(errors, &["Deny", "Allow"]);
}
