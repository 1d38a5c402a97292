//! Limits: what requests and limits come to in the terms of the kernel.
//!
//! Pure. Owns: shares, quotas, memory limits and OOM scores of containers, the cgroup of a pod by its class, and the
//! limits of that cgroup. Deliberately absent: swap (a container gets none), huge pages (`supported` refuses them).
//! Upstream: `pkg/kubelet/kuberuntime/kuberuntime_container_linux.go`, `pkg/kubelet/qos/policy.go`,
//! `pkg/kubelet/cm/{helpers_linux,pod_container_manager_linux}.go`, `pkg/apis/core/v1/helper/qos/qos.go`.

use super::{ContainerRef, NodeFacts, Role, uid};
use k8s_openapi::{
    api::core::v1::{Container, Pod, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as Text,
};
use proa_meta::quantity::Quantity;
use proa_runtime_shim::LinuxResources;
use std::collections::{BTreeMap, BTreeSet};

const PERIOD: i64 = 100_000;
const MIN_QUOTA: i64 = 1_000;
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
const SHARES_PER_CPU: i64 = 1024;
/// OOM score of what must be killed last.
const GUARANTEED: i64 = -997;
/// OOM score of what is killed first.
const BEST_EFFORT: i64 = 1000;
/// Priority of `system-node-critical`.
const NODE_CRITICAL: i32 = 2_000_001_000;

/// Quality of service of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Every container has limits of CPU and memory that equal its requests.
    Guaranteed,
    /// Something was asked for.
    Burstable,
    /// Nothing was asked for.
    BestEffort,
}

/// A pod's class: as the server says, or from its resources.
pub(crate) fn class(pod: &Pod) -> Class {
    match pod.status.as_ref().and_then(|status| status.qos_class.as_deref()) {
        Some("Guaranteed") => Class::Guaranteed,
        Some("Burstable") => Class::Burstable,
        Some("BestEffort") => Class::BestEffort,
        _ => computed_class(pod),
    }
}

fn computed_class(pod: &Pod) -> Class {
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let parts: Vec<Option<&ResourceRequirements>> = match own {
        Some(resources) => vec![Some(resources)],
        None => main_containers(pod).map(|container| container.resources.as_ref()).collect(),
    };
    let is_asked = |part: &Option<&ResourceRequirements>| {
        ["cpu", "memory"].iter().any(|name| !request(*part, name).is_zero() || !limit(*part, name).is_zero())
    };
    let is_fixed = |part: &Option<&ResourceRequirements>| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = limit(*part, name);
            let request = request(*part, name);
            !limit.is_zero() && (request.is_zero() || request == limit)
        })
    };
    match (parts.iter().any(is_asked), parts.iter().all(is_fixed)) {
        (false, _) => Class::BestEffort,
        (_, true) => Class::Guaranteed,
        _ => Class::Burstable,
    }
}

/// The cgroup of a pod below that of all pods.
pub(crate) fn cgroup(pod: &Pod, parent: &str) -> String {
    let class = match class(pod) {
        Class::Guaranteed => "",
        Class::Burstable => "burstable/",
        Class::BestEffort => "besteffort/",
    };
    format!("{}/{class}pod{}", parent.trim_end_matches('/'), uid(pod))
}

/// Limits of a container.
pub(crate) fn of_container(pod: &Pod, container: &ContainerRef<'_>, facts: &NodeFacts) -> LinuxResources {
    let own = container.spec.resources.as_ref();
    let cpu_limit = limit_or_pods(pod, own, "cpu");
    let memory_limit = limit_or_pods(pod, own, "memory").value();
    let cpu_request = if request(own, "cpu").is_zero() { cpu_limit } else { request(own, "cpu") };
    LinuxResources {
        cpu_period: PERIOD,
        cpu_quota: quota(cpu_limit),
        cpu_shares: shares(cpu_request),
        memory_limit,
        // Equal to the memory limit: no swap.
        memory_swap_limit: if facts.swap_limit { memory_limit } else { 0 },
        oom_score_adj: oom_score(pod, container, facts.memory),
        ..LinuxResources::default()
    }
}

