//! Resource lists: which names are what, sums over containers, and the defaults that follow from them.
//!
//! Upstream: `pkg/apis/core/helper/helpers.go`, component-helpers `resource/helpers.go`, `SetDefaults_Pod`.

use crate::fill::{fields, present, sub};
use proa_meta::{names, quantity::Quantity};
use serde_json::Value;
use std::collections::BTreeMap;

/// A resource list, decoded.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// Reads a resource list; what is no quantity is left out.
pub(crate) fn amounts(list: &Value) -> Amounts {
    let read = |(name, value): (&String, &Value)| Some((name.clone(), Quantity::from_json(value).ok()?));
    list.as_object().into_iter().flatten().filter_map(read).collect()
}

/// The quantity of a name in a resource list.
pub(crate) fn amount(list: &Value, name: &str) -> Option<Quantity> {
    Quantity::from_json(list.get(name)?).ok()
}

/// `hugepages-2Mi`.
pub(crate) fn is_hugepages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Without a domain, or of a `kubernetes.io/` one.
pub(crate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Requests may be smaller than limits.
pub(crate) fn is_overcommit_allowed(name: &str) -> bool {
    is_native(name) && !is_hugepages(name)
}

/// A device or the like, named by a domain.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name)
        && !name.starts_with("requests.")
        && names::is_qualified_name(&format!("requests.{name}")).is_empty()
}

/// What containers may ask for by a plain name.
pub(crate) fn is_standard_container(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_hugepages(name)
}

/// What a pod as a whole may ask for.
pub(crate) fn is_pod_level(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || is_hugepages(name)
}

const OBJECT_COUNTS: [&str; 9] = [
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// Any plain name that resources may have anywhere.
pub(crate) fn is_standard(name: &str) -> bool {
    const COMPUTE: [&str; 5] = ["cpu", "memory", "ephemeral-storage", "storage", "requests.storage"];
    const DERIVED: [&str; 6] = [
        "requests.cpu",
        "requests.memory",
        "requests.ephemeral-storage",
        "limits.cpu",
        "limits.memory",
        "limits.ephemeral-storage",
    ];
    COMPUTE.contains(&name)
        || DERIVED.contains(&name)
        || OBJECT_COUNTS.contains(&name)
        || is_hugepages(name)
        || name.starts_with("requests.hugepages-")
}

/// Comes in whole units only.
pub(crate) fn is_integer(name: &str) -> bool {
    OBJECT_COUNTS.contains(&name) || is_extended(name)
}

/// Quantities below a thousandth are rounded up to one.
pub(crate) fn round_up(list: &mut Value) {
    for value in list.as_object_mut().into_iter().flat_map(|list| list.values_mut()) {
        let Some(text) = value.as_str().filter(|text| text.ends_with(['n', 'u'])) else { continue };
        if let Ok(quantity) = Quantity::parse(text) {
            *value = Quantity::milli(quantity.milli_value()).to_string().into();
        }
    }
}

/// A container's requests default to its limits.
pub(crate) fn requests_from_limits(container: &mut Value) {
    let Some(limits) = container["resources"].get("limits").and_then(Value::as_object).cloned() else {
        return;
    };
    if limits.is_empty() {
        return;
    }
    let requests = fields(sub(sub(container, "resources"), "requests"));
    for (name, value) in limits {
        requests.entry(name).or_insert(value);
    }
}

/// Requests and limits of the pod as a whole follow from its containers and from its limits.
pub(crate) fn pod_level_defaults(spec: &mut Value) {
    let Some(own) = spec.get("resources").filter(|v| !v.is_null()) else { return };
    let limits = amounts(&own["limits"]);
    let requests = amounts(&own["requests"]);
    if limits.is_empty() && requests.is_empty() {
        return;
    }
    let vacant = |have: &Amounts, name: &String| is_pod_level(name) && !have.contains_key(name);
    let huge = |(name, _): &(String, Quantity)| {
        is_hugepages(name) && !requests.contains_key(name) && vacant(&limits, name)
    };
    let more_limits: Vec<_> = aggregate(spec, "limits").into_iter().filter(huge).collect();
    let mut more_requests: Vec<_> = aggregate(spec, "requests").into_iter().collect();
    more_requests.retain(|(name, _)| is_overcommit_allowed(name) && vacant(&requests, name));
    let all_limits = limits.clone().into_iter().chain(more_limits.iter().cloned());
    let from_limits: Vec<_> = all_limits
        .filter(|(name, _)| vacant(&requests, name) && !more_requests.iter().any(|(n, _)| n == name))
        .collect();
    let has_limits = !limits.is_empty() || !more_limits.is_empty();
    let Some(own) = present(spec, "resources") else { return };
    put(own, "limits", more_limits);
    if has_limits {
        put(own, "requests", more_requests.into_iter().chain(from_limits).collect());
    }
}

fn put(resources: &mut Value, list: &str, more: Vec<(String, Quantity)>) {
    if more.is_empty() {
        return;
    }
    let list = fields(sub(resources, list));
    for (name, quantity) in more {
        list.insert(name, quantity.to_string().into());
    }
}

/// What a pod's containers need together: the sum of all that run at once, or the peak while it initialises.
pub(crate) fn aggregate(spec: &Value, list: &str) -> Amounts {
    let of = |container: &Value| amounts(&container["resources"][list]);
    let mut total = Amounts::new();
    for container in spec["containers"].as_array().into_iter().flatten() {
        add(&mut total, &of(container));
    }
    let (mut sidecars, mut peak) = (Amounts::new(), Amounts::new());
    for container in spec["initContainers"].as_array().into_iter().flatten() {
        let mut needed = of(container);
        if container["restartPolicy"] == "Always" {
            add(&mut total, &needed);
            add(&mut sidecars, &needed);
            raise(&mut peak, &sidecars);
        } else {
            add(&mut needed, &sidecars);
            raise(&mut peak, &needed);
        }
    }
    raise(&mut total, &peak);
    total
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, quantity) in more {
        *total.entry(name.clone()).or_insert(Quantity::ZERO) += *quantity;
    }
}

fn raise(total: &mut Amounts, to: &Amounts) {
    for (name, quantity) in to {
        let current = total.entry(name.clone()).or_insert(*quantity);
        *current = (*current).max(*quantity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn aggregates_follow_the_init_peak() {
        let spec = json!({
        "containers": [{"resources": {"requests": {"cpu": "100m"}}}, {"resources": {"requests": {"cpu": "200m"}}}],
        "initContainers": [
            {"restartPolicy": "Always", "resources": {"requests": {"cpu": "50m"}}},
            {"resources": {"requests": {"cpu": "1"}}},
        ]});
        assert_eq!(aggregate(&spec, "requests")["cpu"].to_string(), "1050m");
    }

    #[test]
    fn pod_level_requests_come_from_containers_then_limits() {
        let mut spec = json!({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            "containers": [{"resources": {"requests": {"cpu": "100m"}}}]});
        pod_level_defaults(&mut spec);
        assert_eq!(spec["resources"]["requests"], json!({"cpu": "100m", "memory": "1Gi"}));
    }
}
