//! `Endpoints` that the operator made for a service that is gone: they have no owner that would take them along.
//!
//! Stronger than upstream, which misses services that were deleted while it did not run.

use super::endpoints::{MANAGED_BY, MANAGER};
use crate::observe::EndpointsView;
use proa_kit::{
    Action, Change, Error, Key, ObjectRef, Operator, Plan, Read, Reader, Timestamp, Typed, View, Watch,
    Write, views::ServiceView,
};
use std::sync::Arc;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeftoverOperator;

impl Operator for LeftoverOperator {
    const NAME: &'static str = "endpoint-controller";
    type Object = EndpointsView;
    /// Whether the service is gone.
    type Observed = bool;

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::primary::<EndpointsView>().into(), Watch::mapped::<ServiceView>(gone).into()]
    }
    fn reads(&self) -> Vec<Read> {
        vec![Read::of(&ServiceView::KIND)]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::to(&EndpointsView::KIND, &["delete"])]
    }
    async fn observe(&self, reader: &Reader, endpoints: &Arc<EndpointsView>) -> Result<bool, Error> {
        if !is_managed(endpoints) || reader.cache::<ServiceView>().get(&endpoints.key()).is_some() {
            return Ok(false);
        }
        let meta = &endpoints.metadata;
        let service = ObjectRef::new(ServiceView::KIND, &meta.namespace, &meta.name);
        Ok(reader.get_metadata(&service).await?.is_none())
    }
    fn plan(&self, endpoints: &EndpointsView, gone: &bool, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if *gone && !endpoints.metadata.is_deleting() {
            plan.push(Action::delete(endpoints.reference()));
        }
        plan
    }
}

fn is_managed(endpoints: &EndpointsView) -> bool {
    endpoints.metadata.labels.get(MANAGED_BY) == Some(MANAGER)
}

fn gone(change: &Change<ServiceView>, _reader: &Reader, wake: &mut dyn FnMut(Key)) {
    if let (Some(service), None) = (&change.old, &change.new) {
        wake(service.key());
    }
}
