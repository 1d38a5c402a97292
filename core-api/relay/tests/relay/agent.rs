//! What requests are passed on to: an HTTP server that a test plays, with or without TLS.
//!
//! It notes every request. Its answers follow from the path: see [`answer`].

use bytes::Bytes;
use futures::{SinkExt, StreamExt, channel::mpsc, future::Either};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::json;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

/// What an echo says when its client has ended.
pub(crate) const BYE: &str = "bye";
/// The subprotocol that it speaks.
pub(crate) const PROTOCOL: &str = "v4.channel.k8s.io";

/// The group that it serves as an API server.
pub(crate) const FRUIT: &str = "fruit.example.com";

type Body = BoxBody<Bytes, Infallible>;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
}

/// One log that is being read: what is sent appears in it.
pub(crate) type Writer = mpsc::UnboundedSender<Bytes>;

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    /// Where the next reader of a log is announced.
    readers: Option<mpsc::UnboundedSender<Writer>>,
    /// Discovery is known in the old form only.
    is_old: bool,
    /// Bytes that sinks have got.
    sunk: Option<mpsc::UnboundedSender<usize>>,
}

/// A server at work; ends with the value.
pub(crate) struct Agent {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agent {
    /// Listens on a free port.
    pub(crate) async fn start(tls: Option<rustls::ServerConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State::default()));
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(socket, state).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(socket).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, state, task }
    }
    /// From now on discovery is known in the old form only.
    pub(crate) fn grow_old(&self) {
        self.state.lock().unwrap().is_old = true;
    }
    /// Requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.lock().unwrap().seen.clone()
    }
    /// Readers of logs, as they come.
    pub(crate) fn readers(&self) -> mpsc::UnboundedReceiver<Writer> {
        let (sender, receiver) = mpsc::unbounded();
        self.state.lock().unwrap().readers = Some(sender);
        receiver
    }
    /// What sinks have got when they end.
    pub(crate) fn sunk(&self) -> mpsc::UnboundedReceiver<usize> {
        let (sender, receiver) = mpsc::unbounded();
        self.state.lock().unwrap().sunk = Some(sender);
        receiver
    }
}

