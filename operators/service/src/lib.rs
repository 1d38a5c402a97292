//! The service operator: who answers for a service, as endpoint slices and as `Endpoints` of old.
//!
//! Owns: the slices labelled as managed by it and the `Endpoints` of the same name, for every service with a selector.
//! Guarantees: a change of a pod wakes only the services that select it, and only if it changes what they publish; a
//! slice is written only if it differs, and holds at most 100 endpoints. `Endpoints` whose service is gone are deleted
//! (`plan::leftover`); those that someone keeps by hand are copied into slices (`plan::mirror`). Deliberately absent, so
//! far: topology hints (without them traffic goes everywhere, which `trafficDistribution` allows).
//! Upstream: pkg/controller/{endpointslice,endpointslicemirroring,endpoint}, endpointslice module (reconciler.go, utils.go).

pub mod build;
pub mod observe;
pub mod plan;

use observe::{EndpointsView, Observed};
use plan::{leftover::LeftoverOperator, mirror::MirrorOperator};
use proa_kit::{
    Change, Client, Error, Filter, Index, Key, Operator, Plan, Reader, RunConfig, Timestamp, Typed, View,
    Watch, Write,
    operator::operator_rules,
    views::{EndpointSliceView, NodeView, PodView, ServiceView},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceOperator;

impl Operator for ServiceOperator {
    const NAME: &'static str = "endpoint-slice-controller";
    type Object = ServiceView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        let managed = Filter::labels(&format!("{}={}", build::MANAGED_BY, build::MANAGER));
        vec![
            Watch::primary::<ServiceView>().index(Index::NAMESPACE).into(),
            Watch::mapped::<PodView>(selecting).index(observe::LABELS).into(),
            Watch::mapped::<EndpointSliceView>(service_of_slice).only(managed).index(observe::SERVICE).into(),
            Watch::mapped::<EndpointsView>(same_name).into(),
            Watch::read::<NodeView>().into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&EndpointSliceView::KIND, &["create", "patch", "delete"]),
            Write::to(&EndpointsView::KIND, &["create", "patch"]),
            // An owner reference that blocks deletion asks for this right over the owner.
            Write::sub(&ServiceView::KIND, "finalizers", &["update"]),
        ]
    }
    async fn observe(&self, reader: &Reader, service: &Arc<ServiceView>) -> Result<Observed, Error> {
        Ok(observe::observe(reader, service))
    }
    fn plan(&self, service: &ServiceView, observed: &Observed, _now: Timestamp) -> Plan {
        plan::plan(service, observed)
    }
}

/// A pod wakes the services that select it or did, if what they publish of it changed.
fn selecting(change: &Change<PodView>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    if let (Some(old), Some(new)) = (&change.old, &change.new)
        && observe::is_published_like(old, new)
    {
        return;
    }
    let Some(pod) = change.latest() else { return };
    for service in reader.cache::<ServiceView>().by(&Index::NAMESPACE, &pod.metadata.namespace) {
        let selects = |pod: &Arc<PodView>| {
            !service.spec.selector.is_empty() && service.spec.selector.is_subset_of(&pod.metadata.labels)
        };
        if change.both().any(selects) {
            wake(service.key());
        }
    }
}

fn service_of_slice(change: &Change<EndpointSliceView>, _reader: &Reader, wake: &mut dyn FnMut(Key)) {
    for slice in change.both() {
        if let Some(name) = slice.metadata.labels.get(build::SERVICE_NAME) {
            wake(Key::new(&slice.metadata.namespace, name));
        }
    }
}

fn same_name(change: &Change<EndpointsView>, _reader: &Reader, wake: &mut dyn FnMut(Key)) {
    if let Some(endpoints) = change.latest() {
        wake(endpoints.key());
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let mut rules = operator_rules(&ServiceOperator);
    for more in [operator_rules(&LeftoverOperator), operator_rules(&MirrorOperator)] {
        if let (Value::Array(rules), Value::Array(more)) = (&mut rules, more) {
            rules.extend(more);
        }
    }
    rules
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    let leftover = proa_kit::run(LeftoverOperator, client.clone(), config.clone());
    let mirror = proa_kit::run(MirrorOperator, client.clone(), config.clone());
    futures::join!(proa_kit::run(ServiceOperator, client, config), leftover, mirror);
}
