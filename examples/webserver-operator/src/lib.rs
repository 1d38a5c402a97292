//! The WebServer operator: a page in, a running site out.
//!
//! Owns: a ConfigMap with the page, a Deployment that serves it, a Service and an Ingress, all named as the WebServer; its
//! status. Guarantees: nothing of others is touched, whatever its name; of two WebServers with one host the older has it;
//! a deleted one leaves the Ingress first, so that nobody is led to pods that are gone.

pub mod api;
pub mod build;
pub mod manifests;
pub mod observe;
pub mod plan;
pub mod status;

use api::WebServerView;
use observe::Observed;
use proa_kit::{Client, Error, Operator, Plan, Reader, RunConfig, Timestamp, Typed, View, Watch, Write};
use std::sync::Arc;

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

/// The operator.
#[derive(Debug)]
pub struct WebServerOperator(pub Arc<Settings>);

impl Operator for WebServerOperator {
    const NAME: &'static str = "webserver-operator";
    type Object = WebServerView;
    type Observed = Observed;

    fn watches(&self) -> Vec<Watch> {
        let settings = self.0.clone();
        let sites =
            Watch::primary::<WebServerView>().index(observe::HOST).also(move |change, reader, wake| {
                // A host that becomes free is somebody else's now.
                for site in change.both() {
                    observe::rivals(reader, site, &settings).iter().for_each(|rival| wake(rival.key()));
                }
            });
        let children = build::KINDS.iter().cloned().map(|kind| {
            // Also those of others: the name becomes free with them.
            let named = Watch::children::<WebServerView>(kind);
            named.also(|change, _, wake| change.both().for_each(|object| wake(object.key()))).into()
        });
        std::iter::once(sites.into()).chain(children).collect()
    }
    fn writes(&self) -> Vec<Write> {
        let children = build::KINDS.iter().map(|kind| Write::to(kind, &["create", "patch", "delete"]));
        let own = [
            Write::to(&WebServerView::KIND, &["patch"]),
            Write::sub(&WebServerView::KIND, "status", &["patch"]),
        ];
        children.chain(own).collect()
    }
    async fn observe(&self, reader: &Reader, site: &Arc<WebServerView>) -> Result<Observed, Error> {
        Ok(observe::observe(reader, site, &self.0))
    }
    fn plan(&self, site: &WebServerView, observed: &Observed, now: Timestamp) -> Plan {
        plan::plan(site, observed, &self.0, now)
    }
}

/// Runs it until shutdown.
pub async fn run(settings: Settings, client: Client, config: RunConfig) {
    proa_kit::run(WebServerOperator(Arc::new(settings)), client, config).await;
}
