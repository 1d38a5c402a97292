//! What becomes of bootstrap objects that already exist.
//!
//! Pure. Roles and bindings gain what is missing and keep what a user added, unless they opted out. Upstream:
//! component-helpers `auth/rbac/reconciliation/{reconcile_role,reconcile_rolebindings}.go`.

use super::AUTO_UPDATE;
use crate::rbac::rule::{PolicyRule, uncovered};
use serde_json::{Value, json};

/// Leaves what exists as it is.
pub fn keep(_: &Value, _: &Value) -> Option<Value> {
    None
}

/// Adds missing rules, aggregation selectors, labels and annotations.
pub fn role(existing: &Value, wanted: &Value) -> Option<Value> {
    let mut changed = merged_metadata(existing, wanted)?;
    let held: Vec<PolicyRule> = rules(existing);
    let asked: Vec<PolicyRule> = rules(wanted);
    let missing = uncovered(&held.iter().collect::<Vec<_>>(), &asked);
    if !missing.is_empty() {
        let all: Vec<_> = held.into_iter().chain(missing).collect();
        changed["rules"] = json!(all);
    }
    add_selectors(&mut changed, wanted);
    differs(changed, existing)
}

/// Sets exactly the wanted rules.
pub fn exact_role(existing: &Value, wanted: &Value) -> Option<Value> {
    let mut changed = merged_metadata(existing, wanted)?;
    if rules(existing) != rules(wanted) {
        changed["rules"] = wanted["rules"].clone();
    }
    differs(changed, existing)
}

/// Adds missing subjects, labels and annotations. The role that a binding refers to cannot change.
pub fn binding(existing: &Value, wanted: &Value) -> Option<Value> {
    let mut changed = merged_metadata(existing, wanted)?;
    let mut subjects = existing["subjects"].as_array().cloned().unwrap_or_default();
    for subject in wanted["subjects"].as_array().into_iter().flatten() {
        if !subjects.contains(subject) {
            subjects.push(subject.clone());
        }
    }
    if !subjects.is_empty() {
        changed["subjects"] = Value::Array(subjects);
    }
    differs(changed, existing)
}

/// Sets the wanted fields besides metadata, which is merged: objects that the server alone owns.
pub fn overwrite(existing: &Value, wanted: &Value) -> Option<Value> {
    let mut changed = merged_metadata(existing, wanted)?;
    for (key, value) in wanted.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "metadata" | "apiVersion" | "kind") {
            changed[key] = value.clone();
        }
    }
    differs(changed, existing)
}

/// A copy with the wanted labels and annotations added; none when the object opted out.
fn merged_metadata(existing: &Value, wanted: &Value) -> Option<Value> {
    if existing["metadata"]["annotations"][AUTO_UPDATE] == "false" {
        return None;
    }
    let mut changed = existing.clone();
    for map in ["labels", "annotations"] {
        let Some(wanted) = wanted["metadata"][map].as_object() else { continue };
        let mut merged = wanted.clone();
        merged.extend(existing["metadata"][map].as_object().cloned().unwrap_or_default());
        changed["metadata"][map] = Value::Object(merged);
    }
    Some(changed)
}

fn add_selectors(changed: &mut Value, wanted: &Value) {
    let selectors = |role: &Value| role["aggregationRule"]["clusterRoleSelectors"].as_array().cloned();
    let Some(wanted) = selectors(wanted) else {
        if let Some(role) = changed.as_object_mut() {
            role.remove("aggregationRule");
        }
        return;
    };
    let mut all = selectors(changed).unwrap_or_default();
    let missing: Vec<_> = wanted.into_iter().filter(|selector| !all.contains(selector)).collect();
    all.extend(missing);
    changed["aggregationRule"] = json!({ "clusterRoleSelectors": all });
}

fn rules(role: &Value) -> Vec<PolicyRule> {
    serde_json::from_value(role["rules"].clone()).unwrap_or_default()
}

fn differs(changed: Value, existing: &Value) -> Option<Value> {
    (changed != *existing).then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> Value {
        json!({
            "metadata": {"name": "view", "labels": {"a": "b"}, "annotations": {AUTO_UPDATE: "true"}},
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]},
            "rules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}],
        })
    }

    #[test]
    fn equal_roles_are_left_alone_and_users_rules_are_kept() {
        let wanted = view();
        let mut existing = view();
        assert_eq!(role(&existing, &wanted), None);
        existing["rules"] = json!([
            {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]},
            {"verbs": ["*"], "apiGroups": ["own"], "resources": ["*"]},
        ]);
        existing["metadata"]["labels"] = json!({"a": "changed"});
        let changed = role(&existing, &wanted).unwrap();
        assert_eq!(changed["rules"].as_array().map(Vec::len), Some(3));
        assert_eq!(changed["rules"][2]["verbs"], json!(["list"]));
        assert_eq!(changed["metadata"]["labels"]["a"], "changed");
        assert_eq!(role(&changed, &wanted), None);
    }

    #[test]
    fn objects_that_opted_out_are_left_alone() {
        let mut existing = view();
        existing["rules"] = json!([]);
        existing["metadata"]["annotations"][AUTO_UPDATE] = json!("false");
        assert_eq!(role(&existing, &view()), None);
        assert_eq!(binding(&existing, &json!({"subjects": [{"kind": "User", "name": "a"}]})), None);
    }

    #[test]
    fn operators_lose_rules_that_they_no_longer_declare() {
        let mut existing = view();
        existing["rules"].as_array_mut().unwrap().push(json!({"verbs": ["*"]}));
        assert_eq!(exact_role(&existing, &view()).unwrap()["rules"], view()["rules"]);
        assert_eq!(exact_role(&view(), &view()), None);
    }

    #[test]
    fn bindings_gain_missing_subjects() {
        let (ann, bob) = (json!({"kind": "User", "name": "ann"}), json!({"kind": "User", "name": "bob"}));
        let existing = json!({"metadata": {"name": "x"}, "subjects": [ann]});
        let changed = binding(&existing, &json!({"subjects": [bob]})).unwrap();
        assert_eq!(changed["subjects"], json!([ann, bob]));
        assert_eq!(binding(&changed, &json!({"subjects": [bob]})), None);
    }
}
