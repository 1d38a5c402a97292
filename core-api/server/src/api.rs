//! The seam: one request in, one response out, without a socket.
//!
//! Owns: [`Request`], [`Response`], [`Api`] and what it is built from. Invariants: [`Api::call`] answers every request,
//! whatever it holds, with a response (a panic becomes a 500 `Status`); its future is `Send`; dropping a response's
//! stream ends what feeds it; [`Caller::InProcess`] can only be built by code of the same process, never by a header.
//! Deliberately absent: sockets, TLS, any HTTP library (the `http` crate is vocabulary only). Nothing here spawns on
//! the calling thread's runtime: callers may be current-thread runtimes, so background work goes to
//! [`ApiConfig::runtime`].

use crate::{
    aggregation::{Aggregate, Outline},
    audit::AuditLog,
    authn::{self, Anonymous, Authenticator, RequestHeaders},
    connect::Connectors,
    discovery, filters,
    flow::Flows,
    health::Health,
    metrics::Metrics,
    openapi::{self, SchemaDocs},
    upgrade::{Switch, Tunnel},
    version::VersionInfo,
};
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, Method, StatusCode, Uri};
use jiff::Timestamp;
use proa_meta::{ApiError, User};
use proa_registry::{Authorizer, registry::Registry};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// A request, whoever carried it here.
pub struct Request {
    /// HTTP method.
    pub method: Method,
    /// Path and query; an authority is ignored.
    pub uri: Uri,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body; whoever carries it has bounded it to [`Limits::body_bytes`].
    pub body: Bytes,
    /// Where it comes from.
    pub caller: Caller,
    /// Whether [`Body::Upgrade`] is a possible answer.
    pub switch: Switch,
}

impl Request {
    /// The request, for whoever answers it as it came; what the filters still need of it stays.
    pub(crate) fn take(&mut self) -> Self {
        Self {
            method: self.method.clone(),
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            body: std::mem::take(&mut self.body),
            caller: self.caller.clone(),
            switch: self.switch,
        }
    }
}

/// Who is asking, as far as the transport knows.
#[derive(Clone, Debug)]
pub enum Caller {
    /// Code in this process, with an identity that it was given at start.
    InProcess(Arc<User>),
    /// A connection; authentication finds out who it is.
    Network(Peer),
}

/// The other end of a connection. Cheap to clone; one per connection, so that its certificate is read once.
#[derive(Clone, Debug)]
pub struct Peer(Arc<PeerState>);

#[derive(Debug)]
struct PeerState {
    address: SocketAddr,
    certificates: Vec<Bytes>,
    front_proxy: Option<String>,
    /// The last second of the chain.
    end: i64,
    user: OnceLock<Option<Arc<User>>>,
}

impl Peer {
    /// `certificates` is the client's chain (DER, leaf first), already verified against the client CA.
    pub fn new(address: SocketAddr, certificates: Vec<Bytes>) -> Self {
        let now = Timestamp::now().as_second();
        let end = if certificates.is_empty() { i64::MAX } else { authn::end(&certificates, now) };
        Self(Arc::new(PeerState { address, certificates, front_proxy: None, end, user: OnceLock::new() }))
    }
    /// The same for a client whose `chain` (DER, leaf first) was verified against the authority of front proxies.
    /// `certificates` stay empty unless the client CA vouches for them, too.
    pub fn front(address: SocketAddr, certificates: Vec<Bytes>, chain: &[impl AsRef<[u8]>]) -> Self {
        let name = chain.first().and_then(|leaf| authn::common_name(leaf.as_ref()));
        let front_proxy = Some(name.unwrap_or_default());
        let end = authn::end(chain, Timestamp::now().as_second());
        Self(Arc::new(PeerState { address, certificates, front_proxy, end, user: OnceLock::new() }))
    }
    /// Whether the client's chain, valid when it connected, is so no longer.
    pub(crate) fn is_over(&self, now: Timestamp) -> bool {
        now.as_second() > self.0.end
    }
    /// The common name of a front proxy's certificate; none of any other client.
    pub fn front_proxy(&self) -> Option<&str> {
        self.0.front_proxy.as_deref()
    }
    /// Remote address.
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
    /// Verified client certificate chain, leaf first; empty without one.
    pub fn certificates(&self) -> &[Bytes] {
        &self.0.certificates
    }
    /// What `read` makes of the leaf certificate, read once per connection.
    pub(crate) fn user_or_read(&self, read: fn(&[u8]) -> Option<User>) -> Option<Arc<User>> {
        let leaf = self.0.certificates.first()?;
        self.0.user.get_or_init(|| read(leaf).map(Arc::new)).clone()
    }
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers; a content length only where the body is a stream of known length, else whoever carries it knows.
    pub headers: HeaderMap,
    /// Body.
    pub body: Body,
}

/// A response's body.
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// All of it, in pieces that share memory with the store.
    Chunks(Vec<Bytes>),
    /// What comes over time (watches). Each item is to be sent at once; dropping it ends the watch.
    Stream(BoxStream<'static, Result<Bytes, ApiError>>),
    /// Nothing: the status is 101, and the connection belongs to the tunnel as soon as the head is sent. Only for
    /// requests whose `switch` is [`Switch::Offered`].
    Upgrade(Tunnel),
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::Chunks(chunks) => write!(f, "Chunks({})", chunks.len()),
            Self::Stream(_) => f.write_str("Stream"),
            Self::Upgrade(_) => f.write_str("Upgrade"),
        }
    }
}

