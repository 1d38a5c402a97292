//! A client whose server is a function: records requests, answers as told. For the kit's own tests of what is sent; what
//! operators do is tested against the real server.

use http::{Request, Response};
use kube::{Client, client::Body};
use parking_lot::Mutex;
use serde_json::Value;
use std::{convert::Infallible, sync::Arc};

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Body, null when it is not JSON.
    pub body: Value,
}

/// Requests so far.
pub type Seen = Arc<Mutex<Vec<Received>>>;

/// A client that records into `seen` and answers what `answer` says to the n-th request: code and body.
pub fn recording(
    seen: Seen,
    answer: impl Fn(usize, &Received) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let (seen, answer) = (seen.clone(), answer.clone());
        async move {
            let (parts, body) = request.into_parts();
            let bytes = body.collect_bytes().await.unwrap_or_default();
            let received = Received {
                method: parts.method.to_string(),
                path: parts.uri.to_string(),
                body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            };
            let (code, value) = {
                let mut seen = seen.lock();
                seen.push(received.clone());
                answer(seen.len() - 1, &received)
            };
            let mut response = Response::new(Body::from(value.to_string().into_bytes()));
            *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or_default();
            Ok::<_, Infallible>(response)
        }
    });
    Client::new(service, "default")
}
