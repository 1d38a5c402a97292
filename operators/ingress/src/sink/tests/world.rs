//! Objects in, requests out: a server on loopback ports, and small backends.

use super::super::{PortState, Ports, Served, server};
use crate::{
    index::{
        Index, Subject,
        views::{IngressView, TlsSecretView},
    },
    render::render,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use proa_kit::{
    Change, View,
    project::{Dirty, Sink},
    views::{EndpointSliceView, IngressClassView, ServiceView},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    any::Any,
    collections::{HashMap, HashSet},
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const ANY: &str = "127.0.0.1:0";

/// A server and the objects that it is fed with.
pub(crate) struct World {
    index: Index,
    dirty: Dirty<Subject>,
    served: Served,
    pub(crate) ports: Ports,
    seen: HashMap<String, Arc<dyn Any + Send + Sync>>,
    tasks: JoinSet<()>,
    shutdown: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

type TakeIn<V> = fn(&mut Index, &Change<V>, &mut Dirty<Subject>);

impl World {
    /// A server that has its own class and nothing to serve.
    pub(crate) async fn start() -> Self {
        Self::start_on(ANY.parse().unwrap()).await
    }
    pub(crate) async fn start_on(http: SocketAddr) -> Self {
        let shutdown = CancellationToken::new();
        let (served, ports, running) = server(http, ANY.parse().unwrap(), &shutdown).unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(running);
        let (index, dirty) = (Index::default(), Dirty::All);
        let mut world = Self { index, dirty, served, ports, seen: HashMap::new(), tasks, shutdown };
        let class = json!({"metadata": {"name": "proa"}, "spec": {"controller": "proa.dev/ingress"}});
        world.take::<IngressClassView>("class", Some(class), Index::class);
        world.apply().await;
        world
    }
    fn take<V: View>(&mut self, name: &str, object: Option<Value>, take_in: TakeIn<V>) {
        let name = format!("{}/{name}", std::any::type_name::<V>());
        let new: Option<Arc<V>> = object.map(|object| Arc::new(view(&object)));
        let old = self.seen.remove(&name).and_then(|old| old.downcast::<V>().ok());
        if let Some(new) = &new {
            self.seen.insert(name, new.clone());
        }
        take_in(&mut self.index, &Change { old, new }, &mut self.dirty);
    }
    /// An ingress of this controller; `None` takes it away.
    pub(crate) fn ingress(&mut self, name: &str, annotations: &[(&str, &str)], spec: Option<Value>) {
        let annotations: HashMap<String, &str> = annotations
            .iter()
            .map(|(key, value)| (format!("nginx.ingress.kubernetes.io/{key}"), *value))
            .collect();
        let object = spec.map(|mut spec| {
            spec["ingressClassName"] = json!("proa");
            json!({"metadata": {"name": name, "namespace": "default", "annotations": annotations}, "spec": spec})
        });
        self.take::<IngressView>(name, object, Index::ingress);
    }
    /// A service with these endpoints.
    pub(crate) fn service(&mut self, name: &str, endpoints: &[SocketAddr]) {
        let service = json!({"metadata": {"name": name, "namespace": "default"},
            "spec": {"type": "ClusterIP", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}});
        self.take::<ServiceView>(name, Some(service), Index::service);
        for number in 0..4 {
            // One slice for each, since each has a port of its own.
            let slice = endpoints.get(number).map(|address| {
                json!({"metadata": {"name": format!("{name}-{number}"), "namespace": "default",
                        "labels": {"kubernetes.io/service-name": name}},
                    "addressType": "IPv4", "endpoints": [{"addresses": [address.ip()], "conditions": {"ready": true}}],
                    "ports": [{"name": "http", "port": address.port(), "protocol": "TCP"}]})
            });
            self.take::<EndpointSliceView>(&format!("{name}-{number}"), slice, Index::slice);
        }
    }
    /// A secret with a certificate for a host.
    pub(crate) fn certificate(&mut self, name: &str, host: &str) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (certificate, key) = (STANDARD.encode(certificate.pem()), STANDARD.encode(key.serialize_pem()));
        let secret = json!({"metadata": {"name": name, "namespace": "default"},
            "data": {"tls.crt": certificate, "tls.key": key}});
        self.take::<TlsSecretView>(name, Some(secret), Index::secret);
    }
    /// Brings the server up to date.
    pub(crate) async fn apply(&mut self) {
        let dirty = std::mem::replace(&mut self.dirty, Dirty::Keys(HashSet::new()));
        self.served.apply(render(&self.index, &dirty)).await.unwrap();
    }
    /// Where HTTP is served.
    pub(crate) async fn http(&self) -> SocketAddr {
        open(self.ports.http.clone()).await
    }
    /// Where HTTPS is served.
    pub(crate) async fn https(&self) -> SocketAddr {
        open(self.ports.https.clone()).await
    }
    /// A connection for HTTP.
    pub(crate) async fn connect(&self) -> Client {
        Client::over(TcpStream::connect(self.http().await).await.unwrap()).await
    }
    /// One request for a host.
    pub(crate) async fn get(&self, host: &str, path: &str) -> Reply {
        self.connect().await.send(get(host, path)).await
    }
    /// Something that goes on beside the test.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        self.tasks.spawn(task)
    }
}

fn view<V: DeserializeOwned>(object: &Value) -> V {
    serde_json::from_str(&object.to_string()).unwrap()
}

async fn open(mut port: tokio::sync::watch::Receiver<PortState>) -> SocketAddr {
    let open = port.wait_for(|state| matches!(state, PortState::Open(_)));
    match *timeout(PATIENCE, open).await.expect("the port is served").unwrap() {
        PortState::Open(address) => address,
        _ => unreachable!("waited for"),
    }
}

/// A rule: paths of a host, with type and service.
pub(crate) fn rule(host: &str, paths: &[(&str, &str, &str)]) -> Value {
    let path = |(path, kind, service): &(&str, &str, &str)| {
        let backend = json!({"service": {"name": service, "port": {"number": 80}}});
        json!({"path": path, "pathType": kind, "backend": backend})
    };
    json!({"host": host, "http": {"paths": paths.iter().map(path).collect::<Vec<_>>()}})
}

/// A spec of one host whose every path leads to a service.
pub(crate) fn all(host: &str, service: &str) -> Option<Value> {
    Some(json!({"rules": [rule(host, &[("/", "Prefix", service)])]}))
}

/// A request.
pub(crate) fn get(host: &str, path: &str) -> Request<Full<Bytes>> {
    Request::get(path).header("host", host).body(Full::default()).unwrap()
}

/// A connection that serves one request after the other.
pub(crate) struct Client(http1::SendRequest<Full<Bytes>>);

impl Client {
    pub(crate) async fn over<S>(stream: S) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Reply {
        self.try_send(request).await.expect("an answer")
    }
    pub(crate) async fn try_send(&mut self, request: Request<Full<Bytes>>) -> Result<Reply, hyper::Error> {
        self.0.ready().await?;
        let (parts, body) = self.0.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Ok(Reply { status: parts.status, headers: parts.headers, text })
    }
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    /// What a backend of [`echo`] tells.
    pub(crate) fn told(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
    /// Which backend it came from.
    pub(crate) fn from(&self) -> String {
        self.told()["from"].as_str().unwrap().to_owned()
    }
}

/// A backend that answers each request by `answer`.
pub(crate) async fn backend<F, A, B>(answer: A) -> (SocketAddr, AbortHandle)
where
    A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Response<B>> + Send + 'static,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = TcpListener::bind(ANY).await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            connections.spawn(async move {
                let builder = hyper::server::conn::http1::Builder::new();
                let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
            });
        }
    });
    (address, task.abort_handle())
}

/// A backend that tells what it was asked.
pub(crate) async fn echo(name: &'static str) -> SocketAddr {
    backend(move |request: Request<Incoming>| async move {
        let (parts, body) = request.into_parts();
        let headers: HashMap<String, String> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let length = body.collect().await.map(|body| body.to_bytes().len()).unwrap_or_default();
        let told = json!({"from": name, "uri": parts.uri.to_string(), "headers": headers, "length": length});
        Response::new(Full::new(Bytes::from(told.to_string())))
    })
    .await
    .0
}
