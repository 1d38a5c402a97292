//! Reads the bootstrap policy table into objects.
//!
//! Owns: the table's small grammar (described at its top). A wrong line is an error that names the line; a test reads
//! the whole table. Deliberately absent: writing objects (`bootstrap`).

use crate::rbac::rule::PolicyRule;
use serde_json::{Map, Value, json};

const TABLE: &str = include_str!("policy.rules");
const API_VERSION: &str = "rbac.authorization.k8s.io/v1";

/// A role or binding of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// `ClusterRole`, `Role`, `ClusterRoleBinding` or `RoleBinding`.
    pub kind: &'static str,
    /// Namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// The whole object.
    pub object: Value,
}

/// All roles and bindings of the table, in order.
///
/// # Errors
/// The line that is wrong, and why.
pub fn items() -> Result<Vec<Item>, String> {
    parse(TABLE)
}

/// The rules of one role of the table.
pub fn rules_of(name: &str) -> Vec<PolicyRule> {
    let items = items().unwrap_or_default();
    let role = items.into_iter().find(|item| item.kind == "ClusterRole" && item.name == name);
    role.and_then(|role| serde_json::from_value(role.object["rules"].clone()).ok()).unwrap_or_default()
}

fn parse(table: &str) -> Result<Vec<Item>, String> {
    let mut items: Vec<Item> = Vec::new();
    for (number, line) in table.lines().enumerate() {
        let at = |why: &str| format!("line {}: {why}: {line}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(detail) = line.strip_prefix("  ") {
            let item = items.last_mut().ok_or_else(|| at("belongs to no role"))?;
            detail_of(&mut item.object, detail).ok_or_else(|| at("cannot be read"))?;
        } else {
            items.push(item(line).ok_or_else(|| at("cannot be read"))?);
        }
    }
    Ok(items)
}

fn item(line: &str) -> Option<Item> {
    let (word, rest) = line.split_once(' ')?;
    match word {
        "role" => Some(role(rest)),
        "bind" => binding(rest),
        _ => None,
    }
}

fn place(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or(("", text))
}

fn role(place_and_name: &str) -> Item {
    let (namespace, name) = place(place_and_name);
    let kind = if namespace.is_empty() { "ClusterRole" } else { "Role" };
    let mut object = object(kind, namespace, name);
    object["rules"] = Value::Array(Vec::new());
    Item { kind, namespace: namespace.to_owned(), name: name.to_owned(), object }
}

fn object(kind: &str, namespace: &str, name: &str) -> Value {
    let mut object = json!({
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {
            "name": name,
            "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
            "annotations": {super::AUTO_UPDATE: "true"},
        },
    });
    if !namespace.is_empty() {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn binding(text: &str) -> Option<Item> {
    let (head, subjects) = text.split_once(" to").map(|(head, rest)| (head, rest.trim_start()))?;
    let (place_and_name, role) = head.split_once(" role ").unwrap_or((head, ""));
    let (namespace, name) = place(place_and_name);
    let role = if role.is_empty() { name } else { role };
    let (kind, role_kind) =
        if namespace.is_empty() { ("ClusterRoleBinding", "ClusterRole") } else { ("RoleBinding", "Role") };
    let mut object = object(kind, namespace, name);
    object["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role});
    let subjects = subjects.split_whitespace().map(subject).collect::<Option<Vec<_>>>()?;
    if !subjects.is_empty() {
        object["subjects"] = Value::Array(subjects);
    }
    Some(Item { kind, namespace: namespace.to_owned(), name: name.to_owned(), object })
}

fn subject(text: &str) -> Option<Value> {
    let group = "rbac.authorization.k8s.io";
    let (kind, name) = text.split_once(':')?;
    match kind {
        "user" => Some(json!({"apiGroup": group, "kind": "User", "name": name})),
        "group" => Some(json!({"apiGroup": group, "kind": "Group", "name": name})),
        "serviceaccount" => {
            let (namespace, name) = name.split_once('/')?;
            Some(json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}))
        }
        _ => None,
    }
}

/// Adds a label, an aggregation selector or a rule to a role.
fn detail_of(role: &mut Value, text: &str) -> Option<()> {
    let (word, rest) = text.split_once(' ')?;
    let pair = || {
        let (key, value) = rest.split_once('=')?;
        Some(Map::from_iter([(key.to_owned(), json!(value))]))
    };
    match word {
        "label" => role["metadata"]["labels"].as_object_mut()?.extend(pair()?),
        "aggregate" => {
            let selectors = role.as_object_mut()?.entry("aggregationRule");
            let selectors = selectors.or_insert_with(|| json!({"clusterRoleSelectors": []}));
            selectors["clusterRoleSelectors"].as_array_mut()?.push(json!({ "matchLabels": pair()? }));
        }
        verbs => role["rules"].as_array_mut()?.push(serde_json::to_value(rule(verbs, rest)?).ok()?),
    }
    Some(())
}

fn rule(verbs: &str, rest: &str) -> Option<PolicyRule> {
    let verbs = verbs_of(verbs);
    let list = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    if let Some(paths) = rest.strip_prefix("at ") {
        return Some(PolicyRule { verbs, non_resource_urls: list(paths), ..PolicyRule::default() });
    }
    let (groups, rest) = rest.split_once(": ")?;
    let (resources, names) = rest.split_once(" named ").unwrap_or((rest, ""));
    let group = |group: &str| if group == "core" { String::new() } else { group.to_owned() };
    Some(PolicyRule {
        verbs,
        api_groups: groups.split(',').map(group).collect(),
        resources: list(resources),
        resource_names: list(names),
        non_resource_urls: Vec::new(),
    })
}

fn verbs_of(text: &str) -> Vec<String> {
    let verbs = match text {
        "read" => "get,list,watch",
        "write" => "create,delete,deletecollection,patch,update",
        "readwrite" => "create,delete,deletecollection,get,list,patch,update,watch",
        other => other,
    };
    verbs.split(',').map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_table_is_read() {
        let items = items().unwrap();
        let count = |kind: &str| items.iter().filter(|item| item.kind == kind).count();
        let counts = ["ClusterRole", "Role", "ClusterRoleBinding", "RoleBinding"].map(count);
        assert_eq!(counts, [32, 7, 13, 7]);
        let admin = items.iter().find(|item| item.name == "admin").unwrap();
        assert_eq!(
            admin.object["aggregationRule"]["clusterRoleSelectors"][0]["matchLabels"],
            json!({"rbac.authorization.k8s.io/aggregate-to-admin": "true"})
        );
    }

    #[test]
    fn wrong_lines_are_named() {
        for (table, why) in [
            ("  get core: pods", "line 1: belongs to no role"),
            ("role a\n  get pods", "line 2: cannot be read"),
            ("# x\nfoo bar", "line 2: cannot be read"),
            ("bind a to robot:b", "line 1: cannot be read"),
        ] {
            let error = parse(table).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn rules_and_bindings_read_as_written() {
        let items = parse("role ns/a\n  read core,apps: pods named x y\nbind ns/b role a to user:u group:g serviceaccount:s/t")
            .unwrap();
        assert_eq!(
            items[0].object["rules"][0],
            json!({"verbs": ["get", "list", "watch"], "apiGroups": ["", "apps"], "resources": ["pods"],
                   "resourceNames": ["x", "y"]})
        );
        assert_eq!(items[1].object["roleRef"]["name"], "a");
        assert_eq!(items[1].object["subjects"].as_array().map(Vec::len), Some(3));
        assert_eq!(items[1].object["subjects"][2]["namespace"], "s");
    }
}
