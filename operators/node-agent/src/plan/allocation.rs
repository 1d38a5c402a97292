//! The resources that the node gave a pod. A change of a spec's resources counts once the node has room for it; until
//! then the pod is planned, started and counted with what it was given before.
//!
//! Pure. What was given survives a restart of the agent in the pod's own status (N3).
//! Upstream: pkg/kubelet/allocation.

use super::resources;
use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use std::{collections::BTreeMap, sync::Arc};

/// What can be changed while a pod runs.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// Whether two pods ask for different amounts of what can be changed.
pub(crate) fn differs(a: &Arc<Pod>, b: &Arc<Pod>) -> bool {
    !Arc::ptr_eq(a, b) && differ(a, b)
}

fn differ(a: &Pod, b: &Pod) -> bool {
    let (a, b) = (super::containers::spec(a), super::containers::spec(b));
    let other = |container: &Container| {
        let before = containers(b).find(|before| before.name == container.name);
        before.is_some_and(|before| resized(container.resources.as_ref(), before.resources.as_ref()))
    };
    resized(a.resources.as_ref(), b.resources.as_ref()) || containers(a).any(other)
}

/// Whether requests or limits differ in anything that can be changed.
pub(super) fn resized(a: Option<&ResourceRequirements>, b: Option<&ResourceRequirements>) -> bool {
    RESIZABLE.iter().any(|name| differs_in(a, b, name))
}

/// Whether requests or limits of a name differ.
pub(super) fn differs_in(
    a: Option<&ResourceRequirements>,
    b: Option<&ResourceRequirements>,
    name: &str,
) -> bool {
    let of = |list: Option<&BTreeMap<String, Quantity>>| {
        list.and_then(|list| list.get(name)).map(|quantity| resources::amount(name, &quantity.0))
    };
    let pair = |resources: Option<&ResourceRequirements>| {
        let requests = resources.and_then(|resources| resources.requests.as_ref());
        (of(requests), of(resources.and_then(|resources| resources.limits.as_ref())))
    };
    pair(a) != pair(b)
}

/// A newer pod with the resources that it was given before.
pub(crate) fn carried(wanted: &Arc<Pod>, allocated: &Pod) -> Arc<Pod> {
    if !differ(wanted, allocated) {
        return wanted.clone();
    }
    let before = super::containers::spec(allocated);
    let of = |container: &Container| {
        let before = containers(before).find(|before| before.name == container.name)?;
        Some(before.resources.clone())
    };
    Arc::new(with(wanted, before.resources.clone(), of))
}

/// A pod that an earlier agent ran, with the resources that its status shows; of one that never ran, as it is.
pub(crate) fn restored(pod: &Arc<Pod>) -> Arc<Pod> {
    let Some(status) = &pod.status else { return pod.clone() };
    let lists = [&status.container_statuses, &status.init_container_statuses];
    let statuses: Vec<&ContainerStatus> = lists.into_iter().flatten().flatten().collect();
    let of = |container: &Container| {
        let status = statuses.iter().find(|status| status.name == container.name)?;
        let mut resources = status.resources.clone()?;
        if status.allocated_resources.is_some() {
            resources.requests.clone_from(&status.allocated_resources);
        }
        Some(Some(resources))
    };
    let own = super::containers::spec(pod).resources.as_ref();
    let own = own.map(|own| shown(own, status.resources.as_ref()));
    let restored = with(pod, own, of);
    if differ(pod, &restored) { Arc::new(restored) } else { pod.clone() }
}

/// The pod's own resources as status shows them: those of its names.
fn shown(own: &ResourceRequirements, status: Option<&ResourceRequirements>) -> ResourceRequirements {
    let list = |own: &Option<BTreeMap<String, Quantity>>, shown: Option<&BTreeMap<String, Quantity>>| {
        own.as_ref().map(|own| {
            let value = |(name, amount): (&String, &Quantity)| {
                let shown = shown.and_then(|shown| shown.get(name));
                (name.clone(), shown.unwrap_or(amount).clone())
            };
            own.iter().map(value).collect()
        })
    };
    ResourceRequirements {
        requests: list(&own.requests, status.and_then(|status| status.requests.as_ref())),
        limits: list(&own.limits, status.and_then(|status| status.limits.as_ref())),
        claims: own.claims.clone(),
    }
}

/// The pod with other resources: of its own, and of the containers for which there are others.
pub(super) fn with(
    pod: &Pod,
    own: Option<ResourceRequirements>,
    of: impl Fn(&Container) -> Option<Option<ResourceRequirements>>,
) -> Pod {
    let mut pod = pod.clone();
    let Some(spec) = &mut pod.spec else { return pod };
    spec.resources = own;
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        if let Some(resources) = of(container) {
            container.resources = resources;
        }
    }
    pod
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.init_containers.iter().flatten().chain(&spec.containers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(cpu: &str, status: &Value) -> Arc<Pod> {
        let spec = json!({"containers": [
            {"name": "a", "image": "i", "resources": {"requests": {"cpu": cpu, "ephemeral-storage": "1Gi"}}},
            {"name": "b"},
        ]});
        Arc::new(serde_json::from_value(json!({"spec": spec, "status": status})).unwrap())
    }

    fn cpu(pod: &Pod) -> &str {
        let container = &pod.spec.as_ref().unwrap().containers[0];
        &container.resources.as_ref().unwrap().requests.as_ref().unwrap()["cpu"].0
    }

    #[test]
    fn a_newer_pod_keeps_what_it_was_given() {
        let (before, wanted) = (pod("100m", &json!({})), pod("200m", &json!({})));
        assert!(differs(&wanted, &before));
        let carried = carried(&wanted, &before);
        assert_eq!(cpu(&carried), "100m");
        assert!(!differs(&carried, &before));
        // The same amount in other words is no change.
        assert!(!differs(&pod("0.1", &json!({})), &before));
    }

    #[test]
    fn a_new_agent_goes_by_the_status() {
        let status = json!({"containerStatuses": [{"name": "a", "ready": true, "restartCount": 0, "image": "i",
            "imageID": "", "allocatedResources": {"cpu": "100m"}, "resources": {"requests": {"cpu": "100m"}}}]});
        assert_eq!(cpu(&restored(&pod("200m", &status))), "100m");
        let fresh = pod("200m", &json!({}));
        assert!(Arc::ptr_eq(&restored(&fresh), &fresh));
    }
}
