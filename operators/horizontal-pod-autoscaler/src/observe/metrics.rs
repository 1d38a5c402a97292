//! Figures from the three metrics APIs.
//!
//! Upstream: pkg/controller/podautoscaler/metrics/client.go, k8s.io/metrics/pkg/client.

use super::{
    Memory,
    scale::{kind_of, told},
};
use jiff::SignedDuration;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use proa_kit::{
    Reader, Timestamp,
    views::{
        HorizontalPodAutoscalerView,
        horizontal_pod_autoscaler::{MetricSource, MetricSpec, ObjectReference, ResourceSource},
        null_as_default,
    },
};
use proa_meta::quantity::Quantity;
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

const RESOURCES: &str = "metrics.k8s.io";
const CUSTOM: &str = "custom.metrics.k8s.io";
const EXTERNAL: &str = "external.metrics.k8s.io";
/// Over which time a custom metric was measured that does not say so.
const WINDOW: i64 = 60;
/// What needs no escaping in a path or query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// What a metric says, in thousandths.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Of each pod, by name.
    Pods(BTreeMap<Box<str>, Sample>),
    /// As a whole: of an object, or of all series from outside.
    Values(Vec<i64>),
}

/// What a metric says of one pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Sample {
    /// In thousandths.
    pub value: i64,
    /// When it was measured.
    #[serde(default)]
    pub at: Timestamp,
    /// Over how many seconds.
    #[serde(default)]
    pub window: i64,
}

/// Reads a metric. `pods` is the query that selects the target's pods.
pub(super) async fn read(
    reader: &Reader,
    autoscaler: &HorizontalPodAutoscalerView,
    metric: &MetricSpec,
    pods: &str,
    memory: &Memory,
) -> Result<Reading, String> {
    let namespace = &*autoscaler.metadata.namespace;
    let resource = metric.resource.as_ref().or(metric.container_resource.as_ref());
    match (&*metric.kind, resource) {
        ("Resource" | "ContainerResource", Some(source)) => resources(reader, namespace, source, pods)
            .await
            .map_err(|why| format!("unable to get metrics for resource {}: {why}", source.name)),
        ("Pods", _) if let Some(source) = &metric.pods => of_pods(reader, namespace, source, pods)
            .await
            .map_err(|why| format!("unable to get metric {}: {why}", source.metric.name)),
        ("Object", _) if let Some(source) = &metric.object => {
            let (of, name) = (&source.described_object, &source.metric.name);
            of_object(reader, namespace, source, memory).await.map_err(|why| {
                format!("unable to get metric {name} on {} {namespace}/{}: {why}", of.kind, of.name)
            })
        }
        ("External", _) if let Some(source) = &metric.external => {
            let (name, series) = (&source.metric.name, source.metric.described());
            let read = external(reader, namespace, source).await;
            read.map_err(|why| format!("unable to get external metric {namespace}/{name}/{series}: {why}"))
        }
        // The decision names what is wrong with such a metric.
        _ => Ok(Reading::Values(Vec::new())),
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct List<T> {
    #[serde(default = "Vec::new", deserialize_with = "null_as_default")]
    items: Vec<T>,
}

async fn list<T: DeserializeOwned>(
    reader: &Reader,
    path: &str,
    query: &[(&str, &str)],
    resource: &str,
    group: &str,
) -> Result<Vec<T>, String> {
    let pairs = query.iter().filter(|(_, value)| !value.is_empty());
    let pairs: Vec<String> = pairs.map(|(key, value)| format!("{key}={}", escaped(value))).collect();
    let path = if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) };
    let listed = reader.fetch::<List<T>>(&path, "application/json").await;
    listed.map(|list| list.items).map_err(|error| told(&error, "get", resource, group))
}

