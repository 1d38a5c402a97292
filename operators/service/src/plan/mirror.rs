//! `Endpoints` that someone keeps by hand, as slices: slices are what everything reads.
//!
//! Owns the slices labelled as its own: one per address family and set of ports, of every `Endpoints` whose service
//! exists and has no selector. `Endpoints` that say `skip-mirror`, or that serve as an election's lock, have none. Slices
//! go with their `Endpoints`, which own them.
//! Upstream: pkg/controller/endpointslicemirroring.

use super::slices::{differences, prefix};
use crate::{
    build,
    observe::{Address, EndpointsView, SERVICE, Subset, place},
};
use proa_kit::{
    Action, Change, Error, Filter, Key, Kind, Operator, Pairs, Plan, Reader, Timestamp, Typed, View, Watch,
    Write,
    owner::controller_reference,
    views::{
        EndpointSliceView, ServiceView,
        endpoint_slice::{Endpoint, EndpointConditions, EndpointPort},
    },
};
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

/// Value of the label that says who manages a slice.
const MANAGER: &str = "endpointslicemirroring-controller.k8s.io";
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LOCK: &str = "control-plane.alpha.kubernetes.io/leader";
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Addresses of a subset that are mirrored.
const MOST: usize = 1000;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct MirrorOperator;

/// What a decision needs.
#[derive(Clone, Debug, Default)]
pub struct Mirrored {
    /// The service of the same name.
    pub service: Option<Arc<ServiceView>>,
    /// Slices made of these `Endpoints`.
    pub slices: Vec<Arc<EndpointSliceView>>,
}

impl Operator for MirrorOperator {
    const NAME: &'static str = "endpoint-slice-mirroring-controller";
    type Object = EndpointsView;
    type Observed = Mirrored;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<EndpointsView>().into(),
            Watch::mapped::<ServiceView>(same_name).into(),
            Watch::mapped::<EndpointSliceView>(named_by_slice).only(own_slices()).index(SERVICE).into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&EndpointSliceView::KIND, &["create", "patch", "delete"]),
            // An owner reference that blocks deletion asks for this right over the owner.
            Write::sub(&ENDPOINTS, "finalizers", &["update"]),
        ]
    }
    async fn observe(&self, reader: &Reader, endpoints: &Arc<EndpointsView>) -> Result<Mirrored, Error> {
        let key = endpoints.key();
        let slices = reader.cache_of::<EndpointSliceView>(&EndpointSliceView::KIND, &own_slices());
        Ok(Mirrored {
            service: reader.cache::<ServiceView>().get(&key),
            slices: slices.by(&SERVICE, &place(key.namespace(), key.name(), "")),
        })
    }
    fn plan(&self, endpoints: &EndpointsView, observed: &Mirrored, _now: Timestamp) -> Plan {
        plan(endpoints, observed)
    }
}

const ENDPOINTS: Kind = EndpointsView::KIND;

fn own_slices() -> Filter {
    Filter::labels(&format!("{}={MANAGER}", build::MANAGED_BY))
}

fn same_name(change: &Change<ServiceView>, _reader: &Reader, wake: &mut dyn FnMut(Key)) {
    if let Some(service) = change.latest() {
        wake(service.key());
    }
}

fn named_by_slice(change: &Change<EndpointSliceView>, _reader: &Reader, wake: &mut dyn FnMut(Key)) {
    for slice in change.both() {
        if let Some(name) = slice.metadata.labels.get(build::SERVICE_NAME) {
            wake(Key::new(&slice.metadata.namespace, name));
        }
    }
}

