//! Rules that users give: what a pod's failure means, and which indexes make a success.
//!
//! Upstream: pkg/controller/job/{pod_failure_policy,success_policy}.go.

use crate::plan::indexes::Indexes;
use proa_kit::views::{JobView, PodView, pod::ContainerStatus};
use serde::Deserialize;

/// `spec.podFailurePolicy`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct FailurePolicy {
    rules: Vec<FailureRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct FailureRule {
    action: String,
    on_exit_codes: Option<ExitCodes>,
    on_pod_conditions: Option<Vec<ConditionPattern>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ExitCodes {
    container_name: Option<String>,
    operator: String,
    values: Vec<i32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ConditionPattern {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

/// What a pod's failure means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts.
    Count,
    /// It does not count.
    Ignore,
    /// It counts, and its index failed for good.
    FailIndex,
    /// The whole job failed; the text says why.
    FailJob(String),
}

impl Verdict {
    /// Whether the failure counts towards the limits.
    pub fn counts(&self) -> bool {
        *self != Self::Ignore
    }
}

impl FailurePolicy {
    /// The job's policy, if it has one.
    pub fn of(job: &JobView) -> Option<Self> {
        job.spec.pod_failure_policy.as_ref().map(|policy| Self::deserialize(&**policy).unwrap_or_default())
    }
    /// The verdict of the first rule that matches.
    pub fn judge(&self, pod: &PodView) -> Verdict {
        let name = format!("{}/{}", pod.metadata.namespace, pod.metadata.name);
        for (at, rule) in self.rules.iter().enumerate() {
            let Some(matched) = rule.matches(pod, &name) else { continue };
            match rule.action.as_str() {
                "Ignore" => return Verdict::Ignore,
                "FailIndex" => return Verdict::FailIndex,
                "Count" => return Verdict::Count,
                "FailJob" => {
                    return Verdict::FailJob(format!("{matched} matching FailJob rule at index {at}"));
                }
                _ => {}
            }
        }
        Verdict::Count
    }
}

impl FailureRule {
    /// What of the pod matches, in words.
    fn matches(&self, pod: &PodView, name: &str) -> Option<String> {
        if let Some(codes) = &self.on_exit_codes {
            let all = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
            return all.filter_map(|status| codes.matches(status)).next().map(|(container, code)| {
                format!("Container {container} for pod {name} failed with exit code {code}")
            });
        }
        let patterns = self.on_pod_conditions.as_ref()?;
        let is_named = |kind: &str, status: &str| {
            patterns.iter().any(|pattern| pattern.kind == kind && pattern.status == status)
        };
        let condition = pod.status.conditions.iter().find(|own| is_named(&own.kind, &own.status))?;
        Some(format!("Pod {name} has condition {}", condition.kind))
    }
}

impl ExitCodes {
    fn matches<'a>(&self, status: &'a ContainerStatus) -> Option<(&'a str, i32)> {
        let code = status.state.terminated.as_ref()?.exit_code;
        let named = self.container_name.as_ref().is_none_or(|name| **name == *status.name);
        let listed = self.values.contains(&code);
        let matches = match self.operator.as_str() {
            "In" => listed,
            "NotIn" => !listed,
            _ => false,
        };
        (named && code != 0 && matches).then_some((&status.name, code))
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SuccessPolicy {
    rules: Vec<SuccessRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SuccessRule {
    succeeded_indexes: Option<String>,
    succeeded_count: Option<i32>,
}

/// Which rule of the success policy is met, in words.
pub fn success(job: &JobView, succeeded: &Indexes) -> Option<String> {
    let policy = SuccessPolicy::deserialize(&**job.spec.success_policy.as_ref()?).ok()?;
    if succeeded.is_empty() {
        return None;
    }
    let completions = job.spec.completions.unwrap_or(0);
    let met = policy.rules.iter().position(|rule| rule.is_met(completions, succeeded))?;
    Some(format!("Matched rules at index {met}"))
}

impl SuccessRule {
    fn is_met(&self, completions: i32, succeeded: &Indexes) -> bool {
        let enough = |count: i32| self.succeeded_count.is_some_and(|wanted| count >= wanted);
        let Some(text) = &self.succeeded_indexes else { return enough(succeeded.total()) };
        let required = Indexes::parse(text, completions);
        let common = required.overlap(succeeded);
        !required.is_empty() && (common == required.total() || enough(common))
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "literals read better")]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn job(spec: Value) -> JobView {
        serde_json::from_value(json!({ "spec": spec })).unwrap()
    }

    #[test]
    fn the_first_matching_rule_judges() {
        let policy = FailurePolicy::of(&job(json!({"podFailurePolicy": {"rules": [
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [42]}},
            {"action": "FailIndex", "onExitCodes": {"operator": "NotIn", "values": [1]}}]}})))
        .unwrap();
        let pod = |code: i32, container: &str, conditions: Value| -> PodView {
            serde_json::from_value(
                json!({"metadata": {"name": "p", "namespace": "ns"}, "status": {"conditions": conditions,
                "containerStatuses": [{"name": container, "state": {"terminated": {"exitCode": code}}}]}}),
            )
            .unwrap()
        };
        let disrupted = json!([{"type": "DisruptionTarget", "status": "True"}]);
        assert_eq!(policy.judge(&pod(42, "main", disrupted)), Verdict::Ignore);
        let text = "Container main for pod ns/p failed with exit code 42 matching FailJob rule at index 1";
        assert_eq!(policy.judge(&pod(42, "main", json!([]))), Verdict::FailJob(text.to_owned()));
        assert_eq!(policy.judge(&pod(42, "side", json!([]))), Verdict::FailIndex);
        assert_eq!(policy.judge(&pod(1, "main", json!([]))), Verdict::Count);
    }

    #[test]
    fn success_by_indexes_or_count() {
        let job = job(json!({"completions": 10, "successPolicy": {"rules": [
            {"succeededIndexes": "0,2-4", "succeededCount": 3}, {"succeededCount": 5}]}}));
        let met = |text: &str| success(&job, &Indexes::parse(text, 10));
        assert_eq!(met("0,2"), None);
        assert_eq!(met("0,2,3").as_deref(), Some("Matched rules at index 0"));
        assert_eq!(met("5-9").as_deref(), Some("Matched rules at index 1"));
        assert_eq!(met(""), None);
    }
}
