//! Endpoint slices: the fewest writes that publish what shall be published.
//!
//! Flow, per address family and set of ports: endpoints that are published stay in their slice; those that are gone or
//! changed change it; new ones fill slices that change anyway, then one with room for all of them, then new slices. A slice
//! that nothing is left of becomes a new one, whatever its ports were, before it is deleted: whoever watches it sees a
//! change rather than the service without endpoints.
//! Slices of a former service of the same name go, even when they would fit: the garbage collector may delete them any time.
//! Invariants: an endpoint is in one slice, a slice holds at most 100, no slice is empty but the only one of a family.
//! Upstream: endpointslice module `reconciler.go` (reconcileByPortMapping, finalize).

use crate::{build, observe::Observed};
use proa_kit::{
    Action, Announce, ObjectRef, Pairs, Typed,
    owner::controller_reference,
    views::{
        EndpointSliceView, Owner, PodView, ServiceView,
        endpoint_slice::{Endpoint, EndpointPort},
    },
};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Endpoints in a slice.
pub const MOST: usize = 100;

/// A slice as it shall be: an existing one, or a new one.
#[derive(Debug)]
struct Slice<'a> {
    old: Option<&'a EndpointSliceView>,
    endpoints: Vec<Endpoint>,
    changed: bool,
}

impl Slice<'_> {
    fn new() -> Self {
        Self { old: None, endpoints: Vec::new(), changed: true }
    }
}

/// The writes for all slices of a service.
pub fn actions(service: &ServiceView, observed: &Observed) -> Vec<Action> {
    let types = build::address_types(service);
    let announce = Announce::about(&Arc::new(service.reference())).failure(
        "FailedToUpdateEndpointSlices",
        &format!(
            "Error updating Endpoint Slices for Service {}/{}: {{error}}",
            service.metadata.namespace, service.metadata.name
        ),
    );
    let mut actions = Vec::new();
    let living = || observed.slices.iter().filter(|slice| !slice.metadata.is_deleting());
    let is_own = |slice: &EndpointSliceView| {
        let owns = |owner: &Owner| owner.uid == service.metadata.uid && owner.is("", "Service");
        types.contains(&&*slice.address_type) && slice.metadata.owners.iter().any(owns)
    };
    for slice in living().filter(|slice| !is_own(slice)) {
        actions.push(Action::delete(slice.reference()));
    }
    for address_type in &types {
        let of_family = |slice: &&EndpointSliceView| *slice.address_type == **address_type;
        let existing: Vec<&EndpointSliceView> =
            living().map(|slice| &**slice).filter(|slice| is_own(slice)).filter(of_family).collect();
        family(service, observed, address_type, &existing, &mut actions);
    }
    actions.into_iter().map(|action| action.announced(announce.clone())).collect()
}

fn family(
    service: &ServiceView,
    observed: &Observed,
    address_type: &str,
    existing: &[&EndpointSliceView],
    actions: &mut Vec<Action>,
) {
    let mut old: BTreeMap<Vec<EndpointPort>, Vec<&EndpointSliceView>> = BTreeMap::new();
    for slice in existing {
        old.entry(sorted(&slice.ports)).or_default().push(slice);
    }
    let (mut slices, mut spare) = (Vec::new(), Vec::new());
    for (ports, endpoints) in wanted(service, observed, address_type) {
        for slice in assign(&old.remove(&ports).unwrap_or_default(), endpoints) {
            match slice.old.filter(|_| slice.endpoints.is_empty()) {
                Some(old) => spare.push(old),
                None => slices.push((ports.clone(), slice)),
            }
        }
    }
    spare.extend(old.into_values().flatten());
    // Where nothing is published, one empty slice says so.
    if slices.is_empty() {
        slices.push((Vec::new(), Slice::new()));
    }
    for (ports, slice) in slices {
        let old = slice.old.or_else(|| spare.pop());
        actions.extend(match old {
            Some(old) => change(service, observed, old, &ports, &slice.endpoints),
            None => Some(create(service, observed, address_type, &ports, &slice.endpoints)),
        });
    }
    actions.extend(spare.into_iter().map(|slice| Action::delete(slice.reference())));
}

