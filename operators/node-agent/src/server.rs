//! The agent's HTTPS server: what the API server, metrics collectors and people ask a node for.
//!
//! Owns: TLS, authentication by client certificate or token, authorization by the API, the kubelet's paths, and the
//! streams of exec, attach and port-forward between clients and the runtime's streaming server. Invariants: nobody is
//! answered without having been authorized, anonymous clients never; what a stream buffers is bounded and a slow side
//! slows the other down; streams end with the server. Deliberately absent: decisions about pods; what is known of them
//! comes from [`PodLookup`].
//! Upstream: `pkg/kubelet/server`.

mod access;
mod authentication;
mod cache;
mod configuration;
mod containers;
mod listener;
mod node_logs;
mod reply;
mod route;
mod streams;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod usage;

use crate::{AgentConfig, stats::Stats};
use access::Authorizer;
use authentication::Authenticator;
use hyper::{Request, Response, body::Incoming};
use k8s_openapi::api::core::v1::Pod;
use proa_meta::User;
use proa_runtime_shim::Runtime;
use reply::{Answer, Body, Refusal};
use route::{Path, Route};
use std::{collections::BTreeMap, io, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What the server is told about the node's pods.
pub(crate) trait PodLookup: Clone + Send + Sync + 'static {
    /// A pod of the node.
    fn pod(&self, namespace: &str, name: &str) -> Option<PodEntry>;
    /// All pods of the node, with the status that the agent last worked out.
    fn pods(&self) -> Vec<Arc<Pod>>;
}

/// A pod and what runs of it.
#[derive(Clone, Debug)]
pub(crate) struct PodEntry {
    /// The pod, with the status that the agent last worked out.
    pub(crate) pod: Arc<Pod>,
    /// Its sandbox, while there is one.
    pub(crate) sandbox: Option<String>,
    /// Its containers that were ever created, by name.
    pub(crate) containers: BTreeMap<String, ContainerEntry>,
}

/// The runs of one container.
#[derive(Clone, Debug, Default)]
pub(crate) struct ContainerEntry {
    /// The latest.
    pub(crate) current: Option<ContainerRun>,
    /// The one before it, while it is kept.
    pub(crate) previous: Option<ContainerRun>,
}

/// One run of a container.
#[derive(Clone, Debug)]
pub(crate) struct ContainerRun {
    /// Its id in the runtime.
    pub(crate) id: String,
    /// Its log.
    pub(crate) log: PathBuf,
    /// Whether it runs now.
    pub(crate) is_running: bool,
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServerError {
    /// Certificates or keys cannot be used.
    #[error("the node agent's serving certificate cannot be used: {0}")]
    Tls(String),
    /// The address cannot be listened on.
    #[error("the node agent cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A server at work.
#[derive(Debug)]
pub(crate) struct Serving {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    tasks: TaskTracker,
}

impl Serving {
    /// Waits until everything has ended after shutdown.
    pub(crate) async fn ended(&self) {
        self.tasks.wait().await;
    }
}

/// What every request is answered from.
struct State<R, P> {
    authenticator: Authenticator,
    authorizer: Authorizer,
    runtime: R,
    pods: P,
    stats: Stats<R>,
    config: AgentConfig,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

/// Listens and serves until `shutdown`.
///
/// # Errors
/// The certificates cannot be used or the address is taken.
pub(crate) async fn serve<R: Runtime>(
    client: kube::Client,
    runtime: R,
    config: AgentConfig,
    pods: impl PodLookup,
    shutdown: CancellationToken,
) -> Result<Serving, ServerError> {
    let tls = tls::server_config(&config.server)?;
    let listen = |source| ServerError::Listen { address: config.server.listen, source };
    let listener = TcpListener::bind(config.server.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let tasks = TaskTracker::new();
    let state = Arc::new(State {
        authenticator: Authenticator::new(client.clone()),
        authorizer: Authorizer::new(client, config.node.clone()),
        stats: Stats::new(runtime.clone(), &config),
        runtime,
        pods,
        config,
        shutdown,
        tasks: tasks.clone(),
    });
    tasks.spawn(listener::accept(listener, tls, state));
    tasks.close();
    Ok(Serving { address, tasks })
}

impl<R: Runtime, P: PodLookup> State<R, P> {
    /// Answers one request of a client that holds the certificate of `holder`.
    async fn answer(self: &Arc<Self>, request: Request<Incoming>, holder: Option<User>) -> Response<Body> {
        self.try_answer(request, holder).await.unwrap_or_else(Refusal::into_response)
    }

    async fn try_answer(self: &Arc<Self>, request: Request<Incoming>, holder: Option<User>) -> Answer {
        let user = self.authenticator.identify(request.headers(), holder).await;
        let user = user.ok_or_else(Refusal::unauthorized)?;
        let path = request.uri().path().to_owned();
        self.authorizer.check(&user, request.method(), &path).await?;
        let route = Route::of(&path).ok_or_else(Refusal::no_such_path)?;
        route.check_method(request.method())?;
        self.carry_out(route, request).await
    }

    async fn carry_out(self: &Arc<Self>, route: Route<'_>, request: Request<Incoming>) -> Answer {
        match route {
            Route::Healthz => Ok(reply::text("ok")),
            Route::Pods => containers::pods(&self.pods),
            Route::Configz => reply::json(&configuration::configz(&self.config)),
            Route::NodeLogs(path) => node_logs::serve(&self.config.pod_logs, path).await,
            Route::Summary => self.summary(&request).await,
            Route::Metrics(which) => self.metrics(which).await,
            Route::ContainerLogs(path) => self.container_logs(&path, &request).await,
            Route::Run(path) => self.run(&path, &request).await,
            Route::Exec(path) => self.exec(&path, request).await,
            Route::Attach(path) => self.attach(&path, request).await,
            Route::PortForward(path) => self.port_forward(&path, request).await,
        }
    }

    /// The pod of a path; a UID in it must be the pod's.
    fn find_pod(&self, path: &Path<'_>) -> Option<PodEntry> {
        let entry = self.pods.pod(path.namespace, path.pod)?;
        let is_same = path.uid.is_none() || path.uid == entry.pod.metadata.uid.as_deref();
        is_same.then_some(entry)
    }
}

/// The parameters of a request, in order.
fn query(request: &Request<Incoming>) -> Vec<(String, String)> {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()).into_owned().collect()
}
