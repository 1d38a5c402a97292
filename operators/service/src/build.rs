//! What shall be published: endpoints of pods, ports, labels, annotations. Pure.
//!
//! Upstream: endpointslice module `utils.go`, `util/controller_utils.go`, `util/endpoint_slice_cache.go`.

use crate::observe::Observed;
use proa_kit::{
    Pairs, Timestamp,
    rollout::IntOrPercent,
    views::{
        PodView, ServiceView,
        endpoint_slice::{Endpoint, EndpointConditions, EndpointPort, TargetRef},
        pod_spec::Container,
        service::ServicePort,
    },
};

/// Label: name of the service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Label: who manages a slice.
pub const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
/// Its value.
pub const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Label of what belongs to a service without an address.
pub const HEADLESS: &str = "service.kubernetes.io/headless";
/// Annotation: since when the latest change has been known.
pub const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Address families that a service publishes.
pub fn address_types(service: &ServiceView) -> Vec<&'static str> {
    let of = |family: &str| if family == "IPv6" { "IPv6" } else { "IPv4" };
    if !service.spec.ip_families.is_empty() {
        return service.spec.ip_families.iter().map(|family| of(family)).collect();
    }
    match &*service.spec.cluster_ip {
        "" | "None" => vec!["IPv4", "IPv6"],
        address if address.contains(':') => vec!["IPv6"],
        _ => vec!["IPv4"],
    }
}

/// Whether it has no address of its own.
pub fn is_headless(service: &ServiceView) -> bool {
    matches!(&*service.spec.cluster_ip, "" | "None")
}

/// Whether a pod is published at all.
pub fn is_published(pod: &PodView, with_terminating: bool) -> bool {
    let has_address = !pod.status.pod_ip.is_empty() || !pod.status.pod_ips.is_empty();
    has_address && !pod.is_terminal() && (with_terminating || !pod.metadata.is_deleting())
}

/// The pod's addresses of a family.
pub fn addresses(pod: &PodView, address_type: &str) -> Box<[Box<str>]> {
    let of_family = |ip: &&str| ip.contains(':') == (address_type == "IPv6");
    let listed = pod.status.pod_ips.iter().map(|ip| &*ip.ip);
    let only = pod.status.pod_ips.is_empty().then_some(&*pod.status.pod_ip);
    listed.chain(only).filter(|ip| !ip.is_empty()).filter(of_family).map(Into::into).collect()
}

/// The pod's host name, if it is published under this service.
pub fn hostname(pod: &PodView, service: &ServiceView) -> Option<Box<str>> {
    let shown = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    shown.then(|| pod.spec.hostname.clone())
}

/// The reference to a pod.
pub fn target(pod: &PodView) -> TargetRef {
    TargetRef {
        kind: "Pod".into(),
        namespace: pod.metadata.namespace.clone(),
        name: pod.metadata.name.clone(),
        uid: pod.metadata.uid.clone(),
    }
}

/// The endpoint of a pod; `None` without an address of the family.
pub fn endpoint(
    pod: &PodView,
    service: &ServiceView,
    observed: &Observed,
    address_type: &str,
) -> Option<Endpoint> {
    let addresses = addresses(pod, address_type);
    if addresses.is_empty() {
        return None;
    }
    let (serving, terminating) = (pod.is_ready(), pod.metadata.is_deleting());
    let node = &pod.spec.node_name;
    Some(Endpoint {
        addresses,
        conditions: EndpointConditions {
            ready: Some(service.spec.publish_not_ready_addresses || (serving && !terminating)),
            serving: Some(serving),
            terminating: Some(terminating),
        },
        hostname: hostname(pod, service),
        node_name: (!node.is_empty()).then(|| node.clone()),
        zone: observed.zones.get(node).cloned(),
        target_ref: Some(target(pod)),
        deprecated_topology: Pairs::default(),
    })
}

/// The ports that a pod answers on, in the service's order; a named port that it does not have is left out.
pub fn ports(pod: &PodView, service: &ServiceView) -> Vec<EndpointPort> {
    let each = service.spec.ports.iter().filter_map(|port| {
        Some(EndpointPort {
            name: Some(port.name.clone()),
            protocol: Some(protocol(&port.protocol).into()),
            port: Some(target_port(pod, port)?),
            app_protocol: port.app_protocol.clone(),
        })
    });
    each.collect()
}

fn protocol(name: &str) -> &str {
    if name.is_empty() { "TCP" } else { name }
}

fn target_port(pod: &PodView, port: &ServicePort) -> Option<i32> {
    let name = match &port.target_port {
        None => return Some(port.port),
        Some(IntOrPercent::Int(0)) => return Some(port.port),
        Some(IntOrPercent::Int(number)) => return Some(*number),
        Some(IntOrPercent::Text(name)) => name,
    };
    let is_sidecar = |container: &&Container| container.restart_policy.as_deref() == Some("Always");
    let containers = pod.spec.containers.iter().chain(pod.spec.init_containers.iter().filter(is_sidecar));
    containers
        .flat_map(|container| &container.ports)
        .find(|own| own.name == *name && protocol(&own.protocol) == protocol(&port.protocol))
        .map(|own| own.container_port)
}

/// Labels of a slice: the service's and those that mark it.
pub fn slice_labels(service: &ServiceView) -> Pairs {
    let reserved = [SERVICE_NAME, MANAGED_BY, HEADLESS];
    let own = service.metadata.labels.iter().filter(|(key, _)| !reserved.contains(key));
    let headless = is_headless(service).then_some((HEADLESS, ""));
    own.chain(headless).chain([(SERVICE_NAME, &*service.metadata.name), (MANAGED_BY, MANAGER)]).collect()
}

/// Since when the latest change has been known: the last time a pod became ready or not, or the service's creation.
/// A change that no pod's condition tells of, such as a deletion, has no such time.
pub fn trigger(service: &ServiceView, observed: &Observed, last: Option<&str>) -> Option<String> {
    let changes = observed.pods.iter().filter_map(|pod| pod.ready_condition()?.last_transition_time);
    let latest = changes.chain(service.metadata.creation_timestamp).max()?;
    let known: Option<Timestamp> = last.and_then(|text| text.parse().ok());
    known.is_none_or(|known| latest > known).then(|| proa_kit::clock::rfc3339(latest))
}
