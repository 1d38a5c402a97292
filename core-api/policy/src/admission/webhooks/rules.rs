//! Whether a webhook's rule is about a request. Pure.
//!
//! Upstream: apiserver `pkg/admission/plugin/webhook/predicates/rules/rules.go`.

use proa_registry::Operation;
use serde::Deserialize;

/// One rule of a webhook.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::admission) struct Rule {
    pub(in crate::admission) operations: Vec<String>,
    pub(in crate::admission) api_groups: Vec<String>,
    pub(in crate::admission) api_versions: Vec<String>,
    pub(in crate::admission) resources: Vec<String>,
    pub(in crate::admission) scope: Option<String>,
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(in crate::admission) struct Subject<'a> {
    pub(in crate::admission) operation: Operation,
    pub(in crate::admission) group: &'a str,
    pub(in crate::admission) version: &'a str,
    pub(in crate::admission) resource: &'a str,
    pub(in crate::admission) subresource: &'a str,
    /// Whether the object is in a namespace; a namespace itself is not.
    pub(in crate::admission) namespaced: bool,
}

/// Names of operations, as rules and questions have them.
pub(in crate::admission) const fn name_of(operation: Operation) -> &'static str {
    match operation {
        Operation::Create => "CREATE",
        Operation::Update => "UPDATE",
        Operation::Delete => "DELETE",
        Operation::Connect => "CONNECT",
    }
}

impl AsRef<Self> for Rule {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Rule {
    pub(in crate::admission) fn matches(&self, subject: &Subject<'_>) -> bool {
        let scope = match self.scope.as_deref() {
            None | Some("*") => true,
            Some("Namespaced") => subject.namespaced,
            Some("Cluster") => !subject.namespaced,
            Some(_) => false,
        };
        scope
            && holds(&self.operations, name_of(subject.operation))
            && holds(&self.api_groups, subject.group)
            && holds(&self.api_versions, subject.version)
            && self.resources.iter().any(|resource| is_about(resource, subject))
    }
}

fn holds(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == "*" || item == wanted)
}

/// `pods`, `pods/status`, `pods/*`, `*/status`, `*` (no subresource) or `*/*`.
fn is_about(resource: &str, subject: &Subject<'_>) -> bool {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    (resource == "*" || resource == subject.resource)
        && (subresource == "*" || subresource == subject.subresource)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const STATUS: Subject<'_> = Subject {
        operation: Operation::Update,
        group: "apps",
        version: "v1",
        resource: "deployments",
        subresource: "status",
        namespaced: true,
    };
    const CREATE: Subject<'_> = Subject { operation: Operation::Create, subresource: "", ..STATUS };
    const NODE: Subject<'_> =
        Subject { operation: Operation::Delete, group: "", resource: "nodes", namespaced: false, ..CREATE };

    #[test]
    fn every_part_has_to_match() {
        let rule = |operations: &str, group: &str, version: &str, resource: &str, scope: &str| {
            let rule = json!({"operations": [operations], "apiGroups": [group], "apiVersions": [version],
                "resources": [resource], "scope": scope});
            serde_json::from_value::<Rule>(rule).unwrap()
        };
        let all = |resource: &str| rule("*", "*", "*", resource, "*");
        for (rule, on_status, on_create, on_node) in [
            (all("*/*"), true, true, true),
            (all("*"), false, true, true),
            (all("*/status"), true, false, false),
            (all("deployments/*"), true, true, false),
            (all("deployments"), false, true, false),
            (all("deployments/status"), true, false, false),
            (rule("CREATE", "*", "*", "*/*", "*"), false, true, false),
            (rule("*", "apps", "*", "*/*", "*"), true, true, false),
            (rule("*", "", "*", "*/*", "*"), false, false, true),
            (rule("*", "*", "v2", "*/*", "*"), false, false, false),
            (rule("*", "*", "*", "*/*", "Namespaced"), true, true, false),
            (rule("*", "*", "*", "*/*", "Cluster"), false, false, true),
        ] {
            let found = [STATUS, CREATE, NODE].map(|subject| rule.matches(&subject));
            assert_eq!(found, [on_status, on_create, on_node], "{rule:?}");
        }
        assert!(!Rule::default().matches(&CREATE), "an empty rule is about nothing");
    }
}
