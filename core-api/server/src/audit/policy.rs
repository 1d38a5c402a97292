//! Which requests are audited, and how much of them. Pure.
//!
//! Owns the policy file: its form, its checks, the first rule that a request meets. Upstream: apiserver
//! `pkg/audit/policy/{reader,checker}.go`, `pkg/apis/audit/validation/validation.go`. Unlike there, a field that does not
//! exist is refused: a rule that was meant to log something must not be read as another one.

use crate::request_info::RequestInfo;
use proa_meta::{FieldErrors, FieldPath, User, names};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How much of a request is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

/// When an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

const LEVELS: [(&str, Level); 4] = [
    ("None", Level::None),
    ("Metadata", Level::Metadata),
    ("Request", Level::Request),
    ("RequestResponse", Level::RequestResponse),
];
const STAGES: [(&str, Stage); 4] = [
    ("RequestReceived", Stage::RequestReceived),
    ("ResponseStarted", Stage::ResponseStarted),
    ("ResponseComplete", Stage::ResponseComplete),
    ("Panic", Stage::Panic),
];

/// What is recorded of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) level: Level,
    /// By [`Stage`].
    omitted: [bool; STAGES.len()],
    pub(crate) omits_managed_fields: bool,
}

impl Extent {
    /// Whether an event is written then.
    pub(crate) const fn has(&self, stage: Stage) -> bool {
        !self.omitted[stage as usize]
    }
}

/// The file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    /// Of no meaning here.
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    #[serde(default)]
    rules: Vec<FileRule>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct FileRule {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

/// A policy that was found good.
#[derive(Debug)]
pub(crate) struct Policy(Vec<(FileRule, Extent)>);

impl Policy {
    /// Reads a policy file, YAML or JSON.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let file: File = serde_saphyr::from_str(text).map_err(|why| format!("failed decoding: {why}"))?;
        if (file.api_version.as_str(), file.kind.as_str()) != ("audit.k8s.io/v1", "Policy") {
            let found = format!("{}, Kind={}", file.api_version, file.kind);
            return Err(format!(
                "unknown group version field {found} in policy: audit.k8s.io/v1, Kind=Policy is read"
            ));
        }
        let mut errors = FieldErrors::default();
        let everywhere = stages(&file.omit_stages, &FieldPath::root("omitStages"), &mut errors);
        let path = FieldPath::root("rules");
        let rules = file.rules.into_iter().enumerate().map(|(i, rule)| {
            let at = path.index(i);
            let level = check(&rule, &at, &mut errors);
            let mut omitted = stages(&rule.omit_stages, &at.child("omitStages"), &mut errors);
            omitted.iter_mut().zip(everywhere).for_each(|(here, there)| *here |= there);
            let omits_managed_fields = rule.omit_managed_fields.unwrap_or(file.omit_managed_fields);
            (rule, Extent { level, omitted, omits_managed_fields })
        });
        let rules: Vec<_> = rules.collect();
        if !errors.is_empty() {
            return Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        }
        if rules.is_empty() {
            return Err("rules: a policy must have at least one rule".to_owned());
        }
        Ok(Self(rules))
    }

    /// What is recorded of a request: as the first rule says that it meets; nothing when it meets none.
    pub(crate) fn extent(&self, info: &RequestInfo, user: Option<&User>) -> Option<Extent> {
        let (_, extent) = self.0.iter().find(|(rule, _)| rule.matches(info, user))?;
        (extent.level > Level::None).then_some(*extent)
    }
}

