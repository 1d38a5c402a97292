//! The service account operator: what every namespace holds from the start.
//!
//! Owns: the service account `default` and the config map `kube-root-ca.crt` of every namespace that is not going; both
//! come back when they are deleted, and the config map when it is changed. The certificate authority is the one that the
//! API server publishes in `kube-system/extension-apiserver-authentication`; until it is there only service accounts are
//! made. Deliberately absent: tokens, which the API server signs on request.
//! Upstream: pkg/controller/serviceaccount/serviceaccounts_controller.go,
//! pkg/controller/certificates/rootcacertpublisher/publisher.go.

pub mod observe;
pub mod plan;

use observe::{Authority, BundleView, Observed};
use proa_kit::{
    Change, Client, Error, Key, Operator, Plan, Reader, RunConfig, Timestamp, Typed, View, Watch, Write,
    operator::operator_rules,
    views::{ConfigMapView, NamespaceView, ServiceAccountView},
};
use serde_json::Value;
use std::sync::Arc;

/// The operator.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceAccountOperator;

impl Operator for ServiceAccountOperator {
    const NAME: &'static str = "service-account-controller";
    type Object = NamespaceView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<NamespaceView>().into(),
            Watch::mapped::<ServiceAccountView>(namespace_of).only(observe::account_filter()).into(),
            Watch::mapped::<BundleView>(namespace_of).only(observe::bundle_filter()).into(),
            Watch::mapped::<Authority>(every_namespace).only(observe::authority_filter()).into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![
            Write::to(&ServiceAccountView::KIND, &["create"]),
            Write::to(&ConfigMapView::KIND, &["create", "patch"]).named(&[observe::BUNDLE]),
        ]
    }
    async fn observe(&self, reader: &Reader, namespace: &Arc<NamespaceView>) -> Result<Observed, Error> {
        Ok(observe::observe(reader, &namespace.metadata.name))
    }
    fn plan(&self, namespace: &NamespaceView, observed: &Observed, _now: Timestamp) -> Plan {
        plan::plan(namespace, observed)
    }
}

fn namespace_of<V: View>(change: &Change<V>, _reader: &Reader, wake: &mut dyn FnMut(Key)) {
    if let Some(object) = change.latest() {
        wake(Key::new("", &object.meta().namespace));
    }
}

fn every_namespace(_change: &Change<Authority>, reader: &Reader, wake: &mut dyn FnMut(Key)) {
    reader.cache::<NamespaceView>().list().iter().for_each(|namespace| wake(namespace.key()));
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    operator_rules(&ServiceAccountOperator)
}

/// Runs it until shutdown.
pub async fn run(client: Client, config: RunConfig) {
    proa_kit::run(ServiceAccountOperator, client, config).await;
}