/// Endpoints by the ports that their pods answer on.
fn wanted(
    service: &ServiceView,
    observed: &Observed,
    address_type: &str,
) -> BTreeMap<Vec<EndpointPort>, Vec<Endpoint>> {
    let mut pods: Vec<&PodView> =
        observed.pods.iter().map(|pod| &**pod).filter(|pod| build::is_published(pod, true)).collect();
    pods.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    let mut wanted: BTreeMap<Vec<EndpointPort>, Vec<Endpoint>> = BTreeMap::new();
    for pod in pods {
        if let Some(endpoint) = build::endpoint(pod, service, observed, address_type) {
            wanted.entry(sorted(&build::ports(pod, service))).or_default().push(endpoint);
        }
    }
    wanted
}

fn sorted(ports: &[EndpointPort]) -> Vec<EndpointPort> {
    let mut ports = ports.to_vec();
    ports.sort();
    ports
}

fn uid(endpoint: &Endpoint) -> &str {
    endpoint.target_ref.as_ref().map_or("", |target| &target.uid)
}

/// Puts endpoints of one set of ports into slices.
fn assign<'a>(existing: &[&'a EndpointSliceView], endpoints: Vec<Endpoint>) -> Vec<Slice<'a>> {
    let mut missing: HashMap<Box<str>, Endpoint> =
        endpoints.iter().map(|endpoint| (uid(endpoint).into(), endpoint.clone())).collect();
    let mut slices: Vec<Slice<'a>> = existing.iter().map(|slice| kept(slice, &mut missing)).collect();
    // In the given order, so that equal worlds give equal plans.
    let mut new: Vec<Endpoint> =
        endpoints.into_iter().filter(|endpoint| missing.contains_key(uid(endpoint))).collect();
    for slice in slices.iter_mut().filter(|slice| slice.changed && !slice.endpoints.is_empty()) {
        fill(slice, &mut new);
    }
    if !new.is_empty()
        && let Some(slice) = roomy(&mut slices, new.len())
    {
        fill(slice, &mut new);
    }
    while !new.is_empty() {
        let mut slice = Slice::new();
        fill(&mut slice, &mut new);
        slices.push(slice);
    }
    slices
}

/// What stays of an existing slice.
fn kept<'a>(old: &'a EndpointSliceView, missing: &mut HashMap<Box<str>, Endpoint>) -> Slice<'a> {
    let mut slice =
        Slice { old: Some(old), endpoints: Vec::with_capacity(old.endpoints.len()), changed: false };
    for endpoint in &old.endpoints {
        match missing.remove(uid(endpoint)) {
            Some(new) => {
                slice.changed |= new != *endpoint;
                slice.endpoints.push(new);
            }
            None => slice.changed = true,
        }
    }
    slice
}

fn fill(slice: &mut Slice<'_>, new: &mut Vec<Endpoint>) {
    let room = MOST.saturating_sub(slice.endpoints.len()).min(new.len());
    if room > 0 {
        slice.endpoints.extend(new.drain(..room));
        slice.changed = true;
    }
}

/// The fullest slice that takes all, or an empty one that would else be deleted.
fn roomy<'s, 'a>(slices: &'s mut [Slice<'a>], count: usize) -> Option<&'s mut Slice<'a>> {
    let fits = |slice: &&mut Slice<'a>| slice.endpoints.len() + count <= MOST || slice.endpoints.is_empty();
    slices.iter_mut().filter(fits).max_by_key(|slice| slice.endpoints.len())
}

/// What makes a slice of the family the wanted one.
fn change(
    service: &ServiceView,
    observed: &Observed,
    old: &EndpointSliceView,
    ports: &[EndpointPort],
    endpoints: &[Endpoint],
) -> Option<Action> {
    let labels = build::slice_labels(service);
    let (moved, changed) = (sorted(&old.ports) != ports, *old.endpoints != *endpoints);
    if !moved && !changed && old.metadata.labels == labels {
        return None;
    }
    let mut patch = json!({"metadata": {"labels": differences(&old.metadata.labels, &labels)}});
    if moved || changed {
        let last = old.metadata.annotations.get(build::TRIGGER);
        patch["metadata"]["annotations"] = json!({build::TRIGGER: build::trigger(service, observed, last)});
    }
    if moved {
        patch["ports"] = json!(ports);
    }
    if changed {
        patch["endpoints"] = json!(endpoints);
    }
    Some(Action::merge(old.reference().at(old.metadata.resource_version), patch))
}