fn check(rule: &FileRule, at: &FieldPath<'_>, errors: &mut FieldErrors) -> Level {
    let level = LEVELS.iter().find(|(name, _)| *name == rule.level).map(|(_, level)| *level);
    match rule.level.as_str() {
        "" => errors.required(&at.child("level"), ""),
        text if level.is_none() => {
            errors.not_supported(&at.child("level"), &json!(text), &LEVELS.map(|(name, _)| name));
        }
        _ => {}
    }
    let urls = at.child("nonResourceURLs");
    for (i, url) in rule.non_resource_urls.iter().enumerate().filter(|(_, url)| *url != "*") {
        let at = urls.index(i);
        if !url.starts_with('/') {
            errors.invalid(&at, &json!(url), "non-resource URL rules must begin with a '/' character");
        }
        if url.strip_suffix('*').unwrap_or(url).contains('*') {
            let why = "non-resource URL wildcards '*' must be the final character of the rule";
            errors.invalid(&at, &json!(url), why);
        }
    }
    let names_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
    if names_resources && !rule.non_resource_urls.is_empty() {
        let why = "rules cannot apply to both regular resources and non-resource URLs";
        errors.invalid(&urls, &json!(rule.non_resource_urls), why);
    }
    let resources = at.child("resources");
    for (i, one) in rule.resources.iter().enumerate() {
        let at = resources.index(i);
        if !matches!(one.group.as_str(), "" | "*") {
            for problem in names::is_dns1123_subdomain(&one.group) {
                errors.invalid(&at.child("group"), &json!(one.group), &problem);
            }
        }
        if !one.resource_names.is_empty() && one.resources.is_empty() {
            let why = "using resourceNames requires at least one resource";
            errors.invalid(&at.child("resourceNames"), &json!(one.resource_names), why);
        }
    }
    level.unwrap_or(Level::None)
}

fn stages(names: &[String], at: &FieldPath<'_>, errors: &mut FieldErrors) -> [bool; STAGES.len()] {
    let mut omitted = [false; STAGES.len()];
    for (i, name) in names.iter().enumerate() {
        match STAGES.iter().find(|(known, _)| known == name) {
            Some((_, stage)) => omitted[*stage as usize] = true,
            None => {
                let known = STAGES.map(|(name, _)| name).join(",");
                errors.invalid(&at.index(i), &json!(name), &format!("allowed stages are {known}"));
            }
        }
    }
    omitted
}

impl FileRule {
    fn matches(&self, info: &RequestInfo, user: Option<&User>) -> bool {
        let name = user.map_or("", |user| user.name.as_str());
        let groups = user.map_or(&[][..], |user| &user.groups[..]);
        if !(self.users.is_empty() || has(&self.users, name))
            || !(self.user_groups.is_empty() || groups.iter().any(|group| has(&self.user_groups, group)))
            || !(self.verbs.is_empty() || has(&self.verbs, info.verb))
        {
            return false;
        }
        if !(self.namespaces.is_empty() && self.resources.is_empty()) {
            return info.is_resource
                && (self.namespaces.is_empty() || has(&self.namespaces, &info.namespace))
                && (self.resources.is_empty() || self.resources.iter().any(|one| one.matches(info)));
        }
        let covers = |url: &String| {
            url == "*"
                || *url == info.path
                || url.strip_suffix('*').is_some_and(|start| info.path.starts_with(start))
        };
        self.non_resource_urls.is_empty() || (!info.is_resource && self.non_resource_urls.iter().any(covers))
    }
}

impl GroupResources {
    fn matches(&self, info: &RequestInfo) -> bool {
        let RequestInfo { group, resource, subresource, name, .. } = info;
        if self.group != "*" && self.group != *group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        let named = self.resource_names.is_empty() || has(&self.resource_names, name);
        named
            && self.resources.iter().any(|rule| match (rule.as_str(), rule.split_once('/')) {
                ("*", _) => true,
                (_, Some((whose, part))) => {
                    (whose == resource && (part == "*" || part == subresource))
                        || (whose == "*" && !subresource.is_empty() && part == subresource)
                }
                (rule, None) => rule == resource && subresource.is_empty(),
            })
    }
}

