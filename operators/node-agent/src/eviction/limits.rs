//! Pods that use more local storage than they may. Pure.
//!
//! Upstream: `localStorageEviction` in `pkg/kubelet/eviction/eviction_manager.go`.

use super::{
    message::amount,
    usage::{ContainerUsage, Parts, Usage, limit, pod_limit},
};
use k8s_openapi::api::core::v1::{Pod, Volume};
use proa_meta::quantity::{Format, Quantity};

const STORAGE: &str = "ephemeral-storage";

/// Whether the pod has a limit that must be watched.
pub(super) fn has_limits(pod: &Pod) -> bool {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    pod_limit(pod, STORAGE).is_some() || volumes.into_iter().any(|volume| size_limit(volume).is_some())
}

/// The `emptyDir` volumes of a pod that lie on the node's disk.
pub(super) fn on_disk(pod: &Pod) -> impl Iterator<Item = &Volume> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    volumes.filter(|volume| {
        let source = volume.empty_dir.as_ref();
        source.is_some_and(|source| source.medium.as_deref().is_none_or(str::is_empty))
    })
}

fn size_limit(volume: &Volume) -> Option<Quantity> {
    let limit = volume.empty_dir.as_ref()?.size_limit.as_ref()?;
    Quantity::parse(&limit.0).ok().filter(|limit| *limit > Quantity::ZERO)
}

/// Why the pod must go, if it must. `dedicated`: images and containers have a file system of their own.
pub(super) fn violation(pod: &Pod, usage: &Usage, dedicated: bool) -> Option<String> {
    volume(pod, usage).or_else(|| whole(pod, usage)).or_else(|| container(pod, usage, dedicated))
}

fn volume(pod: &Pod, usage: &Usage) -> Option<String> {
    on_disk(pod).find_map(|volume| {
        let limit = size_limit(volume)?;
        let used = usage.volumes.get(&volume.name)?.bytes;
        let name = &volume.name;
        exceeds(used, limit)
            .then(|| format!("Usage of EmptyDir volume {name:?} exceeds the limit \"{limit}\". "))
    })
}

fn whole(pod: &Pod, usage: &Usage) -> Option<String> {
    let limit = pod_limit(pod, STORAGE)?;
    exceeds(usage.space(Parts::ALL).bytes, limit)
        .then(|| format!("Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "))
}

fn container(pod: &Pod, usage: &Usage, dedicated: bool) -> Option<String> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers.into_iter().find_map(|container| {
        let limit = limit(container, STORAGE).filter(|limit| !limit.is_zero())?;
        let ContainerUsage { root, logs, .. } = usage.containers.get(&container.name)?;
        let used = logs.bytes + if dedicated { 0 } else { root.bytes };
        let name = &container.name;
        exceeds(used, limit)
            .then(|| format!("Container {name} exceeded its local ephemeral storage limit \"{limit}\". "))
    })
}

fn exceeds(used: u64, limit: Quantity) -> bool {
    amount(used, Format::BinarySi) > limit
}

#[cfg(test)]
mod tests {
    use super::{super::usage::Space, *};
    use serde_json::json;

    const MIB: u64 = 1 << 20;

    fn pod(volume: &str, limits: [&str; 2]) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {
        "volumes": [{"name": "cache", "emptyDir": {"sizeLimit": volume}}],
        "containers": [
            {"name": "a", "resources": {"limits": {"ephemeral-storage": limits[0]}}},
            {"name": "b", "resources": {"limits": {"ephemeral-storage": limits[1]}}},
        ]}}))
        .unwrap()
    }

    fn usage(volume: u64, logs: u64, root: u64) -> Usage {
        let space = |bytes| Space { bytes, inodes: 1 };
        let used = ContainerUsage { memory: 0, root: space(root), logs: space(logs) };
        Usage {
            containers: [("a".to_owned(), used)].into(),
            volumes: [("cache".to_owned(), space(volume))].into(),
            processes: 1,
        }
    }

    #[test]
    fn each_limit_has_its_message() {
        let says = |usage: &Usage, dedicated| violation(&pod("1Mi", ["2Mi", "4Mi"]), usage, dedicated);
        assert_eq!(says(&usage(MIB, MIB, MIB), false), None);
        assert_eq!(
            says(&usage(MIB + 1, 0, 0), false).as_deref(),
            Some("Usage of EmptyDir volume \"cache\" exceeds the limit \"1Mi\". ")
        );
        assert_eq!(
            says(&usage(MIB, 3 * MIB, 3 * MIB), false).as_deref(),
            Some("Pod ephemeral local storage usage exceeds the total limit of containers 6Mi. ")
        );
        assert_eq!(
            says(&usage(0, MIB, 2 * MIB), false).as_deref(),
            Some("Container a exceeded its local ephemeral storage limit \"2Mi\". ")
        );
        assert_eq!(says(&usage(0, MIB, 2 * MIB), true), None);
    }

    #[test]
    fn only_pods_with_limits_are_measured() {
        assert!(has_limits(&pod("1Mi", ["1", "1"])));
        let plain: Pod = serde_json::from_value(json!({"metadata": {}, "spec": {
            "volumes": [{"name": "cache", "emptyDir": {}}], "containers": [{"name": "a"}]}}))
        .unwrap();
        assert!(!has_limits(&plain));
    }
}
