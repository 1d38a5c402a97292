//! What load balancers ask a node: whether it has endpoints of a service of its own (`healthCheckNodePort`).
//!
//! Answers every path with 200 when it has, else with 503. A port that cannot be listened on is tried again with the next
//! change of the service. Upstream: pkg/proxy/healthcheck/service_health.go.

use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proa_kit::Key;
use serde_json::json;
use std::{
    collections::HashMap,
    convert::Infallible,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpListener, task::AbortHandle};

/// What a health check port tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// The port.
    pub port: u16,
    /// Endpoints on this node that are ready.
    pub endpoints: usize,
}

/// The servers of a node.
#[derive(Debug, Default)]
pub struct HealthChecks {
    servers: HashMap<Key, Server>,
    is_stale: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Server {
    port: u16,
    endpoints: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What one server answers.
#[derive(Clone, Debug)]
struct Answer {
    service: Key,
    endpoints: Arc<AtomicUsize>,
    is_stale: Arc<AtomicBool>,
}

impl HealthChecks {
    /// Tells whether the table is up to date; balancers keep away from nodes where it is not.
    pub fn table_is_current(&self, is: bool) {
        self.is_stale.store(!is, Ordering::Relaxed);
    }
    /// Ends the servers of services that are not among these.
    pub fn retain(&mut self, keep: impl Fn(&Key) -> bool) {
        self.servers.retain(|service, _| keep(service));
    }
    /// Serves a service's port, or ends it.
    pub async fn set(&mut self, service: &Key, health: Option<Health>) {
        let Some(Health { port, endpoints }) = health else {
            self.servers.remove(service);
            return;
        };
        match self.servers.get(service).filter(|server| server.port == port) {
            Some(server) => server.endpoints.store(endpoints, Ordering::Relaxed),
            None => self.start(service, port, endpoints).await,
        }
    }

    async fn start(&mut self, service: &Key, port: u16, endpoints: usize) {
        self.servers.remove(service);
        let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(%service, port, %error, "health check port of a service cannot be served");
                return;
            }
        };
        let endpoints = Arc::new(AtomicUsize::new(endpoints));
        let answer = Answer {
            service: service.clone(),
            endpoints: endpoints.clone(),
            is_stale: self.is_stale.clone(),
        };
        let task = tokio::spawn(serve(listener, answer)).abort_handle();
        self.servers.insert(service.clone(), Server { port, endpoints, task });
    }
}

/// Connections end with the listener: their tasks are part of this one.
async fn serve(listener: TcpListener, answer: Answer) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let answer = answer.clone();
                    let respond = service_fn(move |_| {
                        let response = answer.response();
                        async move { Ok::<_, Infallible>(response) }
                    });
                    connections.spawn(async move {
                        let served = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), respond).await;
                        if let Err(error) = served {
                            tracing::debug!(%error, "health check");
                        }
                    });
                }
                Err(error) => tracing::warn!(%error, "accept health check"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Answer {
    fn response(&self) -> Response<Full<Bytes>> {
        let endpoints = self.endpoints.load(Ordering::Relaxed);
        let is_current = !self.is_stale.load(Ordering::Relaxed);
        let is_well = endpoints > 0 && is_current;
        let body = json!({
            "service": {"namespace": self.service.namespace(), "name": self.service.name()},
            "localEndpoints": endpoints,
            "serviceProxyHealthy": is_current,
        });
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let headers = response.headers_mut();
        headers.insert("content-type", http::HeaderValue::from_static("application/json"));
        headers.insert("x-content-type-options", http::HeaderValue::from_static("nosniff"));
        headers.insert("x-load-balancing-endpoint-weight", endpoints.into());
        response
    }
}
