//! Requests and limits of a container as text, for the environment and for `downwardAPI` volumes.
//!
//! Pure. A container without a limit may use what the pod may, and then what the node has: that is what it is told.
//! Upstream: `pkg/api/v1/resource/helpers.go`, `pkg/kubelet/kubelet_resources.go`.

use crate::build::{
    NodeFacts, containers,
    resources::{limit, request},
};
use k8s_openapi::api::core::v1::{Container, Pod, ResourceFieldSelector};
use proa_meta::quantity::{Format, Quantity};

/// The value of a resource of the named container, or of `own` when none is named.
pub(crate) fn value(
    selector: &ResourceFieldSelector,
    pod: &Pod,
    own: Option<&Container>,
    facts: &NodeFacts,
) -> Result<String, String> {
    let divisor = selector.divisor.as_ref().and_then(|text| Quantity::parse(&text.0).ok());
    let divisor = divisor.filter(|divisor| !divisor.is_zero()).unwrap_or(Quantity::new(1, Format::DecimalSi));
    let quantity = match selector.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => quantity(selector, pod, own.ok_or("no container is named")?, facts)?,
        Some(name) => {
            let found = containers::find(pod, name).ok_or_else(|| format!("container {name} not found"))?;
            quantity(selector, pod, &found.spec, facts)?
        }
    };
    Ok(divided(&selector.resource, quantity, divisor).to_string())
}

fn quantity(
    selector: &ResourceFieldSelector,
    pod: &Pod,
    container: &Container,
    facts: &NodeFacts,
) -> Result<Quantity, String> {
    let unsupported = || format!("unsupported container resource : {}", selector.resource);
    let (part, name) = selector.resource.split_once('.').ok_or_else(unsupported)?;
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        return Err(unsupported());
    }
    let own = container.resources.as_ref();
    match part {
        "requests" => Ok(request(own, name)),
        "limits" if !limit(own, name).is_zero() => Ok(limit(own, name)),
        "limits" => Ok(limit_of_surroundings(pod, name, facts)),
        _ => Err(unsupported()),
    }
}

fn limit_of_surroundings(pod: &Pod, name: &str, facts: &NodeFacts) -> Quantity {
    let pods = limit(pod.spec.as_ref().and_then(|spec| spec.resources.as_ref()), name);
    if !pods.is_zero() {
        return pods;
    }
    let bytes = |bytes: u64| Quantity::scaled(i128::from(bytes), 0, Format::BinarySi);
    match name {
        "cpu" => Quantity::scaled(i128::from(facts.cpu_milli), -3, Format::DecimalSi),
        "memory" => bytes(facts.memory),
        "ephemeral-storage" => bytes(facts.storage),
        // Huge pages are never lent beyond what was asked for.
        _ => Quantity::ZERO,
    }
}

/// How many times the divisor fits, rounded up.
fn divided(resource: &str, quantity: Quantity, divisor: Quantity) -> i64 {
    let (amount, by) = if resource.ends_with(".cpu") {
        (quantity.milli_value(), divisor.milli_value())
    } else {
        (quantity.value(), divisor.value())
    };
    let by = by.max(1);
    amount / by + i64::from(amount % by != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn resources_of_a_container() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"cpu": "1500m", "memory": "100M"}}},
            {"name": "b"},
        ]}}))
        .unwrap();
        let facts = NodeFacts { cpu_milli: 2000, memory: 4 << 30, storage: 9 << 30, ..NodeFacts::default() };
        let of = |container: &str, resource: &str, divisor: &str| {
            let selector = serde_json::from_value(
                json!({"containerName": container, "resource": resource, "divisor": divisor}),
            );
            value(&selector.unwrap(), &pod, pod.spec.as_ref().unwrap().containers.first(), &facts)
        };
        for (container, resource, divisor, want) in [
            ("", "limits.cpu", "0", "2"),
            ("a", "limits.cpu", "1m", "1500"),
            ("a", "requests.cpu", "1", "1"),
            ("a", "requests.memory", "1Mi", "64"),
            ("a", "limits.memory", "1Mi", "96"),
            ("a", "limits.memory", "0", "100000000"),
            ("b", "requests.memory", "0", "0"),
            ("b", "limits.cpu", "1", "2"),
            ("b", "limits.memory", "1Gi", "4"),
            ("b", "limits.ephemeral-storage", "1Gi", "9"),
            ("b", "limits.hugepages-2Mi", "1", "0"),
        ] {
            assert_eq!(of(container, resource, divisor).unwrap(), want, "{container} {resource} {divisor}");
        }
        assert_eq!(of("x", "limits.cpu", "0").unwrap_err(), "container x not found");
        assert_eq!(of("a", "limits.pods", "0").unwrap_err(), "unsupported container resource : limits.pods");
    }

    #[test]
    fn the_pods_own_limit_comes_before_the_nodes() {
        let pod: Pod = serde_json::from_value(
            json!({"spec": {"resources": {"limits": {"memory": "1Gi"}}, "containers": [{"name": "a"}]}}),
        )
        .unwrap();
        let selector =
            serde_json::from_value(json!({"containerName": "a", "resource": "limits.memory"})).unwrap();
        let facts = NodeFacts { memory: 4 << 30, ..NodeFacts::default() };
        assert_eq!(value(&selector, &pod, None, &facts).unwrap(), (1_u64 << 30).to_string());
    }
}
