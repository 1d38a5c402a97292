//! DNS of the cluster: names of services, endpoints and pods, answered by every node from its own memory.
//!
//! Owns: the answers of one node, the service `kube-system/kube-dns` and this node's slice `kube-dns-NODE`.
//! Watches services, endpoint slices and namespaces; the index keeps what names depend on, `render` turns it into
//! entries, the sink publishes them as one table that the server reads without a lock.
//! Guarantees: the server runs on a thread of its own and answers from the last table, whatever becomes of the half that
//! watches; before the first table it answers `SERVFAIL`, never `NXDOMAIN`. Names outside the cluster go to the
//! host's name servers.
//! Deliberately absent: search lists (the clients'), DNSSEC, zone transfers, federation, records of pods beyond their
//! dashed addresses, which need no watch of pods.
//! Upstream: Kubernetes DNS specification 1.1 (kubernetes/dns docs/specification.md); where that leaves a choice,
//! CoreDNS plugin/kubernetes.

mod index;
mod render;
mod sink;
pub mod status;

use futures::FutureExt;
use index::{Index, Row};
use proa_kit::{
    CachePool, Change, Client, RunConfig, Typed, Watch, backoff,
    project::{Dirty, Feed, Projection, feed, project},
    rbac::rbac_rules,
    views::{EndpointSliceView, NamespaceView, ServiceView},
};
use serde_json::Value;
use sink::{Names, Server, Upstreams, Zone};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::Arc,
};
use tokio_util::sync::CancellationToken;

/// What a node's DNS is told.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Name of the node.
    pub node: String,
    /// Addresses to serve, by UDP and TCP. They need not be there yet. The first that is no loopback address is published
    /// as this node's endpoint.
    pub listen: Vec<SocketAddr>,
    /// Domain of the cluster.
    pub domain: String,
    /// Address of the service `kube-dns`.
    pub service_ip: IpAddr,
    /// Networks of services and pods, whose reverse names are answered here: address and prefix length.
    pub reverse: Vec<(IpAddr, u8)>,
    /// File that names the servers for everything outside the cluster; read again when it changes.
    pub resolv_conf: PathBuf,
    /// Seconds that clients may keep an answer, or that there is none.
    pub ttl: u32,
}

impl DnsConfig {
    /// A node's DNS with the usual domain, networks and TTL.
    pub fn new(node: &str, listen: Vec<SocketAddr>) -> Self {
        Self {
            node: node.to_owned(),
            listen,
            domain: "cluster.local".to_owned(),
            service_ip: [10, 96, 0, 10].into(),
            reverse: vec![([10, 96, 0, 0].into(), 12), ([10, 244, 0, 0].into(), 16)],
            resolv_conf: "/etc/resolv.conf".into(),
            ttl: 5,
        }
    }
}

