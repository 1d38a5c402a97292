//! Which pods' figures count, and what pods ask for.
//!
//! Upstream: pkg/controller/podautoscaler/replica_calculator.go (groupPods, calculateRequests).

use crate::observe::Sample;
use proa_kit::{
    Timestamp,
    views::{
        PodView,
        pod_spec::{Container, Resources},
    },
};
use proa_meta::quantity::Quantity;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// How long a pod may use much CPU because it starts.
const INITIALIZATION: Duration = Duration::from_secs(5 * 60);
/// A pod that was not ready for longer than this at first never was.
const READINESS_DELAY: Duration = Duration::from_secs(30);

/// Pods by what their figures are worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Groups {
    /// How many count.
    pub ready: i64,
    /// Not ready yet.
    pub unready: BTreeSet<Box<str>>,
    /// Without figures.
    pub missing: BTreeSet<Box<str>>,
    /// Going or failed.
    pub ignored: BTreeSet<Box<str>>,
}

/// Sorts pods; only for CPU it matters since when they are ready.
pub fn group(
    pods: &[Arc<PodView>],
    samples: &BTreeMap<Box<str>, Sample>,
    resource: &str,
    now: Timestamp,
) -> Groups {
    let mut groups = Groups::default();
    for pod in pods {
        let name = pod.metadata.name.clone();
        if pod.metadata.is_deleting() || &*pod.status.phase == "Failed" {
            groups.ignored.insert(name);
        } else if &*pod.status.phase == "Pending" {
            groups.unready.insert(name);
        } else {
            match samples.get(&name) {
                None => drop(groups.missing.insert(name)),
                Some(sample) if resource == "cpu" && is_starting(pod, sample, now) => {
                    groups.unready.insert(name);
                }
                Some(_) => groups.ready += 1,
            }
        }
    }
    groups
}

/// Whether a sample is of the time before a pod was ready.
fn is_starting(pod: &PodView, sample: &Sample, now: Timestamp) -> bool {
    let (Some(ready), Some(started)) = (pod.ready_condition(), pod.status.start_time) else { return true };
    let is_unready = &*ready.status == "False";
    let changed = ready.last_transition_time.unwrap_or_default();
    if after(started, INITIALIZATION) > now {
        let window = Duration::from_secs(sample.window.unsigned_abs());
        return is_unready || sample.at < after(changed, window);
    }
    is_unready && after(started, READINESS_DELAY) > changed
}

/// What is said of pods may lie at the end of all times.
fn after(at: Timestamp, delay: Duration) -> Timestamp {
    at.checked_add(delay).unwrap_or(Timestamp::MAX)
}

/// What pods ask for, by name, in thousandths.
pub type Requests = BTreeMap<Box<str>, i64>;

/// What each pod asks for of a resource, or one container of it.
pub fn requests(pods: &[Arc<PodView>], container: &str, resource: &str) -> Result<Requests, String> {
    pods.iter().map(|pod| Ok((pod.metadata.name.clone(), request(pod, container, resource)?))).collect()
}

fn request(pod: &PodView, container: &str, resource: &str) -> Result<i64, String> {
    let whole = pod.spec.resources.as_deref().filter(|whole| container.is_empty() && says_anything(whole));
    if let Some(whole) = whole {
        let missing = || format!("missing pod-level request for {resource} in Pod {}", pod.metadata.name);
        return of_pod(pod, whole, resource).ok_or_else(missing);
    }
    let mut sum: i64 = 0;
    for own in running(pod).filter(|own| container.is_empty() || *own.name == *container) {
        let asked = asked(&own.resources, resource).ok_or_else(|| {
            let (container, pod) = (&own.name, &pod.metadata.name);
            format!("missing request for {resource} in container {container} of Pod {pod}")
        })?;
        if !container.is_empty() {
            return Ok(asked);
        }
        sum = sum.saturating_add(asked);
    }
    if container.is_empty() {
        return Ok(sum);
    }
    Err(format!("container {container} not found in Pod {}", pod.metadata.name))
}