/// Limits of a pod's cgroup.
pub(crate) fn of_pod(pod: &Pod) -> LinuxResources {
    let cpu = total(pod, "cpu", request).max(Quantity::ZERO);
    let cpu_limit = total_limit(pod, "cpu");
    let memory_limit = total_limit(pod, "memory");
    let shares = match class(pod) {
        Class::BestEffort => MIN_SHARES,
        Class::Guaranteed | Class::Burstable => {
            shares(if cpu.is_zero() { cpu_limit.unwrap_or(cpu) } else { cpu })
        }
    };
    LinuxResources {
        cpu_period: PERIOD,
        cpu_quota: cpu_limit.map_or(0, quota),
        cpu_shares: shares,
        memory_limit: memory_limit.map_or(0, |quantity| quantity.value()),
        ..LinuxResources::default()
    }
}

/// The sum of limits; none when a container may use as much as there is.
pub(crate) fn total_limit(pod: &Pod, name: &str) -> Option<Quantity> {
    let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let bounded = !limit(own, name).is_zero()
        || main_containers(pod).all(|container| !limit(container.resources.as_ref(), name).is_zero());
    bounded.then(|| total(pod, name, limit)).filter(|sum| !sum.is_zero())
}

/// What a pod asks for and may use in all, as status shows it; none when it says nothing of either.
pub(crate) fn whole(pod: &Pod) -> Option<ResourceRequirements> {
    let list = |list: fn(&ResourceRequirements) -> &Option<BTreeMap<String, Text>>, part: Part| {
        let own = pod.spec.as_ref().and_then(|spec| spec.resources.as_ref());
        let parts = main_containers(pod).filter_map(|container| container.resources.as_ref()).chain(own);
        let names: BTreeSet<&String> =
            parts.filter_map(|part| list(part).as_ref()).flat_map(BTreeMap::keys).collect();
        let amounts = names.into_iter().map(|name| (name.clone(), Text(total(pod, name, part).to_string())));
        Some(amounts.collect::<BTreeMap<_, _>>()).filter(|list| !list.is_empty())
    };
    let (requests, limits) = (list(|own| &own.requests, request), list(|own| &own.limits, limit));
    (requests.is_some() || limits.is_some()).then_some(ResourceRequirements {
        requests,
        limits,
        claims: None,
    })
}

type Part = fn(Option<&ResourceRequirements>, &str) -> Quantity;

/// What a pod uses at most at a time: containers and sidecars together, or an init container with the sidecars before
/// it; plus the pod's overhead.
fn total(pod: &Pod, name: &str, part: Part) -> Quantity {
    let Some(spec) = &pod.spec else { return Quantity::ZERO };
    let overhead = spec.overhead.as_ref().map_or(Quantity::ZERO, |list| amount(Some(list), name));
    let own = part(spec.resources.as_ref(), name);
    if !own.is_zero() {
        return own + overhead;
    }
    let mut sidecars = Quantity::ZERO;
    let mut starting = Quantity::ZERO;
    for container in spec.init_containers.iter().flatten() {
        let used = part(container.resources.as_ref(), name);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars += used;
            starting = starting.max(sidecars);
        } else {
            starting = starting.max(sidecars + used);
        }
    }
    let running = spec.containers.iter().fold(sidecars, |sum, c| sum + part(c.resources.as_ref(), name));
    running.max(starting) + overhead
}

fn main_containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten().chain(&spec.containers))
}

fn limit_or_pods(pod: &Pod, own: Option<&ResourceRequirements>, name: &str) -> Quantity {
    let own = limit(own, name);
    if own.is_zero() { limit(pod.spec.as_ref().and_then(|spec| spec.resources.as_ref()), name) } else { own }
}

/// A limit; zero without one.
pub(crate) fn limit(resources: Option<&ResourceRequirements>, name: &str) -> Quantity {
    amount(resources.and_then(|resources| resources.limits.as_ref()), name)
}

/// A request; zero without one.
pub(crate) fn request(resources: Option<&ResourceRequirements>, name: &str) -> Quantity {
    amount(resources.and_then(|resources| resources.requests.as_ref()), name)
}

