//! Resource names that quotas may limit, and the kind whose objects use each of them up.
//!
//! Upstream: `pkg/quota/v1/evaluator/core/{pods,services,persistent_volume_claims,registry}.go`, apiserver
//! `pkg/quota/v1/generic/evaluator.go`.

use proa_meta::GroupResource;

pub(crate) const PODS: &str = "pods";
pub(crate) const SERVICES: &str = "services";
pub(crate) const CLAIMS: &str = "persistentvolumeclaims";
/// Kinds that had a name of their own before every kind could be counted.
const COUNTED_OF_OLD: [&str; 4] = ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];
/// What containers are given of a node by plain names.
pub(crate) const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Behind a storage class's name, before what claims of the class use up.
pub(crate) const OF_STORAGE_CLASS: &str = ".storageclass.storage.k8s.io/";
const HUGE_PAGES: [&str; 2] = ["hugepages-", "requests.hugepages-"];
const REQUESTS: &str = "requests.";

/// `count/deployments.apps`: under which every object of a kind counts.
pub fn count(resource: &GroupResource) -> String {
    match &*resource.group {
        "" => format!("count/{}", resource.resource),
        group => format!("count/{}.{group}", resource.resource),
    }
}

/// The kind whose objects use a resource up; none for a name that no kind knows.
pub fn tracked_by(name: &str) -> Option<GroupResource> {
    if let Some(counted) = name.strip_prefix("count/") {
        let (resource, group) = counted.split_once('.').unwrap_or((counted, ""));
        return Some(GroupResource { group: group.to_owned().into(), resource: resource.to_owned().into() });
    }
    if is_of_services(name) {
        return Some(GroupResource::new("", SERVICES));
    }
    if is_of_claims(name) {
        return Some(GroupResource::new("", CLAIMS));
    }
    if is_of_pods(name) {
        return Some(GroupResource::new("", PODS));
    }
    COUNTED_OF_OLD.iter().find(|old| **old == name).map(|old| GroupResource::new("", old))
}

fn is_of_services(name: &str) -> bool {
    matches!(name, SERVICES | "services.nodeports" | "services.loadbalancers")
}

fn is_of_claims(name: &str) -> bool {
    let plain = name.split_once(OF_STORAGE_CLASS).map_or(name, |(_, plain)| plain);
    matches!(plain, CLAIMS | "requests.storage")
}

fn is_of_pods(name: &str) -> bool {
    let plain = name.strip_prefix(REQUESTS).or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
    name == PODS
        || COMPUTE.contains(&plain)
        || HUGE_PAGES.iter().any(|prefix| name.starts_with(prefix))
        || name.strip_prefix(REQUESTS).is_some_and(is_extended)
}

/// A resource of a device or the like: named by a domain that is not Kubernetes' own.
pub(crate) fn is_extended(name: &str) -> bool {
    const DEVICE_CLASS: &str = "deviceclass.resource.kubernetes.io/";
    name.starts_with(DEVICE_CLASS) || (name.contains('/') && !name.contains("kubernetes.io/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_belongs_to_one_kind() {
        for (name, kind) in [
            ("pods", "pods"),
            ("limits.cpu", "pods"),
            ("ephemeral-storage", "pods"),
            ("requests.hugepages-2Mi", "pods"),
            ("requests.example.com/gpu", "pods"),
            ("count/pods", "pods"),
            ("services.nodeports", "services"),
            ("requests.storage", "persistentvolumeclaims"),
            ("gold.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims"),
            ("configmaps", "configmaps"),
            ("count/deployments.apps", "deployments.apps"),
        ] {
            assert_eq!(tracked_by(name).map(|kind| kind.to_string()).as_deref(), Some(kind), "{name}");
        }
        for name in ["example.com/gpu", "storage", "requests.kubernetes.io/x"] {
            assert_eq!(tracked_by(name), None, "{name}");
        }
        assert_eq!(count(&GroupResource::new("apps", "deployments")), "count/deployments.apps");
    }
}
