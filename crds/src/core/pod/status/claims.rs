//! What a pod's status says of devices: claims made for it, and the resources that containers were given.
//!
//! Upstream: `validatePodResourceClaimStatuses`, `validatePodExtendedResourceClaimStatus`,
//! `validateContainerStatusAllocatedResourcesStatus`.

use crate::{cursor::Cursor, pod_spec::resources};
use proa_meta::{FieldErrors, names, quantity::Quantity};
use serde_json::Value;
use std::collections::BTreeSet;

/// Most bytes of a message on a device's health.
const MAX_MESSAGE: usize = 1024;

/// Claims by the names that the spec gives them.
pub(super) fn claims(status: &Cursor<'_, '_>, spec: &Value, errors: &mut FieldErrors) {
    let known: BTreeSet<&str> =
        elements(&spec["resourceClaims"]).filter_map(|c| c["name"].as_str()).collect();
    let mut seen = BTreeSet::new();
    for claim in status.get("resourceClaimStatuses").items() {
        let name = claim.get("name");
        if !known.contains(name.text()) {
            name.invalid(errors, "must match the name of an entry in `spec.resourceClaims`");
        }
        if !seen.insert(name.text()) {
            name.duplicate(errors);
        }
        if let Some(object) = claim.present("resourceClaimName") {
            object.named(errors, names::is_dns1123_subdomain);
        }
    }
}

/// The claim that stands for requests of extended resources.
pub(super) fn extended(status: &Cursor<'_, '_>, spec: &Value, errors: &mut FieldErrors) {
    let Some(at) = status.present("extendedResourceClaimStatus") else { return };
    let mappings = at.get("requestMappings");
    if mappings.is_empty() {
        mappings.required(errors, "at least one request mapping is required");
    }
    let mut seen = BTreeSet::new();
    for mapping in mappings.items() {
        let (container, resource) = (mapping.get("containerName"), mapping.get("resourceName"));
        match containers(spec).find(|c| c["name"] == *container.value()) {
            None => container.invalid(
                errors,
                "must match the name of an entry in spec.initContainers.name or spec.containers.name",
            ),
            Some(found) if found["resources"]["requests"].get(resource.text()).is_none() => resource.invalid(
                errors,
                "must match the extended resource name of an entry in spec.initContainers.resources.requests or spec.containers.resources.requests",
            ),
            Some(_) => {}
        }
        let request = mapping.get("requestName");
        // Upstream's path.
        at.get("requestName").with(request.value()).named(errors, names::is_dns1123_label);
        if !seen.insert((container.text(), resource.text(), request.text())) {
            [container, resource, request].iter().for_each(|part| part.duplicate(errors));
        }
    }
    let claim = at.get("resourceClaimName");
    if claim.must_be_set(errors) {
        claim.named(errors, names::is_dns1123_subdomain);
    }
}

/// The health of what the containers of a list were given.
pub(super) fn given(list: &Cursor<'_, '_>, own: &Value, extended: &Value, errors: &mut FieldErrors) {
    for status in list.items() {
        let container = elements(own).find(|container| container["name"] == *status.get("name").value());
        for resource in status.get("allocatedResourcesStatus").items() {
            let name = resource.get("name");
            if let Some(problem) = container.and_then(|c| not_asked_for(name.text(), c, extended)) {
                name.invalid(errors, problem);
            }
            health(&resource.get("resources"), errors);
        }
    }
}

fn not_asked_for(name: &str, container: &Value, extended: &Value) -> Option<&'static str> {
    let Some(claim) = name.strip_prefix("claim:") else {
        let asked = container["resources"]["requests"].get(name).is_some();
        return (!asked).then_some("must match one of the container's resource requests");
    };
    let is_same = |own: &Value| match own["request"].as_str().unwrap_or("") {
        "" => own["name"] == claim,
        request => claim.strip_suffix(request).and_then(|c| c.strip_suffix('/')) == own["name"].as_str(),
    };
    let found =
        elements(&container["resources"]["claims"]).any(is_same) || is_mapped(claim, container, extended);
    (!found).then_some("must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty")
}

fn is_mapped(claim: &str, container: &Value, extended: &Value) -> bool {
    let Some((claim, request)) = claim.split_once('/').filter(|(_, request)| !request.is_empty()) else {
        return false;
    };
    let asks = |mapping: &Value| {
        let resource = mapping["resourceName"].as_str().unwrap_or("");
        let amount = resources::amount(&container["resources"]["requests"], resource);
        amount.is_some_and(|amount| amount != Quantity::ZERO)
    };
    extended["resourceClaimName"] == claim
        && elements(&extended["requestMappings"])
            .filter(|mapping| {
                mapping["containerName"] == container["name"] && mapping["requestName"] == request
            })
            .any(asks)
}

fn health(list: &Cursor<'_, '_>, errors: &mut FieldErrors) {
    let mut seen = BTreeSet::new();
    for device in list.items() {
        device.get("health").enumeration(errors, &["Healthy", "Unhealthy", "Unknown"]);
        if let Some(message) = device.present("message") {
            match message.text().len() {
                0 => message.required(errors, "must be non-empty if specified"),
                bytes if bytes > MAX_MESSAGE => errors.too_long(message.path(), MAX_MESSAGE),
                _ => {}
            }
        }
        let id = device.get("resourceID");
        if !seen.insert(id.text()) {
            id.duplicate(errors);
        }
    }
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    elements(&spec["containers"]).chain(elements(&spec["initContainers"]))
}

fn elements(list: &Value) -> impl Iterator<Item = &Value> {
    list.as_array().into_iter().flatten()
}
