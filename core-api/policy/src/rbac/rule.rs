//! One RBAC rule: what it matches, what it covers, how errors print it.
//!
//! Owns: matching of requests, covering of rules by rules, compaction for messages. Deliberately absent: who holds a
//! rule (`index`). Upstream: component-helpers `auth/rbac/validation/policy_comparator.go`,
//! `pkg/apis/rbac/v1/evaluation_helpers.go`, `pkg/registry/rbac/validation/policy_compact.go`.

use proa_registry::Attributes;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// A rule of a Role or ClusterRole.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PolicyRule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`; the empty string is the core group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Resources, `resource/subresource`, `*/subresource` or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Object names; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths, with a trailing `*` for a prefix.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

const ALL: &str = "*";

fn has(set: &[String], one: &str) -> bool {
    set.iter().any(|s| s == one)
}

fn has_or_all(set: &[String], one: &str) -> bool {
    set.iter().any(|s| s == one || s == ALL)
}

impl PolicyRule {
    /// Whether the rule allows the request.
    pub fn allows(&self, request: &Attributes) -> bool {
        if !has_or_all(&self.verbs, &request.verb) {
            return false;
        }
        if request.is_resource {
            has_or_all(&self.api_groups, &request.group)
                && self.matches_resource(&request.resource, &request.subresource)
                && (self.resource_names.is_empty() || has(&self.resource_names, &request.name))
        } else {
            self.non_resource_urls.iter().any(|url| path_covers(url, &request.path))
        }
    }

    fn matches_resource(&self, resource: &str, subresource: &str) -> bool {
        self.resources.iter().any(|rule| match (rule.as_str(), subresource) {
            (ALL, _) => true,
            (rule, "") => rule == resource,
            (rule, sub) => rule
                .strip_suffix(sub)
                .and_then(|head| head.strip_suffix('/'))
                .is_some_and(|head| head == resource || head == ALL),
        })
    }

    /// Whether whoever holds this rule holds `part`, which has at most one group, resource, verb and name.
    fn covers_part(&self, part: &Self) -> bool {
        covers_names(&self.resource_names, &part.resource_names)
            && part.verbs.iter().all(|verb| has_or_all(&self.verbs, verb))
            && part.api_groups.iter().all(|group| has_or_all(&self.api_groups, group))
            && part.resources.iter().all(|resource| covers_resource(&self.resources, resource))
            && part
                .non_resource_urls
                .iter()
                .all(|path| self.non_resource_urls.iter().any(|owned| path_covers(owned, path)))
    }

    /// Equivalent rules with one group, resource, verb and name (or one path and verb) each.
    fn parts(&self) -> Vec<Self> {
        let mut parts = Vec::new();
        for group in &self.api_groups {
            for resource in &self.resources {
                for verb in &self.verbs {
                    self.push_parts(&mut parts, group, resource, verb);
                }
            }
        }
        for path in &self.non_resource_urls {
            parts.extend(self.verbs.iter().map(|verb| Self {
                verbs: vec![verb.clone()],
                non_resource_urls: vec![path.clone()],
                ..Self::default()
            }));
        }
        parts
    }

    fn push_parts(&self, parts: &mut Vec<Self>, group: &str, resource: &str, verb: &str) {
        let part = |names: Vec<String>| Self {
            verbs: vec![verb.to_owned()],
            api_groups: vec![group.to_owned()],
            resources: vec![resource.to_owned()],
            resource_names: names,
            ..Self::default()
        };
        if self.resource_names.is_empty() {
            parts.push(part(Vec::new()));
        }
        parts.extend(self.resource_names.iter().map(|name| part(vec![name.clone()])));
    }
}

fn covers_names(owned: &[String], asked: &[String]) -> bool {
    owned.is_empty() || (!asked.is_empty() && asked.iter().all(|name| has(owned, name)))
}

fn covers_resource(owned: &[String], asked: &str) -> bool {
    owned.iter().any(|one| {
        let any_of = |sub: &str| one.strip_prefix("*/") == Some(sub);
        one == ALL || one == asked || asked.split_once('/').is_some_and(|(_, sub)| any_of(sub))
    })
}

/// Whether a rule's path, which may end in `*`, covers a path.
fn path_covers(rule: &str, path: &str) -> bool {
    rule == path || (rule.ends_with('*') && path.starts_with(rule.trim_end_matches('*')))
}

/// What of `asked` the holder of `owned` does not hold, in parts. Empty: everything is covered.
pub fn uncovered<'a>(
    owned: &[&PolicyRule],
    asked: impl IntoIterator<Item = &'a PolicyRule>,
) -> Vec<PolicyRule> {
    let mut parts: Vec<_> = asked.into_iter().flat_map(PolicyRule::parts).collect();
    parts.retain(|part| !owned.iter().any(|rule| rule.covers_part(part)));
    parts
}

/// Joins parts that differ only in their verb.
pub fn compact(parts: Vec<PolicyRule>) -> Vec<PolicyRule> {
    let mut joined: BTreeMap<PolicyRule, Vec<String>> = BTreeMap::new();
    let mut plain = Vec::new();
    for mut part in parts {
        if part.non_resource_urls.is_empty() {
            let verbs = std::mem::take(&mut part.verbs);
            joined.entry(part).or_default().extend(verbs);
        } else {
            plain.push(part);
        }
    }
    plain.extend(joined.into_iter().map(|(rule, verbs)| PolicyRule { verbs, ..rule }));
    plain
}

