//! What a service costs: itself, its node ports, its load balancer.
//!
//! Upstream: `pkg/quota/v1/evaluator/core/services.go`.

use crate::amounts::Amounts;
use proa_meta::quantity::{Format, Quantity};
use serde::Deserialize;

/// A service, as far as it costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Priced {
    node_ports: i64,
    balanced: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Service {
    spec: Spec,
}

/// `spec` of a service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Spec {
    r#type: String,
    allocate_load_balancer_node_ports: Option<bool>,
    ports: Vec<Port>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    node_port: i64,
}

/// Reads a service.
///
/// # Errors
/// It is not one.
pub fn read<'de, D: serde::Deserializer<'de>>(service: D) -> Result<Priced, D::Error> {
    Service::deserialize(service).map(|service| Priced::of(&service.spec))
}

impl Priced {
    /// Prices a service. The ports that will get a node port count, whether they have it yet or not.
    pub fn of(spec: &Spec) -> Self {
        let asked = spec.ports.iter().filter(|port| port.node_port != 0).count();
        let node_ports = match &*spec.r#type {
            "NodePort" => spec.ports.len(),
            "LoadBalancer" if spec.allocate_load_balancer_node_ports == Some(false) => asked,
            "LoadBalancer" => spec.ports.len(),
            _ => 0,
        };
        let node_ports = i64::try_from(node_ports).unwrap_or(i64::MAX);
        Self { node_ports, balanced: spec.r#type == "LoadBalancer" }
    }
    /// What it costs.
    pub fn usage(&self) -> Amounts {
        let number = |count: i64| Quantity::new(count, Format::DecimalSi);
        [
            ("count/services", 1),
            ("services", 1),
            ("services.loadbalancers", i64::from(self.balanced)),
            ("services.nodeports", self.node_ports),
        ]
        .map(|(name, count)| (name.to_owned(), number(count)))
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn node_ports_and_balancers_follow_from_the_type() {
        let ports = json!([{"port": 80}, {"port": 81, "nodePort": 30000}]);
        for (kind, allocates, balancers, node_ports) in [
            ("ClusterIP", None, 0, 0),
            ("NodePort", None, 0, 2),
            ("LoadBalancer", None, 1, 2),
            ("LoadBalancer", Some(false), 1, 1),
        ] {
            let service = json!({"spec": {"type": kind, "ports": ports,
                "allocateLoadBalancerNodePorts": allocates}});
            let usage = read(&service).unwrap().usage();
            let of = |name: &str| usage[name].value();
            assert_eq!(
                (of("services.loadbalancers"), of("services.nodeports")),
                (balancers, node_ports),
                "{service}"
            );
            assert_eq!((of("services"), of("count/services")), (1, 1));
        }
    }
}
