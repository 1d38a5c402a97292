//! Quality-of-service class of a pod.
//!
//! Upstream: `pkg/apis/core/helper/qos/qos.go`.

use super::resources::{Amounts, amounts, is_pod_level};
use proa_meta::quantity::Quantity;
use serde_json::Value;

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub(crate) fn class(spec: &Value) -> &'static str {
    let is_set = |own: &&Value| {
        ["requests", "limits"].iter().any(|list| amounts(&own[*list]).keys().any(|name| is_pod_level(name)))
    };
    let own = spec.get("resources").filter(is_set);
    let parts: Vec<&Value> = match own {
        Some(resources) => vec![resources],
        None => (["initContainers", "containers"].iter())
            .flat_map(|list| spec[*list].as_array().into_iter().flatten())
            .map(|container| &container["resources"])
            .collect(),
    };
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let mut all_limited = true;
    for part in parts {
        sum(&mut requests, &part["requests"]);
        all_limited &= sum(&mut limits, &part["limits"]) == 2;
    }
    match (requests.is_empty() && limits.is_empty(), all_limited && requests == limits) {
        (true, _) => "BestEffort",
        (_, true) => "Guaranteed",
        _ => "Burstable",
    }
}

/// Adds cpu and memory; says how many of the two were there.
fn sum(total: &mut Amounts, list: &Value) -> usize {
    let mut found = 0;
    for (name, quantity) in amounts(list) {
        if matches!(name.as_str(), "cpu" | "memory") && quantity > Quantity::ZERO {
            found += 1;
            *total.entry(name).or_insert(Quantity::ZERO) += quantity;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classes() {
        let container = |resources: Value| json!({"containers": [{"resources": resources}], "resources": {}});
        for (spec, class_name) in [
            (container(json!({})), "BestEffort"),
            (container(json!({"requests": {"cpu": "1"}})), "Burstable"),
            (container(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), "Burstable"),
            (
                container(
                    json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}}),
                ),
                "Guaranteed",
            ),
        ] {
            assert_eq!(class(&spec), class_name, "{spec}");
        }
    }
}