/// `{APIGroups:["apps"], Resources:["deployments"], Verbs:["create" "delete"]}`: the form that messages have.
impl fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("NonResourceURLs", &self.non_resource_urls),
            ("ResourceNames", &self.resource_names),
            ("Verbs", &self.verbs),
        ];
        f.write_str("{")?;
        for (i, (name, values)) in fields.into_iter().filter(|(_, values)| !values.is_empty()).enumerate() {
            write!(f, "{}{name}:{}", if i == 0 { "" } else { ", " }, quoted(values))?;
        }
        f.write_str("}")
    }
}

/// `["a" "b"]`.
pub(crate) fn quoted(values: &[String]) -> String {
    let quoted: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> PolicyRule {
        let list = |text: &str| text.split_terminator(' ').map(str::to_owned).collect::<Vec<_>>();
        let groups = list(groups).into_iter().map(|g| if g == "core" { String::new() } else { g }).collect();
        PolicyRule {
            verbs: list(verbs),
            api_groups: groups,
            resources: list(resources),
            resource_names: list(names),
            non_resource_urls: Vec::new(),
        }
    }

    fn request(verb: &str, resource: &str, subresource: &str, name: &str) -> Attributes {
        Attributes {
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            name: name.to_owned(),
            is_resource: true,
            ..Attributes::default()
        }
    }

    #[test]
    fn resource_rules_match_as_upstream() {
        for (want, rule, request) in [
            (true, rule("get", "core", "pods", ""), request("get", "pods", "", "a")),
            (false, rule("get", "core", "pods", ""), request("get", "pods", "log", "a")),
            (true, rule("get", "core", "pods/log", ""), request("get", "pods", "log", "a")),
            (true, rule("get", "core", "*/log", ""), request("get", "pods", "log", "a")),
            (false, rule("get", "core", "*/log", ""), request("get", "pods", "blog", "a")),
            (false, rule("get", "core", "*/log", ""), request("get", "pods", "", "a")),
            (true, rule("*", "*", "*", ""), request("get", "pods", "log", "a")),
            (false, rule("get", "apps", "*", ""), request("get", "pods", "", "a")),
            (true, rule("get", "core", "pods", "a b"), request("get", "pods", "", "b")),
            (false, rule("get", "core", "pods", "a"), request("list", "pods", "", "a")),
            (false, rule("get", "core", "pods", "a"), request("get", "pods", "", "")),
            (false, rule("get", "core", "", ""), request("get", "pods", "", "a")),
        ] {
            assert_eq!(rule.allows(&request), want, "{rule} {request:?}");
        }
    }

    #[test]
    fn path_rules_match_as_upstream() {
        for (want, rule, path) in [
            (true, "/healthz", "/healthz"),
            (false, "/healthz", "/healthz/etcd"),
            (true, "/healthz/*", "/healthz/etcd"),
            (false, "/healthz/*", "/healthz"),
            (true, "/api*", "/apis"),
            (true, "*", "/anything"),
        ] {
            let rule = PolicyRule {
                verbs: vec!["get".into()],
                non_resource_urls: vec![rule.into()],
                ..PolicyRule::default()
            };
            let request = Attributes { verb: "get".into(), path: path.into(), ..Attributes::default() };
            assert_eq!(rule.allows(&request), want, "{rule} {path}");
        }
    }

    #[test]
    fn covering_follows_names_and_subresources() {
        for (want, owned, asked) in [
            (true, rule("*", "*", "*", ""), rule("get list", "core apps", "pods", "")),
            (true, rule("get", "core", "*/status", ""), rule("get", "core", "pods/status", "")),
            (false, rule("get", "core", "*/status", ""), rule("get", "core", "pods", "")),
            (false, rule("get", "core", "pods", "a"), rule("get", "core", "pods", "")),
            (true, rule("get", "core", "pods", ""), rule("get", "core", "pods", "a")),
            (true, rule("get", "core", "pods", "a b"), rule("get", "core", "pods", "b")),
            (false, rule("get", "core", "pods", "a"), rule("get", "core", "pods", "a b")),
            (false, rule("get", "core", "pods", ""), rule("*", "core", "pods", "")),
        ] {
            assert_eq!(uncovered(&[&owned], [&asked]).is_empty(), want, "{owned} {asked}");
        }
    }

    #[test]
    fn missing_rights_print_compactly() {
        let missing = uncovered(
            &[&rule("get", "apps", "deployments", "")],
            [&rule("get create delete", "apps", "deployments", "")],
        );
        let texts: Vec<_> = compact(missing).iter().map(ToString::to_string).collect();
        assert_eq!(texts, [r#"{APIGroups:["apps"], Resources:["deployments"], Verbs:["create" "delete"]}"#]);
    }

    proptest! {
        /// What covers a rule also allows every request that the rule allows.
        #[test]
        fn covering_implies_allowing(
            owned in "(get|list|\\*)", asked in "(get|list|\\*)",
            owned_resource in "(pods|pods/log|\\*/log|\\*)", asked_resource in "(pods|pods/log|\\*/log|\\*)",
            verb in "(get|list)", sub in "(|log)",
        ) {
            let owned = rule(&owned, "core", &owned_resource, "");
            let asked = rule(&asked, "core", &asked_resource, "");
            let request = request(&verb, "pods", &sub, "a");
            if uncovered(&[&owned], [&asked]).is_empty() && asked.allows(&request) {
                prop_assert!(owned.allows(&request));
            }
        }
    }
}
