//! The ingress operator: HTTP and HTTPS from outside to pods, as Ingress objects say.
//!
//! Owns: the ports for HTTP and HTTPS of every node, the IngressClass `proa`, `status.loadBalancer` of its ingresses, and
//! events about what of an ingress cannot be done. Two parts: [`Ingress`] runs on every node, watches ingresses, classes,
//! services, slices and secrets of type `kubernetes.io/tls`, and projects them into a table in memory that a server on
//! hyper reads without a lock; [`run`] runs once in a cluster, makes the class and tells of problems.
//! Guarantees: nothing listens while there is no ingress of a class of this controller; the table changes under running
//! connections, and a request is served by one state of it from its first to its last byte; bodies are passed on as they
//! come, both ways; requests go to ready pods themselves, not through the service's address. A port that another program has
//! is told of by a log line and an event, and is tried again, while the rest goes on.
//! Where the API leaves a choice it is ingress-nginx's, and the annotations are its own: see `render/options.rs`.
//! Deliberately absent: reading secrets by name (an operator's watches are declared before it knows of any ingress, so all
//! certificates are watched), access logs, HTTP/3, TCP services, WebSocket inside HTTP/2, snippets of nginx's language.
//! Upstream: networking/v1 Ingress; kubernetes/ingress-nginx.

pub mod index;
pub mod render;
mod sink;
pub mod status;

pub use sink::{PortState, Ports};

use index::{
    Index, Subject,
    views::{IngressView, TlsSecretView},
};
use proa_kit::{
    CachePool, Change, Client, Operator, RunConfig, Typed, Watch,
    project::{Dirty, Feed, Projection, feed, project},
    rbac::rbac_rules,
    views::{EndpointSliceView, IngressClassView, ServiceView},
};
use serde_json::Value;
use sink::Served;
use status::{Checker, address, address::Announcer, class::ClassMaker, tls_secrets};
use std::{
    io,
    net::{IpAddr, SocketAddr},
};

/// What a node's part is told.
#[derive(Clone, Debug)]
pub struct IngressConfig {
    /// Name of the node.
    pub node: String,
    /// Address that ingresses of this node show.
    pub address: IpAddr,
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where HTTPS is served.
    pub https: SocketAddr,
}

/// The projection of ingresses into routes.
#[derive(Clone, Copy, Debug, Default)]
struct Projector;

impl Projection for Projector {
    const NAME: &'static str = "ingress";
    type Index = Index;
    type Key = Subject;
    type Change = render::Change;

    fn index(&self) -> Index {
        Index::default()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Index, Subject>>> {
        let ingress = |index: &mut Index, change: &Change<IngressView>, dirty: &mut Dirty<Subject>| {
            index.ingress(change, dirty);
        };
        let class = |index: &mut Index, change: &Change<IngressClassView>, dirty: &mut Dirty<Subject>| {
            index.class(change, dirty);
        };
        let service = |index: &mut Index, change: &Change<ServiceView>, dirty: &mut Dirty<Subject>| {
            index.service(change, dirty);
        };
        let slice = |index: &mut Index, change: &Change<EndpointSliceView>, dirty: &mut Dirty<Subject>| {
            index.slice(change, dirty);
        };
        let secret = |index: &mut Index, change: &Change<TlsSecretView>, dirty: &mut Dirty<Subject>| {
            index.secret(change, dirty);
        };
        vec![
            feed(IngressClassView::KIND, class).into(),
            feed(IngressView::KIND, ingress).into(),
            feed(ServiceView::KIND, service).into(),
            feed(EndpointSliceView::KIND, slice).into(),
            feed(TlsSecretView::KIND, secret).only(tls_secrets()).into(),
        ]
    }
    fn render(&self, index: &Index, dirty: &Dirty<Subject>) -> render::Change {
        render::render(index, dirty)
    }
}

/// RBAC rules of a node's part.
pub fn node_rules() -> Value {
    let (feeds, watches) = (Projector.feeds(), address::watches());
    let watched = feeds.iter().map(Watch::watched).chain(watches.iter().map(Watch::watched));
    rbac_rules(watched, &[], &address::writes())
}

/// RBAC rules of the part that runs once.
pub fn rules() -> Value {
    let (checks, classes) = (Checker.watches(), ClassMaker.watches());
    let watched = checks.iter().chain(&classes).map(Watch::watched);
    rbac_rules(watched, &[], &ClassMaker.writes())
}

/// Runs the part that there is once in a cluster, until shutdown.
pub async fn run(client: Client, mut config: RunConfig) {
    config.caches.get_or_insert_with(|| CachePool::own(client.clone()));
    let checks = proa_kit::run(Checker, client.clone(), config.clone());
    let class = proa_kit::run(ClassMaker, client, config);
    futures::join!(checks, class);
}

/// A node's part.
pub struct Ingress {
    node: Box<str>,
    address: IpAddr,
    served: Served,
    ports: Ports,
    server: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Ingress {
    /// Prepares it. Nothing is listened on yet.
    ///
    /// # Errors
    /// The default certificate cannot be made.
    pub fn new(config: &IngressConfig, run: &RunConfig) -> io::Result<Self> {
        let (served, ports, server) = sink::server(config.http, config.https, &run.shutdown)?;
        Ok(Self {
            node: config.node.as_str().into(),
            address: config.address,
            served,
            ports,
            server: Box::pin(server),
        })
    }
    /// What becomes of its ports.
    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }
    /// Serves until shutdown.
    pub async fn run(self, client: Client, mut config: RunConfig) {
        config.caches.get_or_insert_with(|| CachePool::own(client.clone()));
        let routes = project(Projector, self.served, client.clone(), config.clone());
        let addresses = announce(self.node, self.address, self.ports, client, config);
        // The server outlives the others for the time that it needs to end connections.
        futures::join!(self.server, routes, addresses);
    }
}

/// Keeps this node's address in the status of ingresses, by what its ports are now.
async fn announce(node: Box<str>, address: IpAddr, mut ports: Ports, client: Client, config: RunConfig) {
    loop {
        let states = [ports.http.borrow_and_update().clone(), ports.https.borrow_and_update().clone()];
        let is_settled = states.iter().all(|state| *state != PortState::Closed);
        let announcer = Announcer { node: node.clone(), address, ports: states };
        let announcing = async {
            if is_settled {
                proa_kit::run(announcer, client.clone(), config.clone()).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let ended = tokio::select! {
            () = announcing => true,
            changed = ports.http.changed() => changed.is_err(),
            changed = ports.https.changed() => changed.is_err(),
            () = config.shutdown.cancelled() => true,
        };
        if ended {
            return;
        }
    }
}