fn escaped(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

#[derive(Deserialize)]
struct PodMetrics {
    metadata: Name,
    timestamp: Timestamp,
    window: Box<str>,
    #[serde(default, deserialize_with = "null_as_default")]
    containers: Vec<ContainerMetrics>,
}

#[derive(Deserialize)]
struct Name {
    name: Box<str>,
}

#[derive(Deserialize)]
struct ContainerMetrics {
    name: Box<str>,
    #[serde(default)]
    usage: BTreeMap<Box<str>, Quantity>,
}

async fn resources(
    reader: &Reader,
    namespace: &str,
    source: &ResourceSource,
    pods: &str,
) -> Result<Reading, String> {
    let path = format!("/apis/{RESOURCES}/v1beta1/namespaces/{namespace}/pods");
    let found = list::<PodMetrics>(reader, &path, &[("labelSelector", pods)], "pods", RESOURCES).await;
    let found = found.map_err(|why| format!("unable to fetch metrics from resource metrics API: {why}"))?;
    if found.is_empty() {
        return Err("no metrics returned from resource metrics API".to_owned());
    }
    let known = found.into_iter().filter_map(|pod| {
        let sample = Sample {
            value: used(&pod, source)?,
            at: pod.timestamp,
            window: pod.window.parse::<SignedDuration>().map_or(WINDOW, |window| window.as_secs()),
        };
        Some((pod.metadata.name, sample))
    });
    Ok(Reading::Pods(known.collect()))
}

/// What a pod uses, if that is known of each container that counts.
fn used(pod: &PodMetrics, source: &ResourceSource) -> Option<i64> {
    let counts =
        |container: &&ContainerMetrics| source.container.is_empty() || container.name == source.container;
    let mut counted = pod.containers.iter().filter(counts).peekable();
    counted.peek()?;
    counted.map(|container| container.usage.get(&source.name).map(Quantity::milli_value)).sum()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetricValue {
    #[serde(default)]
    described_object: ObjectReference,
    timestamp: Timestamp,
    window_seconds: Option<i64>,
    value: Quantity,
}

/// The version of the custom metrics API that is served.
async fn custom_version(reader: &Reader) -> Result<&'static str, String> {
    #[derive(Deserialize)]
    struct Group {
        versions: Vec<Version>,
    }
    #[derive(Deserialize)]
    struct Version {
        version: Box<str>,
    }
    let missing = || format!("no custom metrics API ({CUSTOM}) registered");
    let group = reader.fetch::<Group>(&format!("/apis/{CUSTOM}"), "application/json").await;
    let group = group.map_err(|error| if error.is_not_found() { missing() } else { error.message() })?;
    let serves = |own: &&str| group.versions.iter().any(|version| &*version.version == *own);
    ["v1beta2", "v1beta1"].into_iter().find(serves).ok_or_else(missing)
}

async fn custom(
    reader: &Reader,
    place: &str,
    source: &MetricSource,
    pods: &str,
) -> Result<Vec<MetricValue>, String> {
    let asked = async {
        let version = custom_version(reader).await?;
        let metric = &source.metric;
        let path = format!("/apis/{CUSTOM}/{version}/{place}/{}", escaped(&metric.name));
        let series = metric.query();
        let query = [("labelSelector", pods), ("metricLabelSelector", &*series)];
        list(reader, &path, &query, &metric.name, CUSTOM).await
    };
    asked.await.map_err(|why: String| format!("unable to fetch metrics from custom metrics API: {why}"))
}

async fn of_pods(
    reader: &Reader,
    namespace: &str,
    source: &MetricSource,
    pods: &str,
) -> Result<Reading, String> {
    let found = custom(reader, &format!("namespaces/{namespace}/pods/*"), source, pods).await?;
    if found.is_empty() {
        return Err("no metrics returned from custom metrics API".to_owned());
    }
    let sample = |found: MetricValue| {
        let window = found.window_seconds.unwrap_or(WINDOW);
        (
            found.described_object.name,
            Sample { value: found.value.milli_value(), at: found.timestamp, window },
        )
    };
    Ok(Reading::Pods(found.into_iter().map(sample).collect()))
}

async fn of_object(
    reader: &Reader,
    namespace: &str,
    source: &MetricSource,
    memory: &Memory,
) -> Result<Reading, String> {
    let of = &source.described_object;
    // The autoscaler's own namespace, whichever is named: it has no business in others.
    let is_namespace = &*of.kind == "Namespace" && of.group() == Ok("");
    let place = if is_namespace {
        format!("namespaces/{namespace}/metrics")
    } else {
        let kind = kind_of(reader, of, memory).await;
        let kind = kind.map_err(|why| format!("unable to fetch metrics from custom metrics API: {why}"))?;
        format!("namespaces/{namespace}/{kind}/{}", of.name)
    };
    let found = custom(reader, &place, source, "").await?;
    let [one] = &*found else {
        let count = found.len();
        return Err(format!(
            "unable to fetch metrics from custom metrics API: the custom metrics API server returned {count} \
             results when we asked for exactly one"
        ));
    };
    Ok(Reading::Values(vec![one.value.milli_value()]))
}

async fn external(reader: &Reader, namespace: &str, source: &MetricSource) -> Result<Reading, String> {
    #[derive(Deserialize)]
    struct Series {
        value: Quantity,
    }
    let metric = &source.metric;
    let path = format!("/apis/{EXTERNAL}/v1beta1/namespaces/{namespace}/{}", escaped(&metric.name));
    let series = metric.query();
    let query = [("labelSelector", &*series)];
    let found = list::<Series>(reader, &path, &query, &metric.name, EXTERNAL).await;
    let found = found.map_err(|why| format!("unable to fetch metrics from external metrics API: {why}"))?;
    if found.is_empty() {
        return Err("no metrics returned from external metrics API".to_owned());
    }
    Ok(Reading::Values(found.iter().map(|series| series.value.milli_value()).collect()))
}

#[cfg(test)]
mod tests;
