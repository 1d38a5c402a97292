//! Restart policies of single containers, and what a resize restarts.

use super::Context;
use crate::cursor::Cursor;
use proa_meta::FieldErrors;
use std::collections::BTreeSet;

const NO_POLICY: &str = "must specify restartPolicy when restart rules are used";

/// `restartPolicy` and `restartPolicyRules` of a container.
pub(super) fn policy(container: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (policy, rules) = (container.get("restartPolicy"), container.get("restartPolicyRules"));
    if !policy.is_set() {
        if rules.is_empty() {
            return;
        }
        policy.required(errors, NO_POLICY);
    } else {
        policy.enumeration(errors, &["Always", "Never", "OnFailure"]);
    }
    if rules.list().len() > 20 {
        errors.too_many(rules.path(), rules.list().len(), 20);
    }
    rules.items().for_each(|rule| restart_rule(&rule, errors));
}

fn restart_rule(rule: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    rule.get("action").enumeration(errors, &["Restart", "RestartAllContainers"]);
    let Some(codes) = rule.present("exitCodes") else {
        return rule.get("exitCodes").required(errors, "must be specified");
    };
    codes.get("operator").enumeration(errors, &["In", "NotIn"]);
    let values = codes.get("values");
    if values.list().len() > 255 {
        errors.too_many(values.path(), values.list().len(), 255);
    }
}

/// The same for an init container, whose rules need a policy.
pub(super) fn init_policy(container: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (own, rules) = (container.get("restartPolicy"), container.get("restartPolicyRules"));
    match own.is_set() {
        true => policy(container, errors),
        false if !rules.is_empty() => own.required(errors, NO_POLICY),
        false => {}
    }
}

/// `resizePolicy`; errors carry the path of the list.
pub(super) fn resize(list: &Cursor<'_, '_>, context: &Context<'_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for entry in list.items() {
        let (name, restart) = (entry.get("resourceName"), entry.get("restartPolicy"));
        if !seen.insert(name.text()) {
            entry.with(name.value()).duplicate(errors);
        }
        list.with(name.value()).one_of(errors, &["cpu", "memory"]);
        let shown = list.with(restart.value());
        shown.one_of(errors, &["NotRequired", "RestartContainer"]);
        if context.restart_policy == "Never" && restart.text() != "NotRequired" {
            shown.invalid(errors, "must be 'NotRequired' when pod `restartPolicy` is 'Never'");
        }
    }
}
