//! Policy rules, references to roles, and subjects.

use super::GROUP;
use crate::{
    cursor::Cursor,
    fill::{items, same, sub, zero},
};
use proa_meta::{FieldErrors, names};
use serde_json::{Value, json};

/// `rules` of a role.
pub(super) fn rules(object: &Value, is_namespaced: bool, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    for rule in root.get("rules").items() {
        let urls = rule.get("nonResourceURLs");
        let resource_fields = ["apiGroups", "resources", "resourceNames"];
        if !urls.is_empty() {
            if is_namespaced {
                urls.invalid(errors, "namespaced rules cannot apply to non-resource URLs");
            }
            if resource_fields.iter().any(|field| !rule.get(field).is_empty()) {
                let text = "rules cannot apply to both regular resources and non-resource URLs";
                urls.invalid(errors, text);
            }
            continue;
        }
        for (field, what) in [("apiGroups", "api group"), ("resources", "resource")] {
            if rule.get(field).is_empty() {
                let text = format!("resource rules must supply at least one {what}");
                rule.get(field).required(errors, &text);
            }
        }
    }
}

/// What upstream declares with the fields of a role; it comes last, and not for rules that were there before.
pub(super) fn declared_rules(object: &Value, old: &Value, errors: &mut FieldErrors) {
    if same(&object["rules"], &old["rules"]) {
        return;
    }
    for rule in Cursor::root(object).get("rules").items() {
        rule.get("verbs").must_be_set(errors);
    }
}

/// The same for a binding.
pub(super) fn declared_binding(object: &Value, old: &Value, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    if !same(&object["subjects"], &old["subjects"]) {
        for subject in root.get("subjects").items() {
            subject.get("name").must_be_set(errors);
        }
    }
    if old.is_null() {
        root.get("roleRef").get("name").must_be_set(errors);
    }
}

/// The group of references that leave it out.
pub(super) fn default_binding(object: &mut Value) {
    zero(sub(object, "roleRef"), "apiGroup", GROUP);
    for subject in items(object, "subjects") {
        if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
            zero(subject, "apiGroup", GROUP);
        }
    }
}

/// `roleRef` and `subjects` of a binding.
pub(super) fn binding(object: &Value, is_namespaced: bool, errors: &mut FieldErrors) {
    let root = Cursor::root(object);
    let role = root.get("roleRef");
    role.get("apiGroup").enumeration(errors, &[GROUP]);
    let kinds: &[&str] = if is_namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    role.get("kind").enumeration(errors, kinds);
    role.get("name").opt_named(errors, names::is_path_segment_name);
    root.get("subjects").items().for_each(|subject| validate_subject(&subject, is_namespaced, errors));
}

fn validate_subject(subject: &Cursor<'_, '_>, is_namespaced: bool, errors: &mut FieldErrors) {
    let (name, group) = (subject.get("name"), subject.get("apiGroup"));
    match subject.text_of("kind") {
        "ServiceAccount" => {
            name.opt_named(errors, names::is_dns1123_subdomain);
            if !group.is_empty() {
                group.unsupported(errors, &[""]);
            }
            if !is_namespaced {
                subject.get("namespace").must_be_set(errors);
            }
        }
        "User" | "Group" => {
            group.enumeration(errors, &[GROUP]);
        }
        _ => subject.get("kind").unsupported(errors, &["ServiceAccount", "User", "Group"]),
    }
}

/// A binding stays bound to its role.
pub(super) fn update_binding(new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (root, before) = (Cursor::root(new), Cursor::root(old));
    let (role, before) = (root.get("roleRef"), before.get("roleRef"));
    if role.value() != before.value() {
        role.get("name").must_be_set(errors);
        // Upstream shows its own names of the fields.
        let fields = ["apiGroup", "kind", "name"].map(|field| role.text_of(field));
        let shown = json!({"APIGroup": fields[0], "Kind": fields[1], "Name": fields[2]});
        role.with(&shown).invalid(errors, "field is immutable");
    }
    declared_binding(new, old, errors);
}
