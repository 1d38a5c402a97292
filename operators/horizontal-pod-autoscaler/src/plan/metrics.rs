//! What all metrics of an autoscaler ask for together, and how each is shown.
//!
//! The metric that asks for most replicas counts. One that cannot be read keeps replicas from going, not from coming.
//! Upstream: pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetrics and what it calls).

use super::{
    pods::{group, requests},
    replicas::{Amounts, PodTarget, Proposal, Tolerance, by_pods, by_share, by_value},
};
use crate::observe::{Observed, Reading, Sample, Scale};
use proa_kit::{
    Timestamp,
    views::{
        HorizontalPodAutoscalerView,
        horizontal_pod_autoscaler::{MetricSource, MetricSpec, ResourceSource},
    },
};
use proa_meta::quantity::{Format, Quantity};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What all metrics say.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Warnings: reason and note.
    pub warnings: Vec<(&'static str, String)>,
    /// For the status, in the order of the spec.
    pub shown: Option<Vec<Value>>,
    /// Why they do not decide: reason and message of the condition, and the note of the event.
    pub failure: Option<(&'static str, String, String)>,
    /// How many replicas they ask for.
    pub replicas: i32,
    /// The metric that asks for them, as messages name it.
    pub metric: String,
}

/// What one metric asks for.
struct Asked {
    replicas: i32,
    metric: String,
    shown: Value,
}

/// Why one metric asks for nothing.
struct Failed {
    /// Of event and condition.
    reason: &'static str,
    why: String,
    /// The same from further away.
    outer: String,
}

/// What a decision by metrics sees.
struct Sight<'a> {
    observed: &'a Observed,
    scale: &'a Scale,
    tolerance: Tolerance,
    now: Timestamp,
}

/// Asks all metrics.
pub fn measure(
    autoscaler: &HorizontalPodAutoscalerView,
    observed: &Observed,
    scale: &Scale,
    now: Timestamp,
) -> Measured {
    let sight = Sight { observed, scale, tolerance: Tolerance::of(autoscaler), now };
    let specs = &autoscaler.spec.metrics;
    let (mut measured, mut shown) = (Measured::default(), Vec::new());
    let mut failures: Vec<Failed> = Vec::new();
    for (i, spec) in specs.iter().enumerate() {
        let missing = Err("it was not read".to_owned());
        match sight.ask(spec, observed.readings.get(i).unwrap_or(&missing)) {
            Ok(Asked { replicas, metric, shown: value }) => {
                shown.push(value);
                if measured.replicas == 0 || replicas > measured.replicas {
                    (measured.replicas, measured.metric) = (replicas, metric);
                }
            }
            Err(failed) => {
                shown.push(json!({"type": ""}));
                measured.warnings.push((failed.reason, failed.why.clone()));
                failures.push(failed);
            }
        }
    }
    measured.shown = Some(shown);
    if let Some(first) = failures.first()
        && (failures.len() >= specs.len() || measured.replicas < scale.replicas)
    {
        let (bad, all) = (failures.len(), specs.len());
        measured.failure = Some((
            first.reason,
            format!("the HPA was unable to compute the replica count: {}", first.why),
            format!("invalid metrics ({bad} invalid out of {all}), first error is: {}", first.outer),
        ));
    }
    measured
}

