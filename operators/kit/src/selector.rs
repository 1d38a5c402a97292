//! Label selectors of workloads: `matchLabels` and `matchExpressions`.
//!
//! Invariant: an unknown operator matches nothing, so a bad selector never adopts pods. The API server validated the
//! selector; this only matches. Upstream: apimachinery `pkg/labels/selector.go`.

use crate::views::{Pairs, null_as_default, pod_spec::Requirement};
use serde::{Deserialize, Serialize};

/// A label selector; an empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Pairs that must be there.
    #[serde(skip_serializing_if = "Pairs::is_empty")]
    pub match_labels: Pairs,
    /// Further requirements.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "<[_]>::is_empty")]
    pub match_expressions: Box<[Requirement]>,
}

impl LabelSelector {
    /// Whether labels satisfy every requirement.
    pub fn matches(&self, labels: &Pairs) -> bool {
        self.match_labels.is_subset_of(labels)
            && self.match_expressions.iter().all(|requirement| requirement.matches_labels(labels))
    }
    /// Whether nothing is required.
    pub fn is_empty(&self) -> bool {
        self.match_labels.is_empty() && self.match_expressions.is_empty()
    }
    /// As the `labelSelector` query has it.
    pub fn to_query(&self) -> String {
        let pairs = self.match_labels.iter().map(|(key, value)| format!("{key}={value}"));
        let expressions = self.match_expressions.iter().map(|requirement| {
            let values = requirement.values.join(",");
            match &*requirement.operator {
                "In" => format!("{} in ({values})", requirement.key),
                "NotIn" => format!("{} notin ({values})", requirement.key),
                "DoesNotExist" => format!("!{}", requirement.key),
                _ => requirement.key.to_string(),
            }
        });
        pairs.chain(expressions).collect::<Vec<_>>().join(",")
    }
}

impl Requirement {
    /// Whether labels satisfy it; `Gt` and `Lt` compare integers, as node selectors do.
    pub fn matches_labels(&self, labels: &Pairs) -> bool {
        self.matches(labels.get(&self.key))
    }
    /// Whether a value, or its absence, satisfies it.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|own| &**own == value));
        match &*self.operator {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            "Gt" => self.compares(value, |value, own| value > own),
            "Lt" => self.compares(value, |value, own| value < own),
            _ => false,
        }
    }
    fn compares(&self, value: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let (Some(value), [own]) = (value, &*self.values) else { return false };
        matches!((value.parse(), own.parse()), (Ok(value), Ok(own)) if holds(value, own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(json: &str) -> LabelSelector {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_requirement_must_hold() {
        let labels: Pairs = [("app", "web"), ("tier", "3")].into_iter().collect();
        for (json, want) in [
            (r"{}", true),
            (r#"{"matchLabels":{"app":"web"}}"#, true),
            (r#"{"matchLabels":{"app":"db"}}"#, false),
            (r#"{"matchExpressions":[{"key":"app","operator":"In","values":["a","web"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"x","operator":"NotIn","values":["a"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"x","operator":"Exists"}]}"#, false),
            (r#"{"matchExpressions":[{"key":"x","operator":"DoesNotExist"}]}"#, true),
            (r#"{"matchExpressions":[{"key":"tier","operator":"Gt","values":["2"]}]}"#, true),
            (r#"{"matchExpressions":[{"key":"tier","operator":"Lt","values":["2"]}]}"#, false),
            (r#"{"matchExpressions":[{"key":"app","operator":"Like","values":["web"]}]}"#, false),
        ] {
            assert_eq!(selector(json).matches(&labels), want, "{json}");
        }
    }

    #[test]
    fn queries_read_as_kubectl_writes_them() {
        let json = r#"{"matchLabels":{"a":"b"},"matchExpressions":[{"key":"c","operator":"In","values":["d","e"]},
            {"key":"f","operator":"DoesNotExist"}]}"#;
        assert_eq!(selector(json).to_query(), "a=b,c in (d,e),!f");
    }
}
