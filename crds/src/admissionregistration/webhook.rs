//! What both kinds of webhook configurations share: defaults, validation, columns.
//!
//! Upstream: `pkg/apis/admissionregistration/{v1/defaults,validation/validation}.go`.

use super::expressions;
use crate::{
    cursor::Cursor,
    fill::{self, absent, present},
    selector, table, webhook_client,
};
use jiff::Timestamp;
use proa_meta::{FieldErrors, names};
use proa_registry::kind::Column;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const WITHOUT_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];

/// Columns of both kinds.
pub(super) const COLUMNS: [Column; 3] = [Column::name(), Column::of("Webhooks", "integer"), Column::age()];

/// Cells of both kinds.
pub(super) fn row(object: &Value, now: Timestamp) -> Vec<Value> {
    let webhooks = object["webhooks"].as_array().map_or(0, Vec::len);
    vec![table::name(object), webhooks.into(), table::age(object, now)]
}

/// Defaults of one webhook.
pub(super) fn default(hook: &mut Value) {
    absent(hook, "failurePolicy", "Fail");
    absent(hook, "matchPolicy", "Equivalent");
    absent(hook, "namespaceSelector", json!({}));
    absent(hook, "objectSelector", json!({}));
    absent(hook, "timeoutSeconds", 10);
    fill::items(hook, "rules").for_each(|rule| absent(rule, "scope", "*"));
    if let Some(client) = present(hook, "clientConfig") {
        webhook_client::default(client);
    }
}

/// Validates a configuration; `own` checks what only webhooks of its kind have.
pub(super) fn validate(
    root: &Cursor<'_, '_>,
    errors: &mut FieldErrors,
    own: fn(&Cursor<'_, '_>, &mut FieldErrors),
) {
    let mut seen = BTreeSet::new();
    for hook in root.get("webhooks").items() {
        webhook(&hook, errors, own);
        let versions = hook.get("admissionReviewVersions");
        webhook_client::review_versions(&versions, "must specify one of v1, v1beta1", errors);
        let name = hook.get("name");
        if !name.is_empty() && !seen.insert(name.text()) {
            name.duplicate(errors);
        }
    }
}

fn webhook(hook: &Cursor<'_, '_>, errors: &mut FieldErrors, own: fn(&Cursor<'_, '_>, &mut FieldErrors)) {
    let name = hook.get("name");
    names::validate_fully_qualified_name(name.text(), name.path(), errors);
    for rule in hook.get("rules").items() {
        rule_with_operations(&rule, errors);
    }
    hook.get("failurePolicy").opt_one_of(errors, &["Fail", "Ignore"]);
    hook.get("matchPolicy").opt_one_of(errors, &["Equivalent", "Exact"]);
    let side_effects = hook.get("sideEffects");
    if side_effects.is_set() {
        side_effects.enumeration(errors, &WITHOUT_SIDE_EFFECTS);
    } else {
        let what = format!("must specify one of {}", WITHOUT_SIDE_EFFECTS.join(", "));
        side_effects.required(errors, &what);
    }
    let timeout = hook.get("timeoutSeconds");
    if timeout.opt_int().is_some_and(|seconds| !(1..=30).contains(&seconds)) {
        timeout.invalid(errors, "the timeout value must be between 1 and 30 seconds");
    }
    selector::validate(&hook.get("namespaceSelector"), errors);
    selector::validate(&hook.get("objectSelector"), errors);
    own(hook, errors);
    webhook_client::validate(&hook.get("clientConfig"), errors);
    expressions::conditions(&hook.get("matchConditions"), false, errors);
}

/// Validates operations and resources of a rule.
pub(super) fn rule_with_operations(rule: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let operations = rule.get("operations");
    operations.must_be_set(errors);
    alone(&operations, "operations", errors);
    for operation in operations.items() {
        operation.enumeration(errors, &OPERATIONS);
    }
    let groups = rule.get("apiGroups");
    groups.must_be_set(errors);
    alone(&groups, "API groups", errors);
    let versions = rule.get("apiVersions");
    versions.must_be_set(errors);
    alone(&versions, "API versions", errors);
    for version in versions.items() {
        version.must_be_set(errors);
    }
    resources(&rule.get("resources"), errors);
    rule.get("scope").opt_one_of(errors, &["*", "Cluster", "Namespaced"]);
}

/// `*` stands for everything and so for itself.
fn alone(list: &Cursor<'_, '_>, what: &str, errors: &mut FieldErrors) {
    if list.list().len() > 1 && list.list().iter().any(|item| item == "*") {
        list.invalid(errors, &format!("if '*' is present, must not specify other {what}"));
    }
}

fn resources(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    list.must_be_set(errors);
    let (mut of_resource, mut of_subresource) = (BTreeSet::new(), BTreeSet::new());
    let (mut everything, mut all_plain, mut plain) = (false, false, false);
    for item in list.items() {
        let text = item.text();
        if text.is_empty() {
            item.required(errors, "");
            continue;
        }
        everything |= text == "*/*";
        all_plain |= text == "*";
        let Some((resource, subresource)) = text.split_once('/') else {
            plain = text != "*";
            continue;
        };
        if of_resource.contains(resource) {
            item.invalid(errors, &format!("if '{resource}/*' is present, must not specify {text}"));
        }
        if of_subresource.contains(subresource) {
            item.invalid(errors, &format!("if '*/{subresource}' is present, must not specify {text}"));
        }
        if subresource == "*" {
            of_resource.insert(resource);
        }
        if resource == "*" {
            of_subresource.insert(subresource);
        }
    }
    if everything && list.list().len() > 1 {
        list.invalid(errors, "if '*/*' is present, must not specify other resources");
    }
    if all_plain && plain {
        list.invalid(errors, "if '*' is present, must not specify other resources without subresources");
    }
}
