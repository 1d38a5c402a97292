//! A webhook that a test plays, over TLS: it notes every question, and answers by the path at which it is asked.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    convert::Infallible,
    future::pending,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

/// Answers by path.
type Documents = Arc<HashMap<&'static str, Value>>;

/// A webhook at work; ends with the value.
pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

/// A question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    pub(crate) host: String,
    pub(crate) authorization: Option<String>,
    pub(crate) review: Value,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Hook {
    pub(crate) async fn start(tls: rustls::ServerConfig) -> Self {
        Self::serving(tls, |_| HashMap::new()).await
    }
    /// One that answers some paths with documents, which may name its address.
    pub(crate) async fn serving(
        tls: rustls::ServerConfig,
        documents: impl FnOnce(SocketAddr) -> HashMap<&'static str, Value>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let documents = Arc::new(documents(address));
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let (seen, connections) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::<AtomicUsize>::default());
        let (noted, counted) = (seen.clone(), connections.clone());
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let (acceptor, seen, counted) = (acceptor.clone(), noted.clone(), counted.clone());
                let documents = documents.clone();
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(socket).await else { return };
                    counted.fetch_add(1, Ordering::SeqCst);
                    let service = service_fn(move |request| serve(request, seen.clone(), documents.clone()));
                    let server = hyper::server::conn::http1::Builder::new();
                    let _ = server.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, seen, connections, task }
    }
    /// Questions so far, without their notes.
    pub(crate) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }
    /// The requests of the questions so far, which are forgotten.
    pub(crate) fn take(&self) -> Vec<Value> {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap());
        seen.into_iter().map(|asked| asked.review["request"].clone()).collect()
    }
    /// Connections so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Asked>>>,
    documents: Documents,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    // What is fetched has no body.
    let review: Value = serde_json::from_slice(&body).unwrap_or_default();
    let host = parts.headers["host"].to_str().unwrap().to_owned();
    let target = parts.uri.to_string();
    let authorization = parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned());
    seen.lock().unwrap().push(Asked { target, host, authorization, review: review.clone() });
    if let Some(document) = documents.get(parts.uri.path()) {
        return Ok(Response::new(Full::from(document.to_string())));
    }
    if parts.uri.path() == "/hang" {
        pending::<()>().await;
    }
    if parts.uri.path() == "/broken" {
        let response = Response::builder().status(StatusCode::INTERNAL_SERVER_ERROR);
        return Ok(response.body(Full::from("oh no")).unwrap());
    }
    let mut response = match review["kind"].as_str() {
        Some("ConversionReview") => converted(&review["request"]),
        _ => answer(parts.uri.path(), &review["request"]),
    };
    response["uid"] = review["request"]["uid"].clone();
    let answer = json!({"kind": review["kind"], "apiVersion": review["apiVersion"], "response": response});
    Ok(Response::new(Full::from(answer.to_string())))
}

fn answer(path: &str, request: &Value) -> Value {
    let mut steps = path.trim_start_matches('/').split('/');
    match (steps.next().unwrap_or_default(), steps.next(), steps.next()) {
        ("deny", None, _) => {
            json!({"allowed": false, "status": {"code": 403, "reason": "Forbidden", "message": "not here"}})
        }
        ("warn", Some(text), _) => json!({"allowed": true, "warnings": [text]}),
        // Adds a key to the data of a config map that has another one.
        ("add", Some(key), Some(after)) if request["object"]["data"].get(after).is_some() => {
            patch(&json!([{"op": "add", "path": format!("/data/{key}"), "value": "yes"}]))
        }
        ("init", ..) => patch(&json!([
            {"op": "add", "path": "/spec/initContainers", "value": [{"name": "first", "image": "i", "unknown": 1}]}
        ])),
        ("nonsense", ..) => patch(&json!("x")),
        ("replicas", Some(wanted), _) => {
            let wanted: i64 = wanted.parse().unwrap();
            patch(&json!([{"op": "add", "path": "/spec/replicas", "value": wanted}]))
        }
        _ => json!({"allowed": true}),
    }
}

/// `hostPort: a:1` in v1 is `host: a`, `port: "1"` in v2. A host `broken` cannot be converted.
fn converted(request: &Value) -> Value {
    let wanted = request["desiredAPIVersion"].as_str().unwrap();
    let mut objects = request["objects"].as_array().unwrap().clone();
    for object in &mut objects {
        object["apiVersion"] = json!(wanted);
        let members = object.as_object_mut().unwrap();
        let host = if wanted.ends_with("/v2") {
            let joined = members.remove("hostPort").unwrap();
            let (host, port) = joined.as_str().unwrap().split_once(':').unwrap();
            members.insert("port".to_owned(), json!(port));
            members.insert("host".to_owned(), json!(host));
            host.to_owned()
        } else {
            let (host, port) = (members.remove("host").unwrap(), members.remove("port").unwrap());
            let (host, port) = (host.as_str().unwrap(), port.as_str().unwrap());
            members.insert("hostPort".to_owned(), json!(format!("{host}:{port}")));
            host.to_owned()
        };
        if host == "broken" {
            return json!({"result": {"status": "Failure", "message": "cannot convert it"}});
        }
    }
    json!({"result": {"status": "Success"}, "convertedObjects": objects})
}

fn patch(operations: &Value) -> Value {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let patch = BASE64_STANDARD.encode(operations.to_string());
    json!({"allowed": true, "patchType": "JSONPatch", "patch": patch})
}
