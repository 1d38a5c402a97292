//! Taints of devices, what tolerates them, and what must hold before a device is bound.

use super::few;
use crate::cursor::Cursor;
use proa_meta::{FieldErrors, names};
use std::collections::BTreeSet;

const CONDITIONS: usize = 4;

/// A taint.
pub(super) fn taint(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    at.get("key").named(errors, names::is_qualified_name);
    at.get("value").opt_named(errors, names::is_label_value);
}

/// Tolerations of a request.
pub(super) fn tolerations(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for toleration in list.items() {
        let (operator, value) = (toleration.get("operator"), toleration.get("value"));
        match operator.text() {
            "Exists" if !value.is_empty() => value.invalid(errors, "must be empty for operator `Exists`"),
            "Equal" => {
                value.named(errors, names::is_label_value);
            }
            _ => {}
        }
    }
}

/// Conditions that let a device be bound, and those that forbid it: both or none, and none in both.
pub(super) fn binding_conditions(at: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let (binding, failure) = (at.get("bindingConditions"), at.get("bindingFailureConditions"));
    for list in [binding, failure] {
        for condition in few(&list, CONDITIONS) {
            condition.named(errors, names::is_qualified_name);
        }
    }
    let mut good = BTreeSet::new();
    for condition in binding.items().filter(|condition| !good.insert(condition.text())) {
        condition.duplicate(errors);
    }
    let mut bad = BTreeSet::new();
    for condition in failure.items() {
        if !bad.insert(condition.text()) {
            condition.duplicate(errors);
        }
        if good.contains(condition.text()) {
            condition.invalid(errors, "bindingFailureConditions must not overlap with bindingConditions");
        }
    }
    let missing = |list: &Cursor<'_, '_>, errors: &mut FieldErrors, text: &str| {
        errors.invalid(list.path(), list.value(), text);
    };
    match (good.is_empty(), bad.is_empty()) {
        (true, false) => {
            missing(&binding, errors, "bindingConditions are required to use bindingFailureConditions");
        }
        (false, true) => {
            missing(&failure, errors, "bindingFailureConditions are required to use bindingConditions");
        }
        _ => {}
    }
}
