//! What may change in a Pod, and annotations that stand for fields.
//!
//! Upstream: `ValidatePodUpdate`, `ValidatePodSpecificAnnotations`.

use super::validate;
use crate::{
    cursor::Cursor,
    fill::{keep, remove, same, set},
};
use proa_meta::{FieldErrors, names};
use serde_json::Value;

const MIRROR: &str = "kubernetes.io/config.mirror";
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const UPDATABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Validates annotations that mean something for pods.
pub(crate) fn annotations(at: &Cursor<'_, '_>, spec: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mirror = at.key(MIRROR);
    if mirror.is_set() && spec.text_of("nodeName").is_empty() {
        mirror.invalid(errors, "must set spec.nodeName if mirror pod annotation is set");
    }
    let cost = at.key(DELETION_COST);
    if cost.is_set() && !is_deletion_cost(cost.text()) {
        cost.invalid(errors, "must be a 32bit integer");
    }
    validate::security_annotations(at, spec, errors);
}

/// A number without a plus sign or leading zeros.
fn is_deletion_cost(text: &str) -> bool {
    text.parse::<i32>().is_ok() && (text == "0" || !text.starts_with(['+', '0']))
}

/// Annotations that may not change.
pub(crate) fn annotation_changes(new: &Cursor<'_, '_>, old: &Value, errors: &mut FieldErrors) {
    let guarded = |key: &str| match key {
        MIRROR => Some("mirror pod annotation"),
        _ if key.starts_with(APPARMOR) => Some("AppArmor annotations"),
        _ => None,
    };
    for (key, value) in old.as_object().into_iter().flatten() {
        if let Some(what) = guarded(key).filter(|_| new.value().get(key) != Some(value)) {
            new.key(key).forbidden(errors, &format!("may not remove or update {what}"));
        }
    }
    for (key, value) in new.entries() {
        if let Some(what) = guarded(key).filter(|_| old.get(key).is_none()) {
            value.forbidden(errors, &format!("may not add {what}"));
        }
    }
}

/// Validates a change of a pod's spec.
pub(crate) fn spec(new: &Cursor<'_, '_>, old: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    for list in ["containers", "initContainers"] {
        let (now, before) = (new.get(list), old.get(list));
        if now.list().len() != before.list().len() {
            return now.forbidden(errors, "pod updates may not add or remove containers");
        }
    }
    if !deadline(&new.get("activeDeadlineSeconds"), &old.get("activeDeadlineSeconds"), errors) {
        return;
    }
    only_added_tolerations(&new.get("tolerations"), old.get("tolerations").list(), errors);
    only_removed_gates(&new.get("schedulingGates"), old.get("schedulingGates").list(), errors);
    if same(new.value(), old.value()) {
        return;
    }
    let mut rest = without_updatable(new.value(), old.value());
    if !old.get("schedulingGates").is_empty() {
        gated(new, old, &mut rest, errors);
    }
    if !same(&rest, old.value()) {
        let difference = differences(old.value(), &rest);
        let text = format!("pod updates may not change fields other than {UPDATABLE}\n{difference}");
        new.forbidden(errors, &text);
    }
}