/// Containers that run for as long as the pod does.
fn running(pod: &PodView) -> impl Iterator<Item = &Container> {
    pod.spec.containers.iter().chain(pod.spec.init_containers.iter().filter(|own| is_sidecar(own)))
}

fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn asked(resources: &Resources, resource: &str) -> Option<i64> {
    Some(Quantity::parse(resources.requests.get(resource)?).ok()?.milli_value())
}

fn is_of_pods(resource: &str) -> bool {
    matches!(resource, "cpu" | "memory") || resource.starts_with("hugepages-")
}

/// Whether a pod asks for anything as a whole.
fn says_anything(whole: &Resources) -> bool {
    whole.requests.iter().any(|(name, _)| is_of_pods(name))
}

/// What a pod that asks as a whole gets of a resource: what it asks for, or what its containers need at most.
fn of_pod(pod: &PodView, whole: &Resources, resource: &str) -> Option<i64> {
    let own = Some(resource).filter(|resource| is_of_pods(resource)).and_then(|name| asked(whole, name));
    let base = own.or_else(|| of_containers(pod, resource))?;
    let overhead = pod.spec.overhead.get(resource).and_then(|text| Quantity::parse(text).ok());
    Some(base.saturating_add(overhead.map_or(0, |overhead| overhead.milli_value())))
}

fn of_containers(pod: &PodView, resource: &str) -> Option<i64> {
    let mut together = running(pod).filter_map(|own| asked(&own.resources, resource)).peekable();
    let some = together.peek().copied();
    let mut most = together.fold(0, i64::saturating_add);
    let (mut sidecars, mut first) = (0, None);
    for container in &pod.spec.init_containers {
        let Some(own) = asked(&container.resources, resource) else { continue };
        first = Some(own);
        most = most.max(own.saturating_add(sidecars));
        if is_sidecar(container) {
            sidecars = own.saturating_add(sidecars);
        }
    }
    some.or(first).map(|_| most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(spec: &str) -> Arc<PodView> {
        Arc::new(
            serde_json::from_str(&format!(r#"{{"metadata": {{"name": "p"}}, "spec": {spec}}}"#)).unwrap(),
        )
    }

    fn asks(spec: &str, container: &str) -> Result<i64, String> {
        requests(&[pod(spec)], container, "cpu").map(|all| all["p"])
    }

    #[test]
    fn requests_are_those_of_all_running_containers_or_of_the_pod() {
        const TWO: &str = r#"{"containers": [{"name": "a", "resources": {"requests": {"cpu": "100m"}}},
            {"name": "b", "resources": {"requests": {"cpu": "0.2"}}}], "initContainers": [{"name": "i"},
            {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}}]}"#;
        assert_eq!(asks(TWO, ""), Ok(350));
        assert_eq!(asks(TWO, "b"), Ok(200));
        assert_eq!(asks(TWO, "s"), Ok(50));
        assert_eq!(asks(TWO, "i"), Err("container i not found in Pod p".to_owned()));
        let unsaid = r#"{"containers": [{"name": "a"}]}"#;
        assert_eq!(asks(unsaid, ""), Err("missing request for cpu in container a of Pod p".to_owned()));
        let whole = r#"{"resources": {"requests": {"cpu": "1"}}, "containers": [{"name": "a",
            "resources": {"requests": {"cpu": "100m"}}}], "overhead": {"cpu": "10m"}}"#;
        assert_eq!(asks(whole, ""), Ok(1010));
        assert_eq!(asks(whole, "a"), Ok(100));
        let other = r#"{"resources": {"requests": {"memory": "1Gi"}}, "containers": [{"name": "a",
            "resources": {"requests": {"cpu": "100m"}}}], "initContainers": [{"name": "i",
            "resources": {"requests": {"cpu": "300m"}}}]}"#;
        assert_eq!(asks(other, ""), Ok(300));
        let none = r#"{"resources": {"requests": {"memory": "1Gi"}}, "containers": [{"name": "a"}]}"#;
        assert_eq!(asks(none, ""), Err("missing pod-level request for cpu in Pod p".to_owned()));
    }
}
