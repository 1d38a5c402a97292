//! `x-kubernetes-validations` when the definition is written: rules compile, their types fit the schema, and they
//! cannot cost more than they may.
//!
//! Upstream: apiextensions `pkg/apis/apiextensions/validation/{validation,cel_validation}.go`.

use super::{convert, node::Node};
use crate::cel::rules as cel;
use proa_meta::{
    FieldErrors, FieldPath,
    field::{FieldError, Problem},
};
use serde_json::Value;
use std::{cell::LazyCell, collections::HashSet, fmt::Write};

/// The most that one expression may cost on one object.
const EXPRESSION_LIMIT: u64 = 10_000_000;
/// The most that all expressions of a schema may cost.
const SCHEMA_LIMIT: u64 = 100_000_000;
const REASONS: [&str; 4] =
    ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
const KEYWORD: &str = "x-kubernetes-validations";

fn shown(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// What can be said of a node's rules without compiling them.
pub(super) fn fields(node: Node<'_>, path: &FieldPath<'_>, errors: &mut FieldErrors) {
    let list = path.child(KEYWORD);
    let schema = LazyCell::new(|| convert::schema_of_node(node));
    for (i, rule) in node.nodes(KEYWORD).enumerate() {
        let at = list.index(i);
        let (text, message) = (rule.text("rule"), rule.text("message"));
        let trimmed = message.trim();
        let has_newline = |text: &str| text.contains(['\n', '\r']);
        if text.trim().is_empty() {
            errors.required(&at.child("rule"), "rule is not specified");
        } else if !message.is_empty() && trimmed.is_empty() {
            errors.invalid(&at.child("message"), &shown(message), "must be non-empty if specified");
        } else if has_newline(trimmed) {
            errors.invalid(&at.child("message"), &shown(message), "must not contain line breaks");
        } else if has_newline(text.trim()) && trimmed.is_empty() {
            const WHY: &str = "message must be specified if rule contains line breaks";
            errors.required(&at.child("message"), WHY);
        }
        let expression = rule.text("messageExpression");
        if !expression.is_empty() && expression.trim().is_empty() {
            const WHY: &str = "messageExpression must be non-empty if specified";
            errors.required(&at.child("messageExpression"), WHY);
        }
        if let Some(reason) = rule.get("reason")
            && !REASONS.iter().any(|known| reason == known)
        {
            errors.not_supported(&at.child("reason"), reason, &REASONS);
        }
        let is_unknown =
            |text: &str| schema.as_ref().is_ok_and(|schema| cel::field_path(text, schema).is_err());
        field_path(rule.text("fieldPath"), &is_unknown, &at.child("fieldPath"), errors);
    }
}

fn field_path(text: &str, is_unknown: &dyn Fn(&str) -> bool, at: &FieldPath<'_>, errors: &mut FieldErrors) {
    if text.is_empty() {
        return;
    }
    if text.trim().is_empty() {
        errors.invalid(at, &shown(text), "must be non-empty if specified");
    }
    if text.contains(['\n', '\r']) {
        errors.invalid(at, &shown(text), "must not contain line breaks");
    }
    if is_unknown(text) {
        errors.invalid(at, &shown(text), "must be a valid path");
    }
}

/// Compiles all rules of a schema that is structural, and adds up what they may cost. Rules of a node are left alone
/// while something else is wrong with it or below it.
pub(super) fn check(root: Node<'_>, path: &FieldPath<'_>, misused: &FieldErrors, errors: &mut FieldErrors) {
    let misused = misused.iter().flat_map(|error| ancestry(&error.field)).collect();
    let mut check = Check { total: 0, expensive: Vec::new(), misused, errors };
    let place = Place { is_root: true, cardinality: Some(1), uncorrelated: None };
    check.node(root, &place, path);
    let Check { total, mut expensive, errors, .. } = check;
    if total <= SCHEMA_LIMIT {
        return;
    }
    expensive.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
    for (_, field) in expensive.into_iter().take(4) {
        const WHY: &str =
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        errors.push(FieldError { problem: Problem::Forbidden, field, body: format!("Forbidden: {WHY}") });
    }
    let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
    errors.forbidden(path, &exceeds(name, total, SCHEMA_LIMIT));
}

/// Where a node is.
struct Place {
    is_root: bool,
    /// How often values of the node are in one object at most; `None` when nothing bounds it.
    cardinality: Option<u64>,
    /// The first list above whose elements have no known old value.
    uncorrelated: Option<String>,
}

struct Check<'e> {
    total: u64,
    /// Expressions that cost more than a hundredth of the limit.
    expensive: Vec<(u64, String)>,
    /// What is wrong otherwise, and everything above it.
    misused: HashSet<&'e str>,
    errors: &'e mut FieldErrors,
}

