//! Answers.

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::{HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{Response, body::Frame};
use serde::Serialize;
use std::io;

/// Body of an answer.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The format of metrics that everyone reads.
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What a handler comes to.
pub(super) type Answer = Result<Response<Body>, Refusal>;

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    text: String,
    /// Methods that would do.
    allow: Option<&'static str>,
}

impl Refusal {
    /// With a code and the reason.
    pub(super) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), allow: None }
    }
    /// 400.
    pub(super) fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }
    /// 401.
    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized")
    }
    /// 404.
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }
    /// 404 for a path that means nothing.
    pub(super) fn no_such_path() -> Self {
        Self::not_found("404 page not found\n")
    }
    /// 405.
    pub(super) fn method_not_allowed(allow: &'static str) -> Self {
        Self { allow: Some(allow), ..Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed") }
    }
    /// 500.
    pub(super) fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }
    /// The answer.
    pub(super) fn into_response(self) -> Response<Body> {
        let mut response = whole(self.status, TEXT, self.text);
        if let Some(allow) = self.allow {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

/// A whole body.
pub(super) fn whole(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response
}

/// 200 with text.
pub(super) fn text(text: impl Into<String>) -> Response<Body> {
    whole(StatusCode::OK, TEXT, text.into())
}

/// 200 with JSON.
pub(super) fn json(value: &impl Serialize) -> Answer {
    serde_json::to_vec(value).map(json_bytes).map_err(|e| Refusal::internal(e.to_string()))
}

/// 200 with what is said to be JSON.
pub(super) fn json_bytes(bytes: Vec<u8>) -> Response<Body> {
    whole(StatusCode::OK, JSON, bytes)
}

/// 200 with metrics.
pub(super) fn metrics(metrics: String) -> Response<Body> {
    whole(StatusCode::OK, METRICS, metrics)
}

/// 200 with text that is still coming.
pub(super) fn stream(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response<Body> {
    let body = StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, TEXT);
    response
}

/// 101: the connection now speaks another protocol.
pub(super) fn switching(headers: Vec<(header::HeaderName, HeaderValue)>) -> Response<Body> {
    let mut response = whole(StatusCode::SWITCHING_PROTOCOLS, TEXT, Bytes::new());
    response.headers_mut().clear();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().extend(headers);
    response
}