impl Sight<'_> {
    fn ask(&self, spec: &MetricSpec, reading: &Result<Reading, String>) -> Result<Asked, Failed> {
        match &*spec.kind {
            "Resource" if let Some(source) = &spec.resource => {
                self.resource(source, reading).map_err(|why| Failed {
                    reason: "FailedGetResourceMetric",
                    outer: format!("failed to get {} resource metric value: {why}", source.name),
                    why,
                })
            }
            "ContainerResource" if let Some(source) = &spec.container_resource => {
                self.resource(source, reading).map_err(|why| Failed {
                    reason: "FailedGetContainerResourceMetric",
                    outer: format!("failed to get {} container metric value: {why}", source.container),
                    why,
                })
            }
            "Pods" if let Some(source) = &spec.pods => self.pods(source, reading).map_err(|why| Failed {
                reason: "FailedGetPodsMetric",
                outer: format!("failed to get pods metric value: {why}"),
                why,
            }),
            "Object" if let Some(source) = &spec.object => self.object(source, reading),
            "External" if let Some(source) = &spec.external => self.external(source, reading),
            kind => {
                let why = format!("unknown metric source type {kind:?}");
                Err(Failed { reason: "InvalidMetricSourceType", outer: why.clone(), why })
            }
        }
    }

    /// By figures of pods.
    fn by_pods(
        &self,
        resource: &str,
        reading: &Result<Reading, String>,
        target: PodTarget<'_>,
    ) -> Result<Proposal, String> {
        let none = BTreeMap::new();
        let samples: &BTreeMap<Box<str>, Sample> = match reading {
            Ok(Reading::Pods(samples)) => samples,
            Ok(Reading::Values(_)) => &none,
            Err(why) => return Err(why.clone()),
        };
        let pods = &self.observed.pods;
        if pods.is_empty() {
            return Err("no pods returned by selector while calculating replica count".to_owned());
        }
        let groups = group(pods, samples, resource, self.now);
        let amounts: Amounts = samples.iter().map(|(pod, sample)| (pod.clone(), sample.value)).collect();
        by_pods(self.scale.replicas, &groups, amounts, target, self.tolerance)
    }

    fn resource(&self, source: &ResourceSource, reading: &Result<Reading, String>) -> Result<Asked, String> {
        let ResourceSource { name, container, target } = source;
        let (proposal, metric) = if let Some(average) = target.average_value {
            let proposal = self.by_pods(name, reading, PodTarget::Average(average.milli_value()));
            let proposal = proposal.map_err(|why| format!("failed to get {name} usage: {why}"))?;
            (proposal, format!("{name} resource"))
        } else if let Some(percent) = target.average_utilization {
            let proposal = self.utilization(source, percent, reading);
            let proposal = proposal.map_err(|why| format!("failed to get {name} utilization: {why}"))?;
            let of = if container.is_empty() { "resource" } else { "container resource" };
            (proposal, format!("{name} {of} utilization (percentage of request)"))
        } else {
            return Err(
                "invalid resource metric source: neither an average utilization target nor an average \
                        value (usage) target was set"
                    .to_owned(),
            );
        };
        let format = if &**name == "memory" { Format::BinarySi } else { Format::DecimalSi };
        let usage = Quantity::scaled(i128::from(proposal.usage), -3, format).to_string();
        let mut current = json!({"averageValue": usage});
        if let Some(percent) = proposal.utilization {
            current["averageUtilization"] = percent.into();
        }
        let shown = if container.is_empty() {
            json!({"type": "Resource", "resource": {"name": name, "current": current}})
        } else {
            let of = json!({"name": name, "container": container, "current": current});
            json!({"type": "ContainerResource", "containerResource": of})
        };
        Ok(Asked { replicas: proposal.replicas, metric, shown })
    }

    fn utilization(
        &self,
        source: &ResourceSource,
        percent: i32,
        reading: &Result<Reading, String>,
    ) -> Result<Proposal, String> {
        // What is wrong with the figures comes first, as upstream.
        let asked = requests(&self.observed.pods, &source.container, &source.name);
        let known = match (&asked, reading) {
            (Err(why), Ok(Reading::Pods(samples))) => {
                let groups = group(&self.observed.pods, samples, &source.name, self.now);
                let mut figures = samples.keys();
                if figures.any(|pod| !groups.ignored.contains(pod) && !groups.unready.contains(pod)) {
                    return Err(why.clone());
                }
                &BTreeMap::new()
            }
            (Ok(asked), _) => asked,
            (Err(_), _) => &BTreeMap::new(),
        };
        self.by_pods(&source.name, reading, PodTarget::Utilization(percent, known))
    }

    fn pods(&self, source: &MetricSource, reading: &Result<Reading, String>) -> Result<Asked, String> {
        let target = source.target.average_value.unwrap_or_default().milli_value();
        let proposal = self.by_pods("", reading, PodTarget::Average(target))?;
        let current = json!({"averageValue": Quantity::milli(proposal.usage).to_string()});
        let shown = json!({"type": "Pods", "pods": {"metric": source.metric, "current": current}});
        let metric = format!("pods metric {}", source.metric.name);
        Ok(Asked { replicas: proposal.replicas, metric, shown })
    }

    fn object(&self, source: &MetricSource, reading: &Result<Reading, String>) -> Result<Asked, Failed> {
        let name = &source.metric.name;
        let fail = |why: String, inner: String| Failed {
            reason: "FailedGetObjectMetric",
            outer: format!("failed to get object metric value: {inner}"),
            why,
        };
        let shown = |current: Value| {
            let (of, metric) = (&source.described_object, &source.metric);
            json!({"type": "Object", "object": {"describedObject": of, "metric": metric, "current": current}})
        };
        match (&*source.target.kind, source.target.value, source.target.average_value) {
            ("Value", Some(target), _) => {
                let proposal = self.whole(reading, target).map_err(|why| fail(why.clone(), why))?;
                let usage = Quantity::milli(proposal.usage).to_string();
                let metric = format!("{} metric {name}", source.described_object.kind);
                Ok(Asked { replicas: proposal.replicas, metric, shown: shown(json!({"value": usage})) })
            }
            ("AverageValue", _, Some(target)) => {
                let proposal = self.share(reading, target);
                let proposal = proposal.map_err(|why| {
                    let inner = format!("failed to get {name} object metric: {why}");
                    fail(why, inner)
                })?;
                let usage = Quantity::milli(proposal.usage).to_string();
                let metric = format!("external metric {name}({})", source.metric.described());
                Ok(Asked {
                    replicas: proposal.replicas,
                    metric,
                    shown: shown(json!({"averageValue": usage})),
                })
            }
            _ => {
                let why = "invalid object metric source: neither a value target nor an average value target was set";
                Err(fail(why.to_owned(), why.to_owned()))
            }
        }
    }

    fn external(&self, source: &MetricSource, reading: &Result<Reading, String>) -> Result<Asked, Failed> {
        let name = &source.metric.name;
        let fail = |why: String, inner: String| Failed {
            reason: "FailedGetExternalMetric",
            outer: format!("failed to get {name} external metric value: {inner}"),
            why,
        };
        let metric = format!("external metric {name}({})", source.metric.described());
        let shown = |current: Value| json!({"type": "External", "external": {"metric": source.metric, "current": current}});
        if let Some(target) = source.target.average_value {
            let proposal = self.share(reading, target).map_err(|why| {
                let inner = format!("failed to get {name} external metric: {why}");
                fail(why, inner)
            })?;
            let usage = Quantity::milli(proposal.usage).to_string();
            let shown = shown(json!({"averageValue": usage}));
            return Ok(Asked { replicas: proposal.replicas, metric, shown });
        }
        if let Some(target) = source.target.value {
            let proposal = self.whole(reading, target).map_err(|why| {
                let inner = format!("failed to get external metric {name}: {why}");
                fail(why, inner)
            })?;
            let usage = Quantity::milli(proposal.usage).to_string();
            return Ok(Asked { replicas: proposal.replicas, metric, shown: shown(json!({"value": usage})) });
        }
        let why =
            "invalid external metric source: neither a value target nor an average value target was set";
        Err(fail(why.to_owned(), why.to_owned()))
    }

    fn whole(&self, reading: &Result<Reading, String>, target: Quantity) -> Result<Proposal, String> {
        let (usage, target) = (sum(reading)?, target.milli_value());
        by_value(self.scale.replicas, usage, target, &self.observed.pods, self.tolerance)
    }

    fn share(&self, reading: &Result<Reading, String>, target: Quantity) -> Result<Proposal, String> {
        Ok(by_share(self.scale.present, sum(reading)?, target.milli_value(), self.tolerance))
    }
}

/// Of all series.
fn sum(reading: &Result<Reading, String>) -> Result<i64, String> {
    match reading {
        Ok(Reading::Values(values)) => {
            Ok(values.iter().fold(0, |sum: i64, value| sum.saturating_add(*value)))
        }
        Ok(Reading::Pods(_)) => Ok(0),
        Err(why) => Err(why.clone()),
    }
}