/// A merge patch from one set of labels to another.
pub(super) fn differences(old: &Pairs, new: &Pairs) -> Value {
    let removed =
        old.iter().filter(|(key, _)| new.get(key).is_none()).map(|(key, _)| (key.to_owned(), Value::Null));
    let set = new.iter().filter(|(key, value)| old.get(key) != Some(value));
    Value::Object(
        removed.chain(set.map(|(key, value)| (key.to_owned(), json!(value)))).collect::<Map<_, _>>(),
    )
}

fn create(
    service: &ServiceView,
    observed: &Observed,
    address_type: &str,
    ports: &[EndpointPort],
    endpoints: &[Endpoint],
) -> Action {
    let owner: ObjectRef = service.reference();
    let mut metadata = json!({
        "generateName": prefix(&service.metadata.name),
        "namespace": service.metadata.namespace,
        "labels": build::slice_labels(service),
        "ownerReferences": [controller_reference(&owner)],
    });
    if let Some(trigger) = build::trigger(service, observed, None) {
        metadata["annotations"] = json!({build::TRIGGER: trigger});
    }
    let object =
        json!({"metadata": metadata, "addressType": address_type, "endpoints": endpoints, "ports": ports});
    Action::create(EndpointSliceView::KIND, &service.metadata.namespace, object)
}

/// A dash makes names readable, unless the service's name leaves no room for it.
pub(super) fn prefix(service: &str) -> String {
    if service.len() < 63 { format!("{service}-") } else { service.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proa_kit::views::endpoint_slice::TargetRef;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn endpoint(number: u32) -> Endpoint {
        let target = TargetRef { uid: number.to_string().into(), ..TargetRef::default() };
        Endpoint { target_ref: Some(target), ..Endpoint::default() }
    }

    fn slice(numbers: &[u32]) -> EndpointSliceView {
        let endpoints = numbers.iter().map(|number| endpoint(*number)).collect();
        EndpointSliceView { endpoints, ..EndpointSliceView::default() }
    }

    proptest! {
        /// Whatever was published, afterwards exactly the wanted endpoints are, in slices that are not too large; and
        /// once that is so, nothing is written.
        #[test]
        fn slices_hold_what_is_wanted_once(
            old in proptest::collection::vec(proptest::collection::vec(0_u32..400, 0..100), 0..5),
            wanted in proptest::collection::btree_set(0_u32..400, 0..400),
        ) {
            let mut seen = BTreeSet::new();
            let old: Vec<EndpointSliceView> = old
                .iter()
                .map(|numbers| slice(&numbers.iter().copied().filter(|number| seen.insert(*number)).collect::<Vec<_>>()))
                .collect();
            let wanted: Vec<Endpoint> = wanted.into_iter().map(endpoint).collect();
            let assigned = assign(&old.iter().collect::<Vec<_>>(), wanted.clone());
            prop_assert!(assigned.iter().all(|slice| slice.endpoints.len() <= MOST));
            let mut published: Vec<String> =
                assigned.iter().flat_map(|slice| &slice.endpoints).map(|e| uid(e).to_owned()).collect();
            let mut want: Vec<String> = wanted.iter().map(|e| uid(e).to_owned()).collect();
            published.sort();
            want.sort();
            prop_assert_eq!(published, want);
            let settled: Vec<EndpointSliceView> = assigned
                .iter()
                .filter(|slice| !slice.endpoints.is_empty())
                .map(|slice| EndpointSliceView { endpoints: slice.endpoints.clone().into(), ..EndpointSliceView::default() })
                .collect();
            let again = assign(&settled.iter().collect::<Vec<_>>(), wanted);
            prop_assert!(settled.is_empty() || again.iter().all(|slice| !slice.changed));
        }
    }

    #[test]
    fn new_endpoints_go_where_something_changes_anyway() {
        let (full, changing) = (slice(&(0..90).collect::<Vec<_>>()), slice(&[200, 201]));
        let wanted: Vec<Endpoint> = (0..90).chain([201, 300]).map(endpoint).collect();
        let assigned = assign(&[&full, &changing], wanted);
        assert_eq!(
            assigned.iter().map(|s| (s.changed, s.endpoints.len())).collect::<Vec<_>>(),
            [(false, 90), (true, 2)]
        );
    }
}
