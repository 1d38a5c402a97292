//! Roles and bindings, compiled: who holds which rules where.
//!
//! Owns: the index by user, group and service account, and the question it answers. Immutable; a change of any role
//! or binding makes a new one. Invariant: a lookup touches only grants of the asking subject. Deliberately absent:
//! where roles and bindings come from (`rbac`). Upstream: `pkg/registry/rbac/validation/rule.go`.

use super::rule::PolicyRule;
use proa_meta::User;
use proa_registry::Attributes;
use serde::Deserialize;
use std::{collections::HashMap, sync::Arc};

/// What is read of a Role or ClusterRole.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct RoleView {
    /// Rules.
    #[serde(default)]
    pub rules: Option<Vec<PolicyRule>>,
}

/// What is read of a RoleBinding or ClusterRoleBinding.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindingView {
    /// Who is bound.
    #[serde(default)]
    pub subjects: Option<Vec<Subject>>,
    /// To which role.
    pub role_ref: RoleRef,
}

/// The role that a binding refers to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoleRef {
    /// `rbac.authorization.k8s.io`.
    #[serde(default)]
    pub api_group: String,
    /// `Role` or `ClusterRole`.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// One subject of a binding.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Subject {
    /// `User`, `Group` or `ServiceAccount`.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Namespace of a service account.
    #[serde(default)]
    pub namespace: String,
}

/// Namespace (empty for cluster-wide) and name.
pub type Key = (String, String);

/// All roles and bindings, as the index is built from them. ClusterRoles and ClusterRoleBindings have an empty
/// namespace.
#[derive(Default)]
pub struct Sources {
    /// Roles and ClusterRoles.
    pub roles: HashMap<Key, Arc<RoleView>>,
    /// RoleBindings and ClusterRoleBindings.
    pub bindings: HashMap<Key, Arc<BindingView>>,
}

/// What one binding gives one subject.
#[derive(Clone, Debug)]
struct Grant {
    role: Result<Arc<RoleView>, Arc<str>>,
    /// `RBAC: allowed by ...`.
    reason: Arc<str>,
}

/// Grants of one namespace, or of the cluster.
#[derive(Debug, Default)]
struct Holders {
    users: HashMap<Box<str>, Vec<Grant>>,
    groups: HashMap<Box<str>, Vec<Grant>>,
}

/// The compiled index.
#[derive(Debug, Default)]
pub struct Index {
    cluster: Holders,
    namespaces: HashMap<Box<str>, Holders>,
}

impl Index {
    /// Compiles roles and bindings.
    pub fn build(sources: &Sources) -> Self {
        let mut index = Self::default();
        let mut keys: Vec<_> = sources.bindings.keys().collect();
        keys.sort_unstable();
        for key in keys {
            let binding = &sources.bindings[key];
            let role = resolve(sources, &key.0, &binding.role_ref).map_err(Arc::from);
            let holders = match key.0.as_str() {
                "" => &mut index.cluster,
                namespace => index.namespaces.entry(namespace.into()).or_default(),
            };
            for subject in binding.subjects.iter().flatten() {
                let grant = Grant { role: role.clone(), reason: reason(key, binding, subject).into() };
                holders.add(&key.0, subject, grant);
            }
        }
        index
    }

    /// Whether a rule that the user holds allows the request: `Ok` with the reason, or `Err` with what hindered
    /// looking (empty: nothing).
    pub fn decide(&self, request: &Attributes) -> Result<String, String> {
        let mut missing: Vec<&str> = Vec::new();
        for grant in self.grants(&request.user, &request.namespace) {
            match &grant.role {
                Ok(role) if role.rules.iter().flatten().any(|rule| rule.allows(request)) => {
                    return Ok(grant.reason.to_string());
                }
                Err(text) if !missing.contains(&&**text) => missing.push(text),
                _ => {}
            }
        }
        Err(aggregate(&missing))
    }

    /// All rules that the user holds in the namespace (cluster-wide ones included), and what could not be resolved.
    pub fn rules<'a>(&'a self, user: &'a User, namespace: &str) -> (Vec<&'a PolicyRule>, String) {
        let (mut rules, mut missing): (Vec<_>, Vec<&str>) = (Vec::new(), Vec::new());
        for grant in self.grants(user, namespace) {
            match &grant.role {
                Ok(role) => rules.extend(role.rules.iter().flatten()),
                Err(text) if !missing.contains(&&**text) => missing.push(text),
                Err(_) => {}
            }
        }
        (rules, aggregate(&missing))
    }

    fn grants<'a>(&'a self, user: &'a User, namespace: &str) -> impl Iterator<Item = &'a Grant> {
        let local = (!namespace.is_empty()).then(|| self.namespaces.get(namespace)).flatten();
        std::iter::once(&self.cluster).chain(local).flat_map(move |holders| holders.grants(user))
    }
}

impl Holders {
    fn add(&mut self, binding_namespace: &str, subject: &Subject, grant: Grant) {
        let (map, name) = match subject.kind.as_str() {
            "User" => (&mut self.users, subject.name.clone()),
            "Group" => (&mut self.groups, subject.name.clone()),
            "ServiceAccount" => {
                let namespace =
                    if subject.namespace.is_empty() { binding_namespace } else { &subject.namespace };
                if namespace.is_empty() {
                    return;
                }
                (&mut self.users, format!("system:serviceaccount:{namespace}:{}", subject.name))
            }
            _ => return,
        };
        map.entry(name.into()).or_default().push(grant);
    }

    fn grants<'a>(&'a self, user: &'a User) -> impl Iterator<Item = &'a Grant> {
        let own = self.users.get(user.name.as_str());
        let shared = user.groups.iter().filter_map(|group| self.groups.get(group.as_str()));
        own.into_iter().chain(shared).flatten()
    }
}