fn has(list: &[String], one: &str) -> bool {
    list.iter().any(|known| known == one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Query;
    use http::Method;

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

    fn policy(rest: &str) -> Result<Policy, String> {
        Policy::parse(&format!("{HEAD}{rest}"))
    }

    #[test]
    fn the_first_rule_that_a_request_meets_decides() {
        let policy = policy(
            r#"
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: [quiet]}
- {level: None, nonResourceURLs: ["/healthz*", /version]}
- {level: Metadata, resources: [{group: "", resources: [secrets, "pods/*", "*/scale"]}]}
- {level: Request, verbs: [create], namespaces: [ns], omitStages: [Panic], omitManagedFields: false}
- {level: RequestResponse, resources: [{group: apps, resources: [deployments], resourceNames: [web]}]}
- {level: Metadata, userGroups: [watched]}
"#,
        )
        .unwrap();
        let level = |user: &str, method: Method, target: &str| {
            let (path, query) = target.split_once('?').map_or((target, None), |(p, q)| (p, Some(q)));
            let info = crate::request_info::parse(&method, path, &Query::parse(query)).unwrap();
            let group = if user == "seen" { "watched" } else { "others" };
            policy.extent(&info, Some(&User::new(user, &[group]))).map(|extent| extent.level)
        };
        use Level::{Metadata, Request, RequestResponse};
        for (user, method, target, want) in [
            ("quiet", Method::GET, "/api/v1/namespaces/ns/secrets/a", None),
            ("a", Method::GET, "/healthz/ping", None),
            ("seen", Method::GET, "/versions", Some(Metadata)),
            ("seen", Method::GET, "/version", None),
            ("a", Method::GET, "/api/v1/namespaces/ns/secrets/a", Some(Metadata)),
            ("a", Method::GET, "/api/v1/namespaces/ns/pods/a", Some(Metadata)),
            ("a", Method::GET, "/api/v1/namespaces/ns/pods/a/log", Some(Metadata)),
            ("a", Method::GET, "/api/v1/namespaces/ns/replicationcontrollers/a/scale", Some(Metadata)),
            ("a", Method::POST, "/api/v1/namespaces/ns/configmaps", Some(Request)),
            ("a", Method::POST, "/api/v1/namespaces/other/configmaps", None),
            ("a", Method::GET, "/apis/apps/v1/namespaces/x/deployments/web", Some(RequestResponse)),
            ("a", Method::GET, "/apis/apps/v1/namespaces/x/deployments/db", None),
            ("a", Method::GET, "/apis/apps/v1/namespaces/x/deployments/web/status", None),
        ] {
            assert_eq!(level(user, method.clone(), target), want, "{user} {method} {target}");
        }
        let extent = |method: Method, path: &str| {
            let info = crate::request_info::parse(&method, path, &Query::default()).unwrap();
            policy.extent(&info, None).unwrap()
        };
        let create = extent(Method::POST, "/api/v1/namespaces/ns/configmaps");
        assert!(!create.has(Stage::RequestReceived) && !create.has(Stage::Panic), "the union is left out");
        assert!(create.has(Stage::ResponseComplete) && !create.omits_managed_fields);
        assert!(extent(Method::GET, "/api/v1/namespaces/ns/secrets/a").omits_managed_fields);
    }

    #[test]
    fn bad_policies_are_refused_with_the_field() {
        for (text, why) in [
            ("rules: []", "rules: a policy must have at least one rule"),
            ("rules: [{users: [a]}]", "rules[0].level: Required value"),
            (
                "rules: [{level: Metadata}, {level: All}]",
                "rules[1].level: Unsupported value: \"All\": supported values: \"None\", \"Metadata\"",
            ),
            (
                "omitStages: [Received]\nrules: [{level: None}]",
                "omitStages[0]: Invalid value: \"Received\": allowed stages are RequestReceived,",
            ),
            (
                "rules: [{level: None, nonResourceURLs: [\"/a*b\"]}]",
                "rules[0].nonResourceURLs[0]: Invalid value: \"/a*b\": non-resource URL wildcards",
            ),
            (
                "rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]",
                "rules cannot apply to both regular resources and non-resource URLs",
            ),
            (
                "rules: [{level: None, resources: [{group: apps/v1}]}]",
                "rules[0].resources[0].group: Invalid value: \"apps/v1\"",
            ),
            (
                "rules: [{level: None, resources: [{resourceNames: [a]}]}]",
                "rules[0].resources[0].resourceNames: Invalid value",
            ),
            ("rules: [{level: None, user: [a]}]", "user"),
            ("rules: {}", "failed decoding"),
        ] {
            let found = policy(text).unwrap_err();
            assert!(found.contains(why), "{text}: {found}");
        }
        let other = Policy::parse("apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]");
        assert!(other.unwrap_err().contains("audit.k8s.io/v1beta1, Kind=Policy"));
    }
}
