//! The WebServer operator in plain kube-rs: its `Controller`, stores of owned objects, server-side apply, finalizer.

pub mod api;
pub mod build;
pub mod reconcile;
pub mod status;

use api::WebServer;
use futures::StreamExt as _;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service},
    networking::v1::Ingress,
};
use kube::{
    Api, Client, Resource, ResourceExt as _,
    runtime::{
        Controller,
        controller::Action,
        events::Recorder,
        reflector::{ObjectRef, Store},
        watcher,
    },
};
use std::{sync::Arc, time::Duration};

/// Field manager and source of events.
pub const NAME: &str = "webserver-operator";

/// What the operator is told when it starts.
#[derive(Clone, Debug, clap::Args)]
pub struct Settings {
    /// Sites that name no host are NAME.NAMESPACE of this domain
    #[arg(long, default_value = "localhost")]
    pub domain: String,
    /// Image of the pods: anything with busybox's httpd
    #[arg(long, default_value = "busybox:1")]
    pub image: String,
}

/// What every reconcile has.
pub struct Context {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) sites: Store<WebServer>,
    pub(crate) recorder: Recorder,
}

/// Runs it until dropped.
pub async fn run(settings: Settings, client: Client) {
    let all = || Api::<WebServer>::all(client.clone());
    let controller = Controller::new(all(), watcher::Config::default());
    let sites = controller.store();
    let context = Arc::new(Context {
        client: client.clone(),
        settings: settings.clone(),
        sites: sites.clone(),
        recorder: Recorder::new(client.clone(), NAME.to_owned().into()),
    });
    // A host that becomes free is somebody else's now.
    let rivals = move |site: WebServer| {
        let host = site.host(&settings.domain);
        let same = sites.state().into_iter().filter(|other| other.host(&settings.domain) == host);
        same.map(|other| ObjectRef::from_obj(&*other)).collect::<Vec<_>>()
    };
    let any = watcher::Config::default;
    let controller = controller
        .watches(all(), any(), rivals)
        .watches(Api::<ConfigMap>::all(client.clone()), any(), named)
        .watches(Api::<Deployment>::all(client.clone()), any(), named)
        .watches(Api::<Service>::all(client.clone()), any(), named)
        .watches(Api::<Ingress>::all(client.clone()), any(), named);
    let again =
        |site: Arc<WebServer>, error: &kube::runtime::finalizer::Error<kube::Error>, _: Arc<Context>| {
            tracing::warn!(site = site.name_any(), %error, "reconcile failed");
            Action::requeue(Duration::from_secs(1))
        };
    controller.run(reconcile::reconcile, again, context).for_each(|_| async {}).await;
}

/// The site of an object's name, whether it owns the object or somebody else does. `owns` would only tell of the former.
fn named<K: Resource>(object: K) -> Option<ObjectRef<WebServer>> {
    Some(ObjectRef::new(&object.name_any()).within(&object.namespace()?))
}