fn amount(list: Option<&BTreeMap<String, Text>>, name: &str) -> Quantity {
    let text = list.and_then(|list| list.get(name));
    text.and_then(|text| Quantity::parse(&text.0).ok()).unwrap_or(Quantity::ZERO)
}

fn shares(cpu: Quantity) -> i64 {
    (cpu.milli_value().saturating_mul(SHARES_PER_CPU) / 1000).clamp(MIN_SHARES, MAX_SHARES)
}

fn quota(cpu: Quantity) -> i64 {
    if cpu.is_zero() { 0 } else { (cpu.milli_value().saturating_mul(PERIOD) / 1000).max(MIN_QUOTA) }
}

fn oom_score(pod: &Pod, container: &ContainerRef<'_>, capacity: u64) -> i64 {
    let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or_default();
    match class(pod) {
        _ if priority >= NODE_CRITICAL => GUARANTEED,
        Class::Guaranteed => GUARANTEED,
        Class::BestEffort => BEST_EFFORT,
        Class::Burstable => {
            burstable_score(pod, container, i64::try_from(capacity).unwrap_or(i64::MAX).max(1))
        }
    }
}

/// The more of the node's memory a container asked for, the later it is killed; always before guaranteed ones and
/// after those that asked for nothing.
fn burstable_score(pod: &Pod, container: &ContainerRef<'_>, capacity: i64) -> i64 {
    let shared = unassigned_memory(pod);
    let score = |memory: i64| BEST_EFFORT - 1000 * (memory + shared) / capacity;
    let memory = |container: &Container| request(container.resources.as_ref(), "memory").value();
    let mut adjusted = score(memory(&container.spec));
    if container.role == Role::Sidecar {
        // A sidecar goes no earlier than the containers it serves.
        let least = pod.spec.iter().flat_map(|spec| &spec.containers).map(memory).min().unwrap_or_default();
        adjusted = adjusted.min(score(least));
    }
    adjusted.clamp(BEST_EFFORT + GUARANTEED, BEST_EFFORT - 1)
}

/// Each container's part of the pod's own memory request that no container asked for.
fn unassigned_memory(pod: &Pod) -> i64 {
    let Some(spec) = &pod.spec else { return 0 };
    let own = request(spec.resources.as_ref(), "memory").value();
    if own == 0 {
        return 0;
    }
    let sidecars = spec.init_containers.iter().flatten();
    let sidecars = sidecars.filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let asked: Vec<i64> = sidecars
        .chain(&spec.containers)
        .map(|container| request(container.resources.as_ref(), "memory").value())
        .collect();
    let left = (own - asked.iter().sum::<i64>()).max(0);
    left / i64::try_from(asked.len()).unwrap_or(1).max(1)
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "cases read better without borrows")]
mod tests {
    use super::*;
    use crate::build::containers;
    use serde_json::{Value, json};

    fn pod(spec: Value) -> Pod {
        serde_json::from_value(json!({"metadata": {"uid": "u-1"}, "spec": spec})).unwrap()
    }

    fn one(resources: Value) -> Pod {
        pod(json!({"containers": [{"name": "c", "resources": resources}]}))
    }

    fn facts() -> NodeFacts {
        NodeFacts { memory: 4_000_000_000, swap_limit: true, ..NodeFacts::default() }
    }

    fn limits(pod: &Pod, name: &str) -> LinuxResources {
        of_container(pod, &containers::find(pod, name).unwrap(), &facts())
    }

