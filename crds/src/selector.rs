//! Label selectors inside objects: validation, matching and their one-line text.
//!
//! A null selector matches nothing, an empty one everything. A selector that cannot be compiled is told apart, since
//! upstream reports it in different places.
//! Upstream: apimachinery `pkg/apis/meta/v1/{helpers.go,validation/validation.go}`, `pkg/labels/selector.go`.

use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use serde_json::Value;

/// Validates a label selector.
pub(crate) fn validate(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    labels(&at.get("matchLabels"), errors);
    for requirement in at.get("matchExpressions").items() {
        validate_requirement(&requirement, Unknown::Refused, errors);
    }
}

/// What becomes of operators that nobody here knows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// They are wrong.
    Refused,
    /// Somebody newer may know them.
    Passed,
}

/// Validates one requirement.
pub(crate) fn validate_requirement(at: &Cursor<'_, '_>, unknown: Unknown, errors: &mut FieldErrors) {
    operator(at, unknown, errors);
    at.get("key").named(errors, names::is_qualified_name);
    for value in at.get("values").items() {
        value.named(errors, names::is_label_value);
    }
}

/// Whether the operator is known and the values are as many as it takes.
pub(crate) fn operator(at: &Cursor<'_, '_>, unknown: Unknown, errors: &mut FieldErrors) {
    let values = at.get("values");
    match at.text_of("operator") {
        "In" | "NotIn" if values.is_empty() => {
            values.required(errors, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            values.forbidden(errors, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        _ if unknown == Unknown::Passed => {}
        _ => at.get("operator").invalid(errors, "not a valid selector operator"),
    }
}

/// Validates labels: errors carry the path of the whole map.
pub(crate) fn labels(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let pairs = at.value().as_object().into_iter().flatten();
    names::validate_labels(pairs.map(|(k, v)| (k.as_str(), v.as_str().unwrap_or(""))), at.path(), errors);
}

/// Whether a selector has no requirement at all.
pub(crate) fn is_empty(selector: &Value) -> bool {
    requirements(selector).next().is_none() && pairs(selector).next().is_none()
}

/// Whether every key and value is well formed.
fn is_well_formed(selector: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
    let pair = |key: &str, value: &Value| {
        names::is_qualified_name(key).is_empty() && names::is_label_value(&text(value)).is_empty()
    };
    pairs(selector).all(|(key, value)| pair(key, value))
        && requirements(selector).all(|requirement| {
            let key = text(&requirement["key"]);
            let mut values = requirement["values"].as_array().into_iter().flatten();
            pair(&key, &Value::Null) && values.all(|value| pair(&key, value))
        })
}

/// Whether labels fit; `None` when the selector is malformed.
pub(crate) fn matches(selector: &Value, labels: &Value) -> Option<bool> {
    if selector.is_null() {
        return Some(false);
    }
    if !is_well_formed(selector) {
        return None;
    }
    let mut all = pairs(selector).all(|(key, value)| labels.get(key) == Some(value));
    for requirement in requirements(selector) {
        all &= requirement_holds(requirement, labels)?;
    }
    Some(all)
}

fn requirement_holds(requirement: &Value, labels: &Value) -> Option<bool> {
    let value = labels.get(requirement["key"].as_str()?);
    let values = requirement["values"].as_array().map_or(&[][..], Vec::as_slice);
    let listed = value.is_some_and(|value| values.contains(value));
    match requirement["operator"].as_str()? {
        "In" if !values.is_empty() => Some(listed),
        "NotIn" if !values.is_empty() => Some(!listed),
        "Exists" if values.is_empty() => Some(value.is_some()),
        "DoesNotExist" if values.is_empty() => Some(value.is_none()),
        _ => None,
    }
}

fn pairs(selector: &Value) -> impl Iterator<Item = (&String, &Value)> {
    selector["matchLabels"].as_object().into_iter().flatten()
}

fn requirements(selector: &Value) -> impl Iterator<Item = &Value> {
    selector["matchExpressions"].as_array().into_iter().flatten()
}

/// `a=b,c in (d,e),!f`, sorted by key; `None` when the selector is malformed. Empty text for an empty selector.
pub(crate) fn text(selector: &Value) -> Option<String> {
    matches(selector, &Value::Null)?;
    let mut parts: Vec<(&str, String)> = pairs(selector)
        .map(|(key, value)| (key.as_str(), format!("{key}={}", value.as_str().unwrap_or(""))))
        .collect();
    parts.extend(requirements(selector).filter_map(requirement_text));
    parts.sort_by_key(|(key, _)| *key);
    Some(parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(","))
}

fn requirement_text(requirement: &Value) -> Option<(&str, String)> {
    let key = requirement["key"].as_str()?;
    let mut values: Vec<&str> =
        requirement["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    values.sort_unstable();
    let values = values.join(",");
    let text = match requirement["operator"].as_str()? {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} notin ({values})"),
        "Exists" => key.to_owned(),
        _ => format!("!{key}"),
    };
    Some((key, text))
}

/// `a=b,c=d` sorted by key, or `<none>`.
pub(crate) fn label_text(labels: &Value) -> String {
    let mut parts: Vec<String> = (labels.as_object().into_iter().flatten())
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or("")))
        .collect();
    parts.sort_unstable();
    if parts.is_empty() { "<none>".to_owned() } else { parts.join(",") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn matching_and_text() {
        let selector = json!({"matchLabels": {"b": "1"}, "matchExpressions": [
            {"key": "a", "operator": "In", "values": ["y", "x"]},
            {"key": "c", "operator": "DoesNotExist"},
        ]});
        assert_eq!(matches(&selector, &json!({"a": "x", "b": "1"})), Some(true));
        assert_eq!(matches(&selector, &json!({"a": "x", "b": "1", "c": ""})), Some(false));
        assert_eq!(text(&selector).unwrap(), "a in (x,y),b=1,!c");
        assert_eq!(matches(&json!({"matchExpressions": [{"key": "a", "operator": "In"}]}), &json!({})), None);
        assert_eq!(matches(&Value::Null, &json!({})), Some(false));
        assert_eq!(matches(&json!({}), &json!({})), Some(true));
    }
}