/// Why there is no DNS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The domain is no name.
    #[error("domain {domain:?} cannot be served: {why}")]
    Domain {
        /// What was given.
        domain: String,
        /// What is wrong with it.
        why: String,
    },
    /// A prefix that is longer than its address.
    #[error("network {address}/{prefix} has no reverse names: the prefix is too long")]
    Network {
        /// Address.
        address: IpAddr,
        /// Prefix length.
        prefix: u8,
    },
    /// No address to listen on.
    #[error("no address to listen on was given")]
    NoAddress,
    /// An address cannot be had.
    #[error("listen on {address} for DNS: {source}")]
    Listen {
        /// Address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The thread of the server did not start.
    #[error("start the DNS server: {0}")]
    Start(#[source] io::Error),
}

/// The projection of services, slices and namespaces into names.
#[derive(Clone, Copy, Debug, Default)]
struct Projector;

impl Projection for Projector {
    const NAME: &'static str = "dns";
    type Index = Index;
    type Key = Row;
    type Change = render::Change;

    fn index(&self) -> Index {
        Index::default()
    }
    fn feeds(&self) -> Vec<Watch<Feed<Index, Row>>> {
        let service = |index: &mut Index, change: &Change<ServiceView>, dirty: &mut Dirty<Row>| {
            index.service(change, dirty);
        };
        let slice = |index: &mut Index, change: &Change<EndpointSliceView>, dirty: &mut Dirty<Row>| {
            index.slice(change, dirty);
        };
        let namespace = |index: &mut Index, change: &Change<NamespaceView>, dirty: &mut Dirty<Row>| {
            index.namespace(change, dirty);
        };
        vec![
            feed(ServiceView::KIND, service).into(),
            feed(EndpointSliceView::KIND, slice).into(),
            feed(NamespaceView::KIND, namespace).into(),
        ]
    }
    fn render(&self, index: &Index, dirty: &Dirty<Row>) -> render::Change {
        render::change(index, dirty)
    }
}

/// RBAC rules that follow from its declared watches and writes.
pub fn rules() -> Value {
    let (feeds, watches) = (Projector.feeds(), status::watches(""));
    let watched = feeds.iter().map(Watch::watched).chain(watches.iter().map(Watch::watched));
    rbac_rules(watched, &[], &status::writes())
}

/// A node's DNS that listens and answers; it ends when dropped.
#[derive(Debug)]
pub struct Dns {
    node: String,
    service_ip: IpAddr,
    names: Names,
    server: Server,
}

impl Dns {
    /// Starts to answer: names outside the cluster at once, those of the cluster when [`Dns::run`] has read them.
    ///
    /// # Errors
    /// The configuration cannot be served, or an address cannot be had.
    pub fn bind(config: &DnsConfig) -> Result<Self, Error> {
        let zone = Arc::new(Zone::new(config)?);
        let names = Names::default();
        let service = SocketAddr::new(config.service_ip, status::PORT);
        let own = config.listen.iter().copied().chain([service]).collect();
        let upstreams = Upstreams::new(config.resolv_conf.clone(), own);
        let server = Server::start(&config.listen, zone, names.clone(), upstreams)?;
        Ok(Self { node: config.node.clone(), service_ip: config.service_ip, names, server })
    }
    /// The addresses that are served; ports that were left open are filled in.
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }
    /// Keeps the names up to date and this node's endpoint published, until shutdown. A failure inside is logged and the
    /// part that failed starts again, while the server goes on with what it knows.
    pub async fn run(self, client: Client, mut config: RunConfig) {
        config.caches.get_or_insert_with(|| CachePool::own(client.clone()));
        let address = self.addresses().iter().find(|address| !address.ip().is_loopback());
        let announcer = status::Announcer {
            node: self.node.clone(),
            service_ip: self.service_ip,
            address: address.copied(),
        };
        let names = || project(Projector, self.names.clone(), client.clone(), config.clone());
        let announce = || proa_kit::run(announcer.clone(), client.clone(), config.clone());
        futures::join!(keep("names", names, &config.shutdown), keep("endpoint", announce, &config.shutdown));
    }
}

/// Runs what `start` gives, again after a panic, until it returns.
async fn keep<F: Future<Output = ()>>(part: &str, start: impl Fn() -> F, shutdown: &CancellationToken) {
    let mut failures = 0;
    while AssertUnwindSafe(start()).catch_unwind().await.is_err() {
        failures += 1;
        tracing::error!(part, failures, "a part of DNS failed and starts again; answers go on");
        let pause = tokio::time::sleep(backoff::delay(failures + 6));
        tokio::select! {
            () = pause => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Serves DNS until shutdown. An address that another process holds is waited for.
///
/// # Errors
/// The configuration cannot be served.
pub async fn run(client: Client, run: RunConfig, config: DnsConfig) -> Result<(), Error> {
    let mut failures = 0;
    loop {
        let error = match Dns::bind(&config) {
            Ok(dns) => {
                dns.run(client, run).await;
                return Ok(());
            }
            Err(error @ Error::Listen { .. }) => error,
            Err(error) => return Err(error),
        };
        failures += 1;
        tracing::warn!(%error, failures, "DNS does not listen; will try again");
        tokio::select! {
            () = tokio::time::sleep(backoff::delay(failures + 6)) => {}
            () = run.shutdown.cancelled() => return Ok(()),
        }
    }
}