impl Check<'_> {
    fn node(&mut self, node: Node<'_>, place: &Place, path: &FieldPath<'_>) {
        let factor = match node.text("type") {
            "object" if node.additional().is_some() => bound(node, "maxProperties"),
            "array" => bound(node, "maxItems"),
            _ => Some(1),
        };
        let cardinality = place.cardinality.zip(factor).map(|(count, factor)| count.saturating_mul(factor));
        let below = || Place { is_root: false, cardinality, uncorrelated: place.uncorrelated.clone() };
        if let Some(values) = node.additional_schema() {
            self.node(values, &below(), &path.child("additionalProperties"));
        }
        let properties = path.child("properties");
        for (name, property) in node.properties() {
            self.node(property, &below(), &properties.key(name));
        }
        if let Some(items) = node.items() {
            let mut below = below();
            if node.text("x-kubernetes-list-type") != "map" {
                below.uncorrelated = Some(path.to_string());
            }
            self.node(items, &below, &path.child("items"));
        }
        if node.has(KEYWORD) && !self.misused.contains(path.to_string().as_str()) {
            self.rules(node, place, &path.child(KEYWORD));
        }
    }

    fn rules(&mut self, node: Node<'_>, place: &Place, path: &FieldPath<'_>) {
        let schema = convert::schema_of_node(node);
        let checked = schema.and_then(|schema| cel::check(&schema, place.is_root || node.is_embedded()));
        let checked = match checked {
            Ok(checked) => checked,
            Err(why) => {
                let text =
                    "internal error: failed to construct type information for x-kubernetes-validations rules";
                return self.errors.internal(path, &format!("{text}: {why}"));
            }
        };
        for (i, (found, json)) in checked.into_iter().zip(node.nodes(KEYWORD)).enumerate() {
            self.rule(&found, json, place, &path.index(i));
        }
    }

    fn rule(&mut self, found: &cel::Checked, json: Node<'_>, place: &Place, path: &FieldPath<'_>) {
        let (rule, message) = (path.child("rule"), path.child("messageExpression"));
        let cost = found.cost.saturating_mul(place.cardinality.unwrap_or(found.cardinality));
        self.costs("estimated rule cost", cost, &rule);
        if let Some(why) = &found.problem {
            self.refuse(&rule, json, why);
        }
        if let Some(why) = &found.message_problem {
            self.refuse(&message, json, why);
        } else if let Some(cost) = found.message_cost {
            self.costs("estimated messageExpression cost", cost, &message);
        }
        if found.uses_old {
            if let Some(list) = &place.uncorrelated {
                let text = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {list}"
                );
                self.errors.invalid(&rule, &shown(json.text("rule")), &text);
            }
        } else if let Some(set) = json.get("optionalOldSelf") {
            const WHY: &str = "may not be set if oldSelf is not used in rule";
            self.errors.invalid(&path.child("optionalOldSelf"), set, WHY);
        }
    }

    fn costs(&mut self, name: &str, cost: u64, path: &FieldPath<'_>) {
        if cost > EXPRESSION_LIMIT {
            self.errors.forbidden(path, &exceeds(name, cost, EXPRESSION_LIMIT));
        }
        self.total = self.total.saturating_add(cost);
        if cost >= SCHEMA_LIMIT / 100 {
            self.expensive.push((cost, path.to_string()));
        }
    }

    /// Shows the whole rule, as upstream.
    fn refuse(&mut self, path: &FieldPath<'_>, rule: Node<'_>, why: &str) {
        let mut body = "Invalid value: {".to_owned();
        let text = |keyword: &str| quoted(rule.text(keyword));
        let or_null = |keyword: &str| rule.get(keyword).map_or("null".to_owned(), quoted_value);
        let _ = write!(
            body,
            "\"Rule\":{},\"Message\":{},\"MessageExpression\":{},\"Reason\":{},\"FieldPath\":{},\"OptionalOldSelf\":{}}}: {why}",
            text("rule"),
            text("message"),
            text("messageExpression"),
            or_null("reason"),
            text("fieldPath"),
            or_null("optionalOldSelf"),
        );
        self.errors.push(FieldError { problem: Problem::Invalid, field: path.to_string(), body });
    }
}

/// A path and all that it begins with.
fn ancestry(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices(['.', '[']).map(|(at, _)| &path[..at]).chain([path])
}

fn bound(node: Node<'_>, keyword: &str) -> Option<u64> {
    node.get(keyword).and_then(Value::as_i64).map(|n| n.max(0).unsigned_abs())
}

/// JSON as Go writes it.
fn quoted(text: &str) -> String {
    quoted_value(&shown(text))
}
fn quoted_value(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[expect(clippy::cast_precision_loss, reason = "shown with few digits")]
fn exceeds(name: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        _ if factor > 100.0 => "more than 100x".to_owned(),
        _ if factor < 1.5 => format!("{factor:.6}x"),
        _ => format!("{factor:.1}x"),
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}