async fn serve(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<Mutex<State>>) {
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { Ok::<_, Infallible>(answer(request, &state).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service);
    // Clients that go away are part of the tests.
    let _ = connection.with_upgrades().await;
}

fn whole(status: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

async fn answer(mut request: Request<Incoming>, state: &Mutex<State>) -> Response<Body> {
    let target = request.uri().to_string();
    state.lock().unwrap().seen.push(Seen {
        method: request.method().clone(),
        target: target.clone(),
        headers: request.headers().clone(),
    });
    let path = request.uri().path().to_owned();
    if path.contains("/refused/") {
        return whole(404, "no such container");
    }
    if let Some(upgrade) = request.headers().get(header::UPGRADE).cloned() {
        let upgraded = hyper::upgrade::on(&mut request);
        let sunk = path.contains("/sink/").then(|| state.lock().unwrap().sunk.clone()).flatten();
        let is_websocket = upgrade == "websocket";
        tokio::spawn(async move {
            let io = TokioIo::new(upgraded.await.unwrap());
            match (sunk, is_websocket) {
                (Some(sunk), _) => sink(io, &sunk).await,
                (None, true) => echo_messages(io).await,
                (None, false) => echo_bytes(io).await,
            }
        });
        return switched(&request, upgrade);
    }
    match path.as_str() {
        "/containerLogs/d/p/a" => log(state),
        "/containerLogs/d/p/b" => whole(400, "previous terminated container \"b\" in pod \"p\" not found"),
        "/moved" => {
            let mut response = whole(302, "");
            response.headers_mut().insert(header::LOCATION, "/elsewhere?a=b".parse().unwrap());
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*".parse().unwrap());
            response
        }
        "/page" => {
            let mut response = whole(200, "<a href='/other'>other</a>");
            response.headers_mut().insert(header::CONTENT_TYPE, "text/html".parse().unwrap());
            response
        }
        path if path.starts_with("/apis") || path.starts_with("/openapi/") => fruit(&request, state),
        "/teapot" => whole(418, "short and stout"),
        _ => {
            let method = request.method().to_string();
            let host = request.headers().get(header::HOST).map(|host| host.to_str().unwrap().to_owned());
            let body = request.collect().await.unwrap().to_bytes();
            let body = String::from_utf8_lossy(&body);
            whole(200, json!({"method": method, "target": target, "host": host, "body": body}).to_string())
        }
    }
}

/// As an API server of the group `fruit.example.com`, which knows both forms of discovery unless it is to be old.
fn fruit(request: &Request<Incoming>, state: &Mutex<State>) -> Response<Body> {
    const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let is_old = state.lock().unwrap().is_old;
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let kind = json!({"group": FRUIT, "version": "v1", "kind": "Pear"});
    let verbs = json!(["get", "list"]);
    let answer = match (request.uri().path(), request.uri().query()) {
        ("/apis", _) if accepts == Some(AGGREGATED) && !is_old => {
            let resource =
                json!({"resource": "pears", "scope": "Namespaced", "responseKind": kind, "verbs": verbs});
            let version = json!({"version": "v1", "resources": [resource]});
            let group = json!({"metadata": {"name": FRUIT}, "versions": [version]});
            let mut response =
                whole(200, json!({"kind": "APIGroupDiscoveryList", "items": [group]}).to_string());
            response.headers_mut().insert(header::CONTENT_TYPE, AGGREGATED.parse().unwrap());
            return response;
        }
        ("/apis", _) => json!({"kind": "APIGroupList", "groups": []}),
        ("/apis/fruit.example.com/v1", _) => {
            let resource = json!({"name": "apples", "namespaced": true, "kind": "Apple", "verbs": verbs});
            json!({"kind": "APIResourceList", "resources": [resource]})
        }
        ("/openapi/v2", _) => {
            const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
            let get = |name: &str| {
                let schema = json!({"$ref": format!("#/definitions/{name}")});
                json!({"get": {"responses": {"200": {"description": "OK", "schema": schema}}}})
            };
            let pear = json!({"type": "object", "properties": {
                "metadata": {"$ref": format!("#/definitions/{META}")}}});
            json!({
                "swagger": "2.0", "info": {"title": "Fruit", "version": "v1"},
                "paths": {"/apis/fruit.example.com/v1/pears": get("com.example.Pear"), "/version": get("Version")},
                "definitions": {"com.example.Pear": pear, META: {"description": "of fruit"}, "Version": {}},
            })
        }
        ("/openapi/v3", _) if is_old => return whole(404, "no such path"),
        ("/openapi/v3", _) => {
            let url = "/openapi/v3/apis/fruit.example.com/v1?hash=1";
            json!({"paths": {"apis/fruit.example.com/v1": {"serverRelativeURL": url}, "apis/apps/v1": {}}})
        }
        (_, Some("watch=1")) => return log(state),
        (path, _) => json!({"method": request.method().as_str(), "path": path}),
    };
    whole(200, answer.to_string())
}

fn switched(request: &Request<Incoming>, upgrade: http::HeaderValue) -> Response<Body> {
    let mut response = whole(101, "");
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, "Upgrade".parse().unwrap());
    headers.insert(header::UPGRADE, upgrade);
    if let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()).parse().unwrap());
    }
    for name in ["x-stream-protocol-version", "sec-websocket-protocol"] {
        if request.headers().contains_key(name) {
            headers.insert(name, PROTOCOL.parse().unwrap());
        }
    }
    response
}

/// A body that the test writes.
fn log(state: &Mutex<State>) -> Response<Body> {
    let (writer, pieces) = mpsc::unbounded();
    let readers = state.lock().unwrap().readers.clone();
    let body = match readers {
        Some(readers) => {
            readers.unbounded_send(writer).unwrap();
            Either::Left(pieces)
        }
        None => Either::Right(futures::stream::iter([Bytes::from_static(b"one\ntwo\n")])),
    };
    let frames = body.map(|piece| Ok(Frame::data(piece)));
    Response::new(BoxBody::new(StreamBody::new(frames)))
}

async fn echo_bytes(io: impl AsyncRead + AsyncWrite) {
    let (mut reader, mut writer) = tokio::io::split(io);
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.write_all(BYE.as_bytes()).await.unwrap();
    writer.shutdown().await.unwrap();
}

async fn echo_messages(io: impl AsyncRead + AsyncWrite + Unpin) {
    let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_binary() || message.is_text() {
            socket.send(message).await.unwrap();
        }
    }
}

async fn sink(mut io: impl AsyncRead + AsyncWrite + Unpin, sunk: &mpsc::UnboundedSender<usize>) {
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0;
    loop {
        match io.read(&mut buffer).await.unwrap() {
            0 => break,
            read => total += read,
        }
    }
    sunk.unbounded_send(total).unwrap();
    io.shutdown().await.unwrap();
}
