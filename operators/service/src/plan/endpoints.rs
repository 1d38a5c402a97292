//! `Endpoints`: the same in one object, for those who still read it. At most 1000 addresses.
//!
//! Upstream: pkg/controller/endpoint/endpoints_controller.go, api/v1/endpoints/util.go (RepackSubsets).

use super::slices::differences;
use crate::{
    build,
    observe::{Address, EndpointsView, Observed, Port, Subset},
};
use proa_kit::{
    Action, Announce, Pairs, Typed,
    views::{PodView, ServiceView},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// Label: who manages it.
pub(crate) const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// Its value.
pub(crate) const MANAGER: &str = "endpoint-controller";
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MOST: usize = 1000;

/// An address, whether it is ready, and what it is sorted by.
type Placed = (Box<str>, Box<str>, bool);

/// The write that brings it up to date, if need be.
pub fn action(service: &ServiceView, observed: &Observed) -> Option<Action> {
    let (subsets, truncated) = truncate(subsets(service, observed));
    let labels = labels(service);
    let current = observed.endpoints.as_deref();
    let last = current.and_then(|own| own.metadata.annotations.get(build::TRIGGER));
    let annotations = json!({
        build::TRIGGER: build::trigger(service, observed, last),
        OVER_CAPACITY: truncated.then_some("truncated"),
    });
    let about = Arc::new(service.reference());
    let name = format!("{}/{}", service.metadata.namespace, service.metadata.name);
    let Some(current) = current else {
        let object = created(service, &subsets, &labels, annotations);
        let failure = format!("Failed to create endpoint for service {name}: {{error}}");
        let announce = Announce::about(&about).failure("FailedToCreateEndpoint", &failure);
        return Some(
            Action::create(EndpointsView::KIND, &service.metadata.namespace, object).announced(announce),
        );
    };
    if current.metadata.is_deleting() || current.subsets == subsets && current.metadata.labels == labels {
        return None;
    }
    let patch = json!({
        "metadata": {"labels": differences(&current.metadata.labels, &labels), "annotations": annotations},
        "subsets": subsets,
    });
    let failure = format!("Failed to update endpoint {name}: {{error}}");
    let announce = Announce::about(&about).failure("FailedToUpdateEndpoint", &failure);
    let target = current.reference().at(current.metadata.resource_version);
    Some(Action::merge(target, patch).announced(announce))
}

fn created(service: &ServiceView, subsets: &[Subset], labels: &Pairs, mut annotations: Value) -> Value {
    if let Some(map) = annotations.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    json!({
        "metadata": {
            "name": service.metadata.name, "namespace": service.metadata.namespace,
            "labels": labels, "annotations": annotations,
        },
        "subsets": subsets,
    })
}

fn labels(service: &ServiceView) -> Pairs {
    let own = service.metadata.labels.iter().filter(|(key, _)| *key != build::HEADLESS);
    let headless = build::is_headless(service).then_some((build::HEADLESS, ""));
    own.chain(headless).chain([(MANAGED_BY, MANAGER)]).collect()
}

/// Ports that the same addresses answer on share a subset.
fn subsets(service: &ServiceView, observed: &Observed) -> Vec<Subset> {
    let with_terminating = service.spec.publish_not_ready_addresses;
    let family = build::address_types(service).first().copied().unwrap_or("IPv4");
    let mut addresses: BTreeMap<Placed, Address> = BTreeMap::new();
    let mut by_port: BTreeMap<Option<Port>, Vec<Placed>> = BTreeMap::new();
    for pod in observed.pods.iter().filter(|pod| build::is_published(pod, with_terminating)) {
        let Some(address) = address(pod, service, family) else { continue };
        let placed = (address.ip.clone(), pod.metadata.uid.clone(), with_terminating || pod.is_ready());
        addresses.insert(placed.clone(), address);
        let ports = build::ports(pod, service);
        if ports.is_empty() && service.spec.ports.is_empty() && build::is_headless(service) {
            by_port.entry(None).or_default().push(placed.clone());
        }
        for port in &ports {
            by_port.entry(Some(Port::from(port))).or_default().push(placed.clone());
        }
    }
    let mut by_addresses: BTreeMap<Vec<Placed>, Vec<Port>> = BTreeMap::new();
    for (port, mut placed) in by_port {
        placed.sort();
        by_addresses.entry(placed).or_default().extend(port);
    }
    by_addresses.into_iter().map(|(placed, ports)| subset(&placed, ports, &addresses)).collect()
}

fn subset(placed: &[Placed], ports: Vec<Port>, addresses: &BTreeMap<Placed, Address>) -> Subset {
    let of = |ready: bool| {
        placed.iter().filter(|own| own.2 == ready).filter_map(|own| addresses.get(own).cloned()).collect()
    };
    Subset { addresses: of(true), not_ready_addresses: of(false), ports }
}

fn address(pod: &PodView, service: &ServiceView, family: &str) -> Option<Address> {
    Some(Address {
        ip: build::addresses(pod, family).first()?.clone(),
        hostname: build::hostname(pod, service).unwrap_or_default(),
        node_name: (!pod.spec.node_name.is_empty()).then(|| pod.spec.node_name.clone()),
        target_ref: Some(build::target(pod)),
    })
}

/// Ready addresses are kept first.
fn truncate(mut subsets: Vec<Subset>) -> (Vec<Subset>, bool) {
    let all: usize =
        subsets.iter().map(|subset| subset.addresses.len() + subset.not_ready_addresses.len()).sum();
    if all <= MOST {
        return (subsets, false);
    }
    let mut left = MOST;
    for subset in &mut subsets {
        subset.addresses.truncate(left);
        left -= subset.addresses.len();
    }
    for subset in &mut subsets {
        subset.not_ready_addresses.truncate(left);
        left -= subset.not_ready_addresses.len();
    }
    subsets.retain(|subset| !(subset.addresses.is_empty() && subset.not_ready_addresses.is_empty()));
    (subsets, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_addresses_are_cut_ready_ones_last() {
        let many = |count: usize| vec![Address::default(); count];
        let subset = Subset { addresses: many(600), not_ready_addresses: many(600), ports: vec![] };
        let (cut, truncated) = truncate(vec![subset]);
        assert!(truncated);
        assert_eq!((cut[0].addresses.len(), cut[0].not_ready_addresses.len()), (600, 400));
    }
}