fn deadline(new: &Cursor<'_, '_>, old: &Cursor<'_, '_>, errors: &mut FieldErrors) -> bool {
    match (new.opt_int(), old.opt_int()) {
        (Some(seconds), _) if !(0..=i64::from(i32::MAX)).contains(&seconds) => {
            new.invalid(errors, &names::inclusive_range_error(0, i64::from(i32::MAX)));
            false
        }
        (Some(seconds), Some(before)) if before < seconds => {
            new.invalid(errors, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            let text = "must not update from a positive integer to nil value";
            errors.invalid(new.path(), &Value::Null, text);
            true
        }
        _ => true,
    }
}

fn only_added_tolerations(new: &Cursor<'_, '_>, old: &[Value], errors: &mut FieldErrors) {
    let without_seconds = |toleration: &Value| {
        let mut toleration = toleration.clone();
        remove(&mut toleration, "tolerationSeconds");
        toleration
    };
    let now: Vec<Value> = new.list().iter().map(without_seconds).collect();
    if !old.iter().all(|toleration| now.contains(&without_seconds(toleration))) {
        let text = "existing toleration can not be modified except its tolerationSeconds";
        new.forbidden(errors, text);
    }
}

fn only_removed_gates(new: &Cursor<'_, '_>, old: &[Value], errors: &mut FieldErrors) {
    for gate in new.items() {
        let name = gate.get("name");
        if !old.iter().any(|gate| gate["name"] == *name.value()) {
            let text = format!("only deletion is allowed, but found new scheduling gate '{}'", name.text());
            name.forbidden(errors, &text);
        }
    }
}

/// The new spec with everything that may change as it was.
fn without_updatable(new: &Value, old: &Value) -> Value {
    let mut rest = new.clone();
    for list in ["containers", "initContainers"] {
        let before = old[list].as_array().into_iter().flatten();
        for (container, before) in crate::fill::items(&mut rest, list).zip(before) {
            keep(container, before, "image");
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        keep(&mut rest, old, field);
    }
    let grace = "terminationGracePeriodSeconds";
    if old[grace].as_i64().is_some_and(|seconds| seconds < 0) && rest[grace] == 1 {
        keep(&mut rest, old, grace);
    }
    rest
}

/// A pod that waits at a gate may still be constrained further.
fn gated(new: &Cursor<'_, '_>, old: &Cursor<'_, '_>, rest: &mut Value, errors: &mut FieldErrors) {
    let (selector, before) = (new.get("nodeSelector"), old.get("nodeSelector"));
    let kept = |(key, value): (&String, &Value)| selector.value().get(key) == Some(value);
    if !before.value().as_object().into_iter().flatten().all(kept) {
        let text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.invalid(selector.path(), selector.value(), text);
    }
    keep(rest, old.value(), "nodeSelector");
    let affinity = new.get("affinity");
    let node = affinity.get("nodeAffinity");
    let old_affinity = old.get("affinity");
    let old_node = old_affinity.get("nodeAffinity");
    if node.value() != old_node.value() {
        only_added_terms(&node, old_node.value(), errors);
        let mut affinity = new.value()["affinity"].clone();
        keep(&mut affinity, old_affinity.value(), "nodeAffinity");
        if crate::fill::is_empty(&affinity) && old_affinity.value().is_null() {
            remove(rest, "affinity");
        } else {
            set(rest, "affinity", affinity);
        }
    }
}

fn only_added_terms(new: &Cursor<'_, '_>, old: &Value, errors: &mut FieldErrors) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    let required = new.get(REQUIRED);
    let terms = required.get("nodeSelectorTerms");
    let before = old[REQUIRED]["nodeSelectorTerms"].as_array().map_or(&[][..], Vec::as_slice);
    if !before.is_empty() && before.len() != terms.list().len() {
        let text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        return errors.invalid(terms.path(), terms.value(), text);
    }
    for (term, before) in terms.items().zip(before) {
        if !extends(term.value(), before) {
            term.invalid(errors, "only additions are allowed (no mutations or deletions)");
        }
    }
}

fn extends(term: &Value, before: &Value) -> bool {
    let list = |term: &Value, field: &str| term[field].as_array().cloned().unwrap_or_default();
    let fields = ["matchExpressions", "matchFields"];
    let was_empty = fields.iter().all(|field| list(before, field).is_empty());
    let is_empty = fields.iter().all(|field| list(term, field).is_empty());
    (!was_empty || is_empty) && fields.iter().all(|field| list(term, field).starts_with(&list(before, field)))
}

/// The fields that differ, one a line.
pub(crate) fn differences(old: &Value, new: &Value) -> String {
    let mut lines = Vec::new();
    collect_differences(&Cursor::root(old), new, &mut lines);
    lines.join("\n")
}

fn collect_differences(old: &Cursor<'_, '_>, new: &Value, lines: &mut Vec<String>) {
    if old.value() == new {
        return;
    }
    match (old.value(), new) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
            for key in keys {
                collect_differences(&old.get(key), b.get(key).unwrap_or(&Value::Null), lines);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            old.items().zip(b).for_each(|(old, new)| collect_differences(&old, new, lines));
        }
        (before, after) => {
            lines.push(format!("- {}: {before}", old.path()));
            lines.push(format!("+ {}: {after}", old.path()));
        }
    }
}