    #[test]
    fn classes_and_cgroups() {
        for (resources, class_wanted, cgroup_wanted) in [
            (json!({}), Class::BestEffort, "/proa/besteffort/podu-1"),
            (json!({"requests": {"cpu": "1"}}), Class::Burstable, "/proa/burstable/podu-1"),
            (json!({"limits": {"cpu": "1", "memory": "1Gi"}}), Class::Guaranteed, "/proa/podu-1"),
            (
                json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}),
                Class::Burstable,
                "/proa/burstable/podu-1",
            ),
        ] {
            let pod = one(resources);
            assert_eq!(class(&pod), class_wanted);
            assert_eq!(cgroup(&pod, "/proa/"), cgroup_wanted);
        }
    }

    #[test]
    fn shares_quota_and_memory() {
        for (resources, shares, quota, memory) in [
            (json!({}), 2, 0, 0),
            (json!({"requests": {"cpu": "250m"}}), 256, 0, 0),
            (json!({"limits": {"cpu": "500m", "memory": "64Mi"}}), 512, 50_000, 67_108_864),
            (json!({"requests": {"cpu": "1m"}, "limits": {"cpu": "1m"}}), 2, 1_000, 0),
            (json!({"requests": {"cpu": "1000"}}), 262_144, 0, 0),
        ] {
            let got = limits(&one(resources), "c");
            assert_eq!(
                (got.cpu_shares, got.cpu_quota, got.memory_limit, got.memory_swap_limit, got.cpu_period),
                (shares, quota, memory, memory, 100_000)
            );
        }
    }

    #[test]
    fn oom_scores() {
        let scores = |pod: &Pod| limits(pod, "c").oom_score_adj;
        assert_eq!(scores(&one(json!({}))), 1000);
        assert_eq!(scores(&one(json!({"limits": {"cpu": "1", "memory": "1Gi"}}))), -997);
        assert_eq!(scores(&one(json!({"requests": {"memory": "1G"}}))), 750);
        assert_eq!(scores(&one(json!({"requests": {"memory": "1k"}}))), 999);
        assert_eq!(scores(&one(json!({"requests": {"memory": "4G"}}))), 3);
        let mut critical = one(json!({}));
        critical.spec.as_mut().unwrap().priority = Some(NODE_CRITICAL);
        assert_eq!(scores(&critical), -997);
    }

    #[test]
    fn a_sidecar_is_not_killed_before_its_containers() {
        let pod = pod(json!({
            "initContainers": [{"name": "s", "restartPolicy": "Always", "resources": {"requests": {"memory": "4M"}}}],
            "containers": [{"name": "c", "resources": {"requests": {"memory": "1G"}}}],
        }));
        assert_eq!(limits(&pod, "s").oom_score_adj, 750);
    }

    #[test]
    fn resources_of_the_whole_pod() {
        let pod = pod(
            json!({"resources": {"requests": {"memory": "2G"}, "limits": {"cpu": "2", "memory": "3G"}},
            "containers": [{"name": "c"}, {"name": "d", "resources": {"limits": {"cpu": "1"}, "requests": {"memory": "1G"}}}]}),
        );
        let (c, d) = (limits(&pod, "c"), limits(&pod, "d"));
        assert_eq!((c.cpu_quota, c.memory_limit, c.oom_score_adj), (200_000, 3_000_000_000, 875));
        assert_eq!((d.cpu_quota, d.memory_limit, d.oom_score_adj), (100_000, 3_000_000_000, 625));
        let whole = of_pod(&pod);
        assert_eq!((whole.cpu_quota, whole.memory_limit, whole.cpu_shares), (200_000, 3_000_000_000, 2048));
    }

    #[test]
    fn limits_of_a_pods_cgroup() {
        let of = |spec| {
            let got = of_pod(&pod(spec));
            (got.cpu_shares, got.cpu_quota, got.memory_limit)
        };
        assert_eq!(of(json!({"containers": [{"name": "c"}]})), (2, 0, 0));
        let half = json!({"limits": {"cpu": "500m", "memory": "1M"}, "requests": {"cpu": "250m"}});
        assert_eq!(of(json!({"containers": [{"name": "c", "resources": half}, {"name": "d"}]})), (256, 0, 0));
        assert_eq!(
            of(json!({"containers": [{"name": "c", "resources": half}, {"name": "d", "resources": half}]})),
            (512, 100_000, 2_000_000)
        );
        // The init container needs more than the containers after it.
        let big = json!({"limits": {"cpu": "2", "memory": "9M"}, "requests": {"cpu": "2"}});
        assert_eq!(
            of(
                json!({"initContainers": [{"name": "i", "resources": big}], "containers": [{"name": "c", "resources": half}]})
            ),
            (2048, 200_000, 9_000_000)
        );
    }
}