impl Body {
    /// Nothing.
    pub const fn empty() -> Self {
        Self::Whole(Bytes::new())
    }
    /// Bytes of a body that is not a stream; `None` for a stream and for an upgrade.
    pub fn size(&self) -> Option<usize> {
        match self {
            Self::Whole(bytes) => Some(bytes.len()),
            Self::Chunks(chunks) => Some(chunks.iter().map(Bytes::len).sum()),
            Self::Stream(_) | Self::Upgrade(_) => None,
        }
    }
}

/// Bounds of what one server takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest request body.
    pub body_bytes: usize,
    /// How long a request may take that is not a watch.
    pub timeout: Duration,
    /// Shortest time after which a watch without `timeoutSeconds` ends; it lasts up to twice as long.
    pub min_watch: Duration,
    /// Reading requests at once.
    pub read_in_flight: usize,
    /// Writing requests at once.
    pub write_in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 3 * 1024 * 1024,
            timeout: Duration::from_secs(60),
            min_watch: Duration::from_secs(1800),
            read_in_flight: 400,
            write_in_flight: 200,
        }
    }
}

/// What an [`Api`] is built from.
pub struct ApiConfig {
    /// The objects.
    pub registry: Arc<Registry>,
    /// Who may do what.
    pub authorizer: Arc<dyn Authorizer>,
    /// Who is who: asked in order, the first that knows decides; anonymous when none does.
    pub authenticators: Vec<Arc<dyn Authenticator>>,
    /// Which requests without credentials are `system:anonymous` instead of 401.
    pub anonymous: Anonymous,
    /// The headers of front proxies; none: nobody's word is taken for a user.
    pub request_headers: Option<Arc<RequestHeaders>>,
    /// Where background work runs.
    pub runtime: tokio::runtime::Handle,
    /// What `/version` says.
    pub version: VersionInfo,
    /// Schemas and descriptions of built-in types.
    pub docs: Arc<dyn SchemaDocs>,
    /// Bounds.
    pub limits: Limits,
    /// Subresources that answer with streams or other content than objects (logs, proxies).
    pub connectors: Connectors,
    /// Who asks the API servers that answer for other groups; none: there are no others.
    pub aggregation: Option<Arc<dyn Aggregate>>,
    /// Where audit events go; none: nothing is audited.
    pub audit: Option<Arc<AuditLog>>,
    /// What `/readyz`, `/livez` and `/healthz` look at.
    pub health: Health,
    /// Further plain paths, such as `/openid/v1/jwks`.
    pub documents: BTreeMap<String, Document>,
    /// `host:port` under which clients reach the server, for `/api`.
    pub public_address: String,
}

/// Makes the answer of a plain path.
pub type Document = Arc<dyn Fn() -> Response + Send + Sync>;

impl ApiConfig {
    /// The smallest configuration; fields may be changed afterwards.
    pub fn new(
        registry: Arc<Registry>,
        authorizer: Arc<dyn Authorizer>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self {
            registry,
            authorizer,
            authenticators: Vec::new(),
            anonymous: Anonymous::Everywhere,
            request_headers: None,
            runtime,
            version: VersionInfo::default(),
            docs: Arc::new(openapi::NoDocs),
            limits: Limits::default(),
            connectors: Connectors::default(),
            aggregation: None,
            audit: None,
            health: Health::default(),
            documents: BTreeMap::new(),
            public_address: String::from("127.0.0.1:6443"),
        }
    }
}

/// The API server. Cheap to clone.
#[derive(Clone)]
pub struct Api(pub(crate) Arc<Server>);

/// What all requests share.
pub(crate) struct Server {
    pub(crate) config: ApiConfig,
    pub(crate) metrics: Metrics,
    pub(crate) flows: Flows,
    pub(crate) discovery: discovery::Cache,
    pub(crate) openapi: openapi::Cache,
}

impl Server {
    /// What other servers answer for, and the order of all groups.
    pub(crate) fn outline(&self) -> Option<Arc<Outline>> {
        self.config.aggregation.as_ref().map(|aggregation| aggregation.outline())
    }
}

impl Api {
    /// A server over a registry.
    pub fn new(config: ApiConfig) -> Self {
        Self(Arc::new(Server {
            metrics: Metrics::default(),
            flows: Flows::new(&config.limits),
            discovery: discovery::Cache::default(),
            openapi: openapi::Cache::default(),
            config,
        }))
    }
    /// Answers one request.
    ///
    /// Flow: the filters in upstream's order, then the handler. Guarantees: an answer to every request. Assumptions:
    /// called inside a tokio runtime with a timer; the body is bounded.
    pub async fn call(&self, request: Request) -> Response {
        filters::run(&self.0, request).await
    }
    /// Takes priorities and limits of requests from the FlowSchemas and PriorityLevelConfigurations of the registry.
    pub fn load_priorities(&self) {
        self.0.flows.load(&self.0.config.registry);
    }
    /// Keeps them as the objects are, and has levels lend each other seats, until the future is dropped.
    pub async fn follow_priorities(self) {
        self.0.flows.run(Arc::downgrade(&self.0.config.registry)).await;
    }
    /// The registry behind it.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.0.config.registry
    }
    /// Bounds, for whoever carries requests here.
    pub fn limits(&self) -> &Limits {
        &self.0.config.limits
    }
    /// What the health endpoints look at.
    pub fn health(&self) -> &Health {
        &self.0.config.health
    }
}
