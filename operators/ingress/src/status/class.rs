//! The class `proa`: made when it is not there, and the default one unless there is another. After that it is its owners'.

use crate::index::class::CLASS;
use proa_kit::{
    Action, Error, Key, Operator, Plan, Reader, Timestamp, Typed, Watch, Write,
    views::{
        IngressClassView, NamespaceView,
        ingress_class::{CONTROLLER, IS_DEFAULT},
    },
};
use serde_json::json;
use std::sync::Arc;

/// A namespace that is always there, so that something is looked at when there is no class.
const ANCHOR: &str = "kube-system";

/// Makes the class.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClassMaker;

impl Operator for ClassMaker {
    const NAME: &'static str = "ingress-class-controller";
    type Object = NamespaceView;
    type Observed = Vec<Arc<IngressClassView>>;

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::primary::<NamespaceView>().into(),
            Watch::mapped::<IngressClassView>(|_, _, wake| wake(Key::new("", ANCHOR))).into(),
        ]
    }
    fn writes(&self) -> Vec<Write> {
        vec![Write::to(&IngressClassView::KIND, &["create"])]
    }
    async fn observe(&self, reader: &Reader, _: &Arc<NamespaceView>) -> Result<Self::Observed, Error> {
        Ok(reader.cache::<IngressClassView>().list())
    }
    fn plan(&self, namespace: &NamespaceView, classes: &Self::Observed, _now: Timestamp) -> Plan {
        let mut plan = Plan::default();
        if &*namespace.metadata.name == ANCHOR && !classes.iter().any(|class| &*class.metadata.name == CLASS)
        {
            plan.push(create(classes));
        }
        plan
    }
}

/// The class, the default one when there is no other.
pub fn create(classes: &[Arc<IngressClassView>]) -> Action {
    let mut class = json!({"metadata": {"name": CLASS}, "spec": {"controller": CONTROLLER}});
    if !classes.iter().any(|class| class.is_default()) {
        class["metadata"]["annotations"] = json!({IS_DEFAULT: "true"});
    }
    Action::create(IngressClassView::KIND, "", class)
}
