//! Which FlowSchema a request falls under, and which of its flows. Pure.
//!
//! Upstream: apiserver `pkg/util/flowcontrol/rule.go`.

use crate::request_info::RequestInfo;
use proa_meta::User;
use serde::Deserialize;

const ALL: &str = "*";

/// What a schema's object says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    priority_level_configuration: Named,
    matching_precedence: i64,
    distinguisher_method: Option<Method>,
    rules: Vec<Rule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    namespace: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Method {
    r#type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Rule {
    subjects: Vec<Subject>,
    resource_rules: Vec<ResourceRule>,
    non_resource_rules: Vec<NonResourceRule>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    user: Option<Named>,
    group: Option<Named>,
    service_account: Option<Named>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceRule {
    verbs: Vec<String>,
    api_groups: Vec<String>,
    resources: Vec<String>,
    cluster_scope: bool,
    namespaces: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct NonResourceRule {
    verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    urls: Vec<String>,
}

impl Spec {
    /// Name of the level.
    pub(super) fn level(&self) -> &str {
        &self.priority_level_configuration.name
    }

    /// Schemas are tried in this order, those of the same precedence by name.
    pub(super) const fn precedence(&self) -> i64 {
        self.matching_precedence
    }

    /// Whether the request falls under the schema.
    pub(super) fn matches(&self, info: &RequestInfo, user: &User) -> bool {
        self.rules.iter().any(|rule| {
            rule.subjects.iter().any(|subject| subject.is(user))
                && match info.is_resource {
                    true => rule.resource_rules.iter().any(|rule| rule.matches(info)),
                    false => rule.non_resource_rules.iter().any(|rule| rule.matches(info)),
                }
        })
    }

    /// What tells the schema's flows apart.
    pub(super) fn flow<'a>(&self, info: &'a RequestInfo, user: &'a User) -> &'a str {
        match self.distinguisher_method.as_ref().map(|method| method.r#type.as_str()) {
            Some("ByUser") => &user.name,
            Some("ByNamespace") => &info.namespace,
            _ => "",
        }
    }
}

impl Subject {
    fn is(&self, user: &User) -> bool {
        let account = |wanted: &Named| {
            user.service_account().is_some_and(|(namespace, name)| {
                namespace == wanted.namespace && (wanted.name == ALL || name == wanted.name)
            })
        };
        self.user.as_ref().is_some_and(|wanted| wanted.name == ALL || wanted.name == user.name)
            || self.group.as_ref().is_some_and(|wanted| wanted.name == ALL || user.in_group(&wanted.name))
            || self.service_account.as_ref().is_some_and(account)
    }
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let RequestInfo { verb, group, resource, subresource, namespace, .. } = info;
        let names = |rule: &String| match rule.split_once('/') {
            None => rule == ALL || (subresource.is_empty() && rule == resource),
            Some((whose, part)) => whose == resource && part == subresource,
        };
        let scope = if namespace.is_empty() { self.cluster_scope } else { has(&self.namespaces, namespace) };
        has(&self.verbs, verb) && has(&self.api_groups, group) && self.resources.iter().any(names) && scope
    }
}

impl NonResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let covers = |url: &String| {
            *url == info.path || url.strip_suffix('*').is_some_and(|start| info.path.starts_with(start))
        };
        has(&self.verbs, info.verb) && self.urls.iter().any(covers)
    }
}

fn has(list: &[String], one: &str) -> bool {
    list.iter().any(|known| known == ALL || known == one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use http::Method as Verb;
    use serde_json::json;

    #[test]
    fn rules_match_as_they_say() {
        let spec: Spec = serde_json::from_value(json!({
            "distinguisherMethod": {"type": "ByNamespace"},
            "rules": [
                {"subjects": [{"kind": "User", "user": {"name": "ann"}},
                              {"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}}],
                 "resourceRules": [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "nodes/status"],
                                    "clusterScope": false, "namespaces": ["a"]},
                                   {"verbs": ["*"], "apiGroups": [""], "resources": ["nodes"], "clusterScope": true}]},
                {"subjects": [{"kind": "Group", "group": {"name": "g"}}],
                 "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/debug/*"]}]},
            ],
        }))
        .unwrap();
        let ann = || User::new("ann", &[]);
        let grouped = || User::new("x", &["g"]);
        for (user, method, path, want) in [
            (ann(), Verb::GET, "/api/v1/namespaces/a/pods", true),
            (ann(), Verb::GET, "/api/v1/namespaces/b/pods", false),
            (ann(), Verb::GET, "/api/v1/pods", false),
            (ann(), Verb::DELETE, "/api/v1/namespaces/a/pods/x", false),
            (ann(), Verb::GET, "/api/v1/namespaces/a/pods/x/status", false),
            (ann(), Verb::DELETE, "/api/v1/nodes/n", true),
            (ann(), Verb::GET, "/apis/apps/v1/namespaces/a/pods", false),
            (ann(), Verb::GET, "/healthz", false),
            (User::new("system:serviceaccount:kube-system:x", &[]), Verb::GET, "/api/v1/nodes", true),
            (User::new("system:serviceaccount:other:x", &[]), Verb::GET, "/api/v1/nodes", false),
            (grouped(), Verb::GET, "/healthz", true),
            (grouped(), Verb::GET, "/healthz/x", false),
            (grouped(), Verb::GET, "/debug/a/b", true),
            (grouped(), Verb::POST, "/healthz", false),
        ] {
            let info = crate::request_info::parse(&method, path, &Query::default()).unwrap();
            assert_eq!(spec.matches(&info, &user), want, "{} {method} {path}", user.name);
            if path == "/api/v1/namespaces/a/pods" {
                assert_eq!(spec.flow(&info, &user), "a");
            }
        }
    }
}
