//! The decision: what is missing in a namespace. Pure.

use crate::observe::{ACCOUNT, BUNDLE, BundleView, Observed};
use proa_kit::{
    Action, Plan, Typed,
    views::{NamespaceView, ServiceAccountView},
};
use serde_json::json;

const DESCRIPTION: &str = "kubernetes.io/description";
/// What clients find in the annotation, word for word.
const DESCRIPTION_TEXT: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";
const CERTIFICATES: &str = "ca.crt";

/// The plan for one namespace.
pub fn plan(namespace: &NamespaceView, observed: &Observed) -> Plan {
    let mut plan = Plan::default();
    if namespace.metadata.is_deleting() || &*namespace.status.phase == "Terminating" {
        return plan;
    }
    let name = &namespace.metadata.name;
    let mut missing = Vec::new();
    if !observed.has_account {
        let account = json!({"metadata": {"name": ACCOUNT, "namespace": name}});
        missing.push(Action::create(ServiceAccountView::KIND, name, account));
    }
    if let Some(authority) = &observed.authority {
        missing.extend(bundle(name, observed.bundle.as_deref(), authority));
    }
    // At once, since neither needs the other.
    if !missing.is_empty() {
        plan.push(Action::parallel(missing));
    }
    plan
}

fn bundle(namespace: &str, current: Option<&BundleView>, authority: &str) -> Option<Action> {
    let Some(current) = current else {
        let object = json!({
            "metadata": {"name": BUNDLE, "namespace": namespace, "annotations": {DESCRIPTION: DESCRIPTION_TEXT}},
            "data": {CERTIFICATES: authority},
        });
        return Some(Action::create(BundleView::KIND, namespace, object));
    };
    let described = current.metadata.annotations.get(DESCRIPTION).is_some_and(|text| !text.is_empty());
    let is_right = current.data.len() == 1 && current.data.get(CERTIFICATES) == Some(authority);
    if described && is_right {
        return None;
    }
    let mut data = json!({CERTIFICATES: authority});
    for (key, _) in current.data.iter().filter(|(key, _)| *key != CERTIFICATES) {
        data[key] = json!(null);
    }
    let patch = json!({"metadata": {"annotations": {DESCRIPTION: DESCRIPTION_TEXT}}, "data": data});
    Some(Action::merge(current.reference().at(current.metadata.resource_version), patch))
}
