//! HorizontalPodAutoscaler.

use super::{Meta, null_as_default};
use crate::{clock::rfc3339, conditions::Condition, kind::Kind, selector::LabelSelector};
use jiff::Timestamp;
use proa_meta::quantity::Quantity;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::fmt::Write;

/// An autoscaler.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct HorizontalPodAutoscalerView {
    /// Metadata.
    #[serde(default)]
    pub metadata: Meta,
    /// Spec.
    #[serde(default)]
    pub spec: HorizontalPodAutoscalerSpec,
    /// Status.
    #[serde(default)]
    pub status: HorizontalPodAutoscalerStatus,
}

crate::view!(
    HorizontalPodAutoscalerView,
    Kind::namespaced("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
);

impl HorizontalPodAutoscalerView {
    /// The fewest replicas.
    pub fn min_replicas(&self) -> i32 {
        self.spec.min_replicas.unwrap_or(1)
    }
    /// Whether a metric can say that replicas are wanted where there are none: of an object or from outside.
    pub fn can_leave_zero(&self) -> bool {
        self.spec.metrics.iter().any(|metric| matches!(&*metric.kind, "Object" | "External"))
    }
}

/// What is wanted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HorizontalPodAutoscalerSpec {
    /// What is scaled.
    pub scale_target_ref: ObjectReference,
    /// Fewest replicas.
    pub min_replicas: Option<i32>,
    /// Most replicas.
    pub max_replicas: i32,
    /// What is aimed at; the metric that wants most replicas counts.
    #[serde(deserialize_with = "null_as_default")]
    pub metrics: Box<[MetricSpec]>,
    /// How fast.
    pub behavior: Option<Behavior>,
}

/// An object of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// Kind.
    pub kind: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Group and version.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub api_version: Box<str>,
}

impl ObjectReference {
    /// Group, or why there is none.
    pub fn group(&self) -> Result<&str, String> {
        let mut parts = self.api_version.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (_, None, _) => Ok(""),
            (Some(group), Some(_), None) => Ok(group),
            _ => Err(format!("unexpected GroupVersion string: {}", self.api_version)),
        }
    }
}

/// A metric and what it should be. One of the sources is set, as `kind` says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricSpec {
    /// `Resource`, `ContainerResource`, `Pods`, `Object` or `External`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// Of one object.
    pub object: Option<MetricSource>,
    /// Of each pod.
    pub pods: Option<MetricSource>,
    /// A resource of pods.
    pub resource: Option<ResourceSource>,
    /// A resource of one container of each pod.
    pub container_resource: Option<ResourceSource>,
    /// From outside of the cluster.
    pub external: Option<MetricSource>,
}

/// A named metric.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricSource {
    /// The object, where it is of one.
    pub described_object: ObjectReference,
    /// Which metric.
    pub metric: MetricName,
    /// What it should be.
    pub target: MetricTarget,
}

/// Name of a metric, and which of its series.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct MetricName {
    /// Name.
    pub name: Box<str>,
    /// Series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

impl MetricName {
    /// The selector as a query.
    pub fn query(&self) -> String {
        self.selector.as_ref().map(LabelSelector::to_query).unwrap_or_default()
    }
    /// The selector as it stands in messages.
    pub fn described(&self) -> String {
        let Some(selector) = &self.selector else { return "nil".to_owned() };
        let (mut labels, mut rules) = (String::new(), String::new());
        // Writing to a string cannot fail.
        for (key, value) in selector.match_labels.iter() {
            let _ = write!(labels, "{key}: {value},");
        }
        for rule in &selector.match_expressions {
            let values = rule.values.join(" ");
            let (key, operator) = (&rule.key, &rule.operator);
            let _ = write!(
                rules,
                "LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{values}],}},"
            );
        }
        format!(
            "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
             MatchExpressions:[]LabelSelectorRequirement{{{rules}}},}}"
        )
    }
}

/// A resource of pods or containers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceSource {
    /// Resource, such as `cpu`.
    pub name: Box<str>,
    /// Container, where only one counts.
    pub container: Box<str>,
    /// What it should be.
    pub target: MetricTarget,
}

/// What a metric should be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct MetricTarget {
    /// `Utilization`, `Value` or `AverageValue`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// In all.
    pub value: Option<Quantity>,
    /// For each pod.
    pub average_value: Option<Quantity>,
    /// Percent of what pods ask for.
    pub average_utilization: Option<i32>,
}

/// How fast replicas may come and go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Behavior {
    /// Come.
    pub scale_up: ScalingRules,
    /// Go.
    pub scale_down: ScalingRules,
}

/// In one direction.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingRules {
    /// How long a recommendation must have held.
    pub stabilization_window_seconds: Option<i32>,
    /// `Max`, `Min` or `Disabled`.
    pub select_policy: Option<Box<str>>,
    /// How many in which time.
    #[serde(deserialize_with = "null_as_default")]
    pub policies: Box<[ScalingPolicy]>,
    /// How far off the target a metric may be.
    pub tolerance: Option<Quantity>,
}

impl ScalingRules {
    /// The longest time that a policy looks back, in seconds.
    pub fn longest_period(&self) -> i32 {
        self.policies.iter().map(|policy| policy.period_seconds).max().unwrap_or(0)
    }
}

/// How many replicas in which time.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ScalingPolicy {
    /// `Pods` or `Percent`.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// How many.
    pub value: i32,
    /// In which time.
    pub period_seconds: i32,
}

/// What is.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HorizontalPodAutoscalerStatus {
    /// Generation that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When replicas were last changed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "seconds")]
    pub last_scale_time: Option<Timestamp>,
    /// Replicas that there were.
    #[serde(skip_serializing_if = "is_zero")]
    pub current_replicas: i32,
    /// Replicas that there should be.
    pub desired_replicas: i32,
    /// Metrics as they were read, in the order of the spec.
    pub current_metrics: Option<Vec<Value>>,
    /// Conditions.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &i32) -> bool {
    *number == 0
}

#[expect(clippy::ref_option, reason = "serde's signature")]
fn seconds<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(rfc3339).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_of_metrics_read_as_in_upstreams_messages() {
        let name: MetricName = serde_json::from_str(
            r#"{"name": "m", "selector": {"matchLabels": {"a": "b"},
                "matchExpressions": [{"key": "c", "operator": "In", "values": ["d", "e"]}]}}"#,
        )
        .unwrap();
        assert_eq!(
            name.described(),
            "&LabelSelector{MatchLabels:map[string]string{a: b,},MatchExpressions:[]LabelSelectorRequirement{\
             LabelSelectorRequirement{Key:c,Operator:In,Values:[d e],},},}"
        );
        assert_eq!(
            (name.query().as_str(), MetricName::default().described().as_str()),
            ("a=b,c in (d,e)", "nil")
        );
    }

    #[test]
    fn groups_of_references() {
        let of =
            |version: &str| ObjectReference { api_version: version.into(), ..ObjectReference::default() };
        assert_eq!(of("apps/v1").group(), Ok("apps"));
        assert_eq!(of("v1").group(), Ok(""));
        assert_eq!(of("").group(), Ok(""));
        assert_eq!(of("a/b/c").group(), Err("unexpected GroupVersion string: a/b/c".to_owned()));
    }
}
