//! What an evicted pod is told. Pure.
//!
//! Upstream: `evictionMessage` in `pkg/kubelet/eviction/helpers.go`.

use super::{
    thresholds::{Met, Resource},
    usage::{ContainerUsage, Usage, request},
};
use k8s_openapi::api::core::v1::Pod;
use proa_meta::quantity::{Format, Quantity};
use std::fmt::Write as _;

/// Why a pod goes: what is short, and which of its containers used more than they asked for.
pub(super) fn shortage(met: &Met, pod: &Pod, usage: Option<&Usage>) -> String {
    let resource = met.signal.resource();
    let format = match resource {
        Resource::Memory | Resource::Storage => Format::BinarySi,
        Resource::Inodes | Resource::Pids => Format::DecimalSi,
    };
    // Upstream makes thresholds that are shares binary whatever they count.
    let (threshold, available) = (amount(met.threshold, Format::BinarySi), amount(met.available, format));
    let mut message = format!(
        "The node was low on resource: {}. Threshold quantity: {threshold}, available: {available}. ",
        resource.name()
    );
    for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
        let used = usage.and_then(|usage| used(usage.containers.get(&container.name)?, resource));
        let Some(used) = used else { continue };
        let asked = request(container, resource.name()).unwrap_or_default();
        if used > asked {
            // Writing to a string cannot fail.
            let _ = write!(
                message,
                "Container {} was using {used}, request is {asked}, has larger consumption of {}. ",
                container.name,
                resource.name()
            );
        }
    }
    message
}

fn used(container: &ContainerUsage, resource: Resource) -> Option<Quantity> {
    match resource {
        Resource::Memory => Some(amount(container.memory, Format::BinarySi)),
        Resource::Storage => Some(amount(container.root.bytes + container.logs.bytes, Format::BinarySi)),
        Resource::Inodes | Resource::Pids => None,
    }
}

pub(super) fn amount(value: u64, format: Format) -> Quantity {
    Quantity::new(i64::try_from(value).unwrap_or(i64::MAX), format)
}

#[cfg(test)]
mod tests {
    use super::{
        super::{thresholds::Signal, usage::Space},
        *,
    };
    use serde_json::json;

    fn pod() -> Pod {
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": {"containers": [
            {"name": "a", "resources": {"requests": {"memory": "1Mi"}}}, {"name": "b"},
        ]}}))
        .unwrap()
    }

    fn usage() -> Usage {
        let container = |memory| ContainerUsage {
            memory,
            root: Space { bytes: 4096, inodes: 1 },
            logs: Space { bytes: 4096, inodes: 1 },
        };
        let containers = [("a".to_owned(), container(1 << 20)), ("b".to_owned(), container(2 << 20))];
        Usage { containers: containers.into(), ..Usage::default() }
    }

    #[test]
    fn messages_are_upstreams() {
        let met = |signal| Met { signal, threshold: 100 << 20, available: 7 << 20 };
        assert_eq!(
            shortage(&met(Signal::MemoryAvailable), &pod(), Some(&usage())),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 7Mi. \
             Container b was using 2Mi, request is 0, has larger consumption of memory. "
        );
        assert_eq!(
            shortage(&met(Signal::NodeFsAvailable), &pod(), Some(&usage())),
            "The node was low on resource: ephemeral-storage. Threshold quantity: 100Mi, available: 7Mi. \
             Container a was using 8Ki, request is 0, has larger consumption of ephemeral-storage. \
             Container b was using 8Ki, request is 0, has larger consumption of ephemeral-storage. "
        );
        let pids = Met { signal: Signal::PidAvailable, threshold: 1000, available: 10 };
        assert_eq!(
            shortage(&pids, &pod(), None),
            "The node was low on resource: pids. Threshold quantity: 1k, available: 10. "
        );
    }
}