/// The role that a binding in `namespace` refers to, or why there is none.
fn resolve(sources: &Sources, namespace: &str, role: &RoleRef) -> Result<Arc<RoleView>, String> {
    let (namespace, resource) = match role.kind.as_str() {
        "ClusterRole" => ("", "clusterrole"),
        "Role" => (namespace, "role"),
        other => return Err(format!("unsupported role reference kind: {other:?}")),
    };
    let found = sources.roles.get(&(namespace.to_owned(), role.name.clone()));
    found.cloned().ok_or_else(|| format!("{resource}.rbac.authorization.k8s.io {:?} not found", role.name))
}

fn reason((namespace, name): &Key, binding: &BindingView, subject: &Subject) -> String {
    let BindingView { role_ref, .. } = binding;
    let (kind, name) = match namespace.as_str() {
        "" => ("ClusterRoleBinding", name.clone()),
        namespace => ("RoleBinding", format!("{name}/{namespace}")),
    };
    let who = match (subject.kind.as_str(), subject.namespace.as_str()) {
        ("ServiceAccount", "") => format!("{}/{namespace}", subject.name),
        ("ServiceAccount", own) => format!("{}/{own}", subject.name),
        _ => subject.name.clone(),
    };
    format!(
        "RBAC: allowed by {kind} {name:?} of {} {:?} to {} {who:?}",
        role_ref.kind, role_ref.name, subject.kind
    )
}

/// One text as it is, several in brackets: upstream's aggregated errors.
fn aggregate(texts: &[&str]) -> String {
    match texts {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many => format!("[{}]", many.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn role(rules: &Value) -> Arc<RoleView> {
        Arc::new(serde_json::from_value(json!({ "rules": rules })).unwrap())
    }

    fn binding(kind: &str, role: &str, subjects: &Value) -> Arc<BindingView> {
        let value = json!({ "subjects": subjects, "roleRef": {"apiGroup": "rbac.authorization.k8s.io",
            "kind": kind, "name": role} });
        Arc::new(serde_json::from_value(value).unwrap())
    }

    fn key(namespace: &str, name: &str) -> Key {
        (namespace.to_owned(), name.to_owned())
    }

    fn index() -> Index {
        let pods = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
        let secrets = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["secrets"]}]);
        let users = json!([{"kind": "User", "name": "ann"}, {"kind": "Group", "name": "devs"}]);
        let accounts = json!([{"kind": "ServiceAccount", "name": "bot"},
            {"kind": "ServiceAccount", "name": "bot", "namespace": "tools"}]);
        Index::build(&Sources {
            roles: HashMap::from([
                (key("", "pods"), role(&pods)),
                (key("a", "secrets"), role(&secrets)),
                (key("", "none"), role(&Value::Null)),
            ]),
            bindings: HashMap::from([
                (key("", "all"), binding("ClusterRole", "pods", &users)),
                (key("a", "local"), binding("Role", "secrets", &accounts)),
                (key("b", "shared"), binding("ClusterRole", "pods", &accounts)),
                (key("b", "broken"), binding("Role", "gone", &json!([{"kind": "User", "name": "eve"}]))),
                (
                    key("b", "empty"),
                    binding("ClusterRole", "none", &json!([{"kind": "User", "name": "eve"}])),
                ),
            ]),
        })
    }

    fn ask(user: &str, groups: &[&str], resource: &str, namespace: &str) -> Result<String, String> {
        index().decide(&Attributes {
            user: Arc::new(User::new(user, groups)),
            verb: "get".into(),
            resource: resource.into(),
            namespace: namespace.into(),
            is_resource: true,
            ..Attributes::default()
        })
    }

    #[test]
    fn cluster_bindings_hold_everywhere_and_role_bindings_in_their_namespace() {
        for (want, user, groups, resource, namespace) in [
            (true, "ann", &[][..], "pods", ""),
            (true, "ann", &[], "pods", "b"),
            (true, "bob", &["devs"], "pods", "b"),
            (false, "bob", &["ops"], "pods", "b"),
            (false, "ann", &[], "secrets", "a"),
            (true, "system:serviceaccount:a:bot", &[], "secrets", "a"),
            (true, "system:serviceaccount:tools:bot", &[], "secrets", "a"),
            (false, "system:serviceaccount:b:bot", &[], "secrets", "a"),
            (true, "system:serviceaccount:b:bot", &[], "pods", "b"),
            (false, "system:serviceaccount:b:bot", &[], "pods", "a"),
            (false, "system:serviceaccount:b:bot", &[], "pods", ""),
        ] {
            let answer = ask(user, groups, resource, namespace);
            assert_eq!(answer.is_ok(), want, "{user} {groups:?} {resource} in {namespace:?}: {answer:?}");
        }
    }

    #[test]
    fn reasons_are_upstreams() {
        assert_eq!(
            ask("ann", &[], "pods", "a").unwrap(),
            r#"RBAC: allowed by ClusterRoleBinding "all" of ClusterRole "pods" to User "ann""#
        );
        assert_eq!(
            ask("system:serviceaccount:tools:bot", &[], "secrets", "a").unwrap(),
            r#"RBAC: allowed by RoleBinding "local/a" of Role "secrets" to ServiceAccount "bot/tools""#
        );
        assert_eq!(
            ask("eve", &[], "pods", "b").unwrap_err(),
            r#"role.rbac.authorization.k8s.io "gone" not found"#
        );
    }

    #[test]
    fn rules_list_what_the_subject_holds() {
        let index = index();
        let user = User::new("system:serviceaccount:tools:bot", &["devs"]);
        assert_eq!(index.rules(&user, "a").0.len(), 2);
        assert_eq!(index.rules(&user, "c").0.len(), 1);
    }
}