/// Address family and ports, in order: what a slice is about.
type Group = (&'static str, Vec<EndpointPort>);

/// The plan for one `Endpoints`.
pub fn plan(endpoints: &EndpointsView, observed: &Mirrored) -> Plan {
    let mut plan = Plan::default();
    if endpoints.metadata.is_deleting() {
        return plan;
    }
    let wanted =
        if is_mirrored(endpoints, observed) { wanted(endpoints, &mut plan) } else { BTreeMap::new() };
    let mut existing: BTreeMap<Group, Vec<&EndpointSliceView>> = BTreeMap::new();
    for slice in observed.slices.iter().filter(|slice| !slice.metadata.is_deleting()) {
        existing.entry((family(&slice.address_type), sorted(&slice.ports))).or_default().push(slice);
    }
    let mut kept: BTreeMap<&Group, &EndpointSliceView> = BTreeMap::new();
    for group in wanted.keys() {
        if let Some(slices) = existing.get_mut(group).filter(|slices| !slices.is_empty()) {
            kept.insert(group, slices.remove(0));
        }
    }
    let mut spare: Vec<&EndpointSliceView> = existing.into_values().flatten().collect();
    for (group, published) in &wanted {
        // As upstream, a slice that would be deleted becomes one that would be made.
        let old = kept.remove(group).or_else(|| {
            let of_family = spare.iter().position(|slice| family(&slice.address_type) == group.0)?;
            Some(spare.remove(of_family))
        });
        if let Some(action) = write(endpoints, group, published, old) {
            plan.push(action);
        }
    }
    spare.into_iter().for_each(|slice| plan.push(Action::delete(slice.reference())));
    plan
}

fn is_mirrored(endpoints: &EndpointsView, observed: &Mirrored) -> bool {
    let meta = &endpoints.metadata;
    let by_hand = observed.service.as_ref().is_some_and(|service| service.spec.selector.is_empty());
    by_hand && meta.labels.get(SKIP) != Some("true") && meta.annotations.get(LOCK).is_none()
}

/// Endpoints by what their slice is about; says what is left out.
fn wanted(endpoints: &EndpointsView, plan: &mut Plan) -> BTreeMap<Group, Vec<Endpoint>> {
    let mut wanted: BTreeMap<Group, Vec<Endpoint>> = BTreeMap::new();
    let mut left_out = 0;
    for subset in &endpoints.subsets {
        let ports: Vec<EndpointPort> = sorted(&subset.ports.iter().map(port).collect::<Vec<_>>());
        left_out += all(subset).count().saturating_sub(MOST);
        for (address, ready) in all(subset).take(MOST) {
            let Ok(ip) = address.ip.parse::<IpAddr>() else { continue };
            let group = (if ip.is_ipv4() { "IPv4" } else { "IPv6" }, ports.clone());
            let endpoint = endpoint(address, ip, ready);
            let published = wanted.entry(group).or_default();
            let is_known =
                |own: &Endpoint| own.addresses == endpoint.addresses && own.target_ref == endpoint.target_ref;
            if !published.iter().any(is_known) {
                published.push(endpoint);
            }
        }
    }
    if left_out > 0 {
        let note = format!(
            "A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. {left_out} addresses were skipped"
        );
        plan.push(Action::warning(&Arc::new(endpoints.reference()), "TooManyAddressesToMirror", note));
    }
    wanted
}

/// Addresses of a subset, ready ones first.
fn all(subset: &Subset) -> impl Iterator<Item = (&Address, bool)> {
    let others = subset.not_ready_addresses.iter().map(|address| (address, false));
    subset.addresses.iter().map(|address| (address, true)).chain(others)
}

fn port(of: &crate::observe::Port) -> EndpointPort {
    EndpointPort {
        name: Some(of.name.clone()),
        protocol: Some(if of.protocol.is_empty() { "TCP".into() } else { of.protocol.clone() }),
        port: Some(of.port),
        app_protocol: of.app_protocol.clone(),
    }
}

fn endpoint(address: &Address, ip: IpAddr, ready: bool) -> Endpoint {
    Endpoint {
        addresses: [ip.to_string().into()].into(),
        conditions: EndpointConditions { ready: Some(ready), ..EndpointConditions::default() },
        hostname: Some(address.hostname.clone()).filter(|name| !name.is_empty()),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn sorted(ports: &[EndpointPort]) -> Vec<EndpointPort> {
    let mut ports = ports.to_vec();
    ports.sort();
    ports
}

fn family(address_type: &str) -> &'static str {
    if address_type == "IPv6" { "IPv6" } else { "IPv4" }
}

fn labels(endpoints: &EndpointsView) -> Pairs {
    let own = [(build::SERVICE_NAME, &*endpoints.metadata.name), (build::MANAGED_BY, MANAGER)];
    endpoints.metadata.labels.iter().chain(own).collect()
}

fn annotations(endpoints: &EndpointsView) -> Pairs {
    endpoints
        .metadata
        .annotations
        .iter()
        .filter(|(key, _)| ![build::TRIGGER, APPLIED].contains(key))
        .collect()
}

fn write(
    endpoints: &EndpointsView,
    (family, ports): &Group,
    published: &[Endpoint],
    old: Option<&EndpointSliceView>,
) -> Option<Action> {
    let (labels, annotations) = (labels(endpoints), annotations(endpoints));
    let Some(old) = old else {
        let object = json!({
            "metadata": {
                "generateName": prefix(&endpoints.metadata.name),
                "namespace": endpoints.metadata.namespace,
                "labels": labels,
                "annotations": annotations,
                "ownerReferences": [controller_reference(&endpoints.reference())],
            },
            "addressType": family, "endpoints": published, "ports": ports,
        });
        return Some(Action::create(EndpointSliceView::KIND, &endpoints.metadata.namespace, object));
    };
    let (same, stays) = (is_same(&old.endpoints, published), sorted(&old.ports) == *ports);
    if same && stays && old.metadata.labels == labels && old.metadata.annotations == annotations {
        return None;
    }
    let mut patch = json!({"metadata": {
        "labels": differences(&old.metadata.labels, &labels),
        "annotations": differences(&old.metadata.annotations, &annotations),
    }});
    if !same {
        patch["endpoints"] = json!(published);
    }
    if !stays {
        patch["ports"] = json!(ports);
    }
    Some(Action::merge(old.reference().at(old.metadata.resource_version), patch))
}

/// Whether both publish the same, in whatever order.
fn is_same(old: &[Endpoint], new: &[Endpoint]) -> bool {
    let texts =
        |of: &[Endpoint]| of.iter().map(|endpoint| json!(endpoint).to_string()).collect::<BTreeSet<_>>();
    old.len() == new.len() && texts(old) == texts(new)
}
