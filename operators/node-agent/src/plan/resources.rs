//! What a pod asks for, summed over its containers.
//!
//! Upstream: component-helpers `resource/helpers.go` (PodRequests).

use super::containers::{self, Role, Spec};
use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::api::resource::Quantity as Wire};
use proa_meta::quantity::Quantity;
use std::collections::BTreeMap;

/// Resource name to amount: thousandths of a CPU, else whole units.
pub(crate) type Amounts = BTreeMap<String, i64>;

/// What the pod asks for.
pub(crate) fn requests(pod: &Pod) -> Amounts {
    let mut total = Amounts::new();
    containers::apps(pod).for_each(|app| add(&mut total, &asked(app)));
    let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
    for init in containers::init(pod) {
        let own = asked(init);
        let mut at_once = sidecars.clone();
        add(&mut at_once, &own);
        if init.role() == Role::Sidecar {
            add(&mut total, &own);
            sidecars.clone_from(&at_once);
        }
        raise(&mut most, &at_once);
    }
    raise(&mut total, &most);
    let spec = containers::spec(pod);
    let own = spec.resources.as_ref().and_then(|own| own.requests.as_ref());
    total.extend(own.into_iter().flatten().map(entry));
    add(&mut total, &spec.overhead.iter().flatten().map(entry).collect());
    total
}

fn asked(container: Spec<'_>) -> Amounts {
    let own = container.resources().and_then(|own| own.requests.as_ref());
    own.into_iter().flatten().map(entry).collect()
}

fn entry((name, quantity): (&String, &Wire)) -> (String, i64) {
    (name.clone(), amount(name, &quantity.0))
}

/// The amount that a quantity's text stands for.
pub(crate) fn amount(name: &str, text: &str) -> i64 {
    let Ok(quantity) = Quantity::parse(text) else { return 0 };
    if name == "cpu" { quantity.milli_value() } else { quantity.value() }
}

fn add(total: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let sum = total.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

fn raise(total: &mut Amounts, least: &Amounts) {
    for (name, amount) in least {
        let present = total.entry(name.clone()).or_default();
        *present = (*present).max(*amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(spec: &Value) -> Pod {
        serde_json::from_value(json!({"spec": spec})).unwrap()
    }

    #[test]
    fn sidecars_add_up_and_the_largest_init_container_counts() {
        let cpu = |amount: &str| json!({"requests": {"cpu": amount}});
        let pod = pod(&json!({
            "containers": [{"name": "a", "resources": cpu("100m")}],
            "initContainers": [
                {"name": "s", "restartPolicy": "Always", "resources": cpu("50m")},
                {"name": "i", "resources": cpu("400m")},
            ],
            "overhead": {"cpu": "10m"},
        }));
        assert_eq!(requests(&pod)["cpu"], 460);
    }

    #[test]
    fn requests_of_the_pod_as_a_whole_win() {
        let pod = pod(&json!({
            "containers": [{"name": "a", "resources": {"requests": {"cpu": "100m", "memory": "1Mi"}}}],
            "resources": {"requests": {"cpu": "1"}},
        }));
        assert_eq!(requests(&pod), Amounts::from([("cpu".to_owned(), 1000), ("memory".to_owned(), 1 << 20)]));
    }
}
