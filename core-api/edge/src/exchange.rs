//! One request and its answer, between actix's types and the core's.

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodyStream, BoxBody, SizedStream},
    dev::RequestHead,
    http::{
        StatusCode as Status, Version,
        header::{self as header02, HeaderName as Name, HeaderValue as HeaderText},
    },
    web,
};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use proa_meta::ApiError;
use proa_server::{Api, Body, Caller, Peer, Request, Response, Switch};
use tokio::sync::watch;

/// What every worker holds.
#[derive(Clone)]
pub(crate) struct Carrier {
    pub(crate) api: Api,
    /// True once streams must end.
    pub(crate) stopped: watch::Receiver<bool>,
}

/// Carries one request to the core and its answer back.
pub(crate) async fn carry(
    carrier: web::Data<Carrier>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let Some(peer) = request.conn_data::<Peer>().cloned() else {
        // Only TLS connections are accepted, and each has one.
        return HttpResponse::InternalServerError().finish();
    };
    let limit = carrier.api.limits().body_bytes;
    let body = match read(payload, limit, declared_length(&request)).await {
        Ok(body) => body,
        Err(Unread::TooLarge) => return too_large(limit),
        Err(Unread::Broken) => return HttpResponse::BadRequest().finish(),
    };
    let head = request.head();
    let switch = match head.version {
        // What offers an upgrade here is not a WebSocket, and comes too late to be handed the connection.
        Version::HTTP_11 if !head.upgrade() => Switch::NotAsked,
        _ => Switch::Impossible,
    };
    let Some(request) = translate(head, body, peer, switch) else {
        return HttpResponse::BadRequest().finish();
    };
    let response = carrier.api.call(request).await;
    answer(response, carrier.stopped.clone())
}

enum Unread {
    TooLarge,
    Broken,
}

fn declared_length(request: &HttpRequest) -> usize {
    let value = request.headers().get(header02::CONTENT_LENGTH);
    value.and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok()).unwrap_or(0)
}

/// The whole body; a single piece is not copied.
async fn read(mut payload: web::Payload, limit: usize, declared: usize) -> Result<Bytes, Unread> {
    if declared > limit {
        return Err(Unread::TooLarge);
    }
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(|_| Unread::Broken)?;
    let Some(second) = payload.next().await else {
        return if first.len() > limit { Err(Unread::TooLarge) } else { Ok(first) };
    };
    let mut body = BytesMut::with_capacity(declared.max(2 * first.len()));
    body.extend_from_slice(&first);
    body.extend_from_slice(&second.map_err(|_| Unread::Broken)?);
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| Unread::Broken)?;
        if body.len() + piece.len() > limit {
            return Err(Unread::TooLarge);
        }
        body.extend_from_slice(&piece);
    }
    if body.len() > limit { Err(Unread::TooLarge) } else { Ok(body.freeze()) }
}

/// 413 as the core words it. The connection is closed, for the rest of the body is not read.
fn too_large(limit: usize) -> HttpResponse {
    let error = ApiError::too_large(format!("Request entity too large: limit is {limit}"));
    HttpResponse::PayloadTooLarge()
        .insert_header((header02::CONTENT_TYPE, "application/json"))
        .force_close()
        .body(error.to_status().to_string())
}

/// The request in the core's types; none when its target or a header is malformed.
pub(crate) fn translate(head: &RequestHead, body: Bytes, peer: Peer, switch: Switch) -> Option<Request> {
    let target = head.uri.path_and_query().map_or("/", |p| p.as_str());
    let mut headers = HeaderMap::with_capacity(head.headers().len());
    for (name, value) in head.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    Some(Request {
        method: Method::from_bytes(head.method.as_str().as_bytes()).ok()?,
        uri: Uri::try_from(target).ok()?,
        headers,
        body,
        caller: Caller::Network(peer),
        switch,
    })
}

/// An answer that is not an upgrade.
pub(crate) fn answer(response: Response, stopped: watch::Receiver<bool>) -> HttpResponse {
    let Response { status, headers, body } = response;
    let status = Status::from_u16(status.as_u16()).unwrap_or(Status::INTERNAL_SERVER_ERROR);
    let mut builder = HttpResponse::build(status);
    copy_headers(&headers, |name, value| {
        builder.append_header((name, value));
    });
    match body {
        // The core gives it to those only who can switch.
        Body::Upgrade(_) => HttpResponse::InternalServerError().finish(),
        Body::Whole(bytes) => builder.body(bytes),
        Body::Chunks(chunks) => {
            let size: usize = chunks.iter().map(Bytes::len).sum();
            let pieces = stream::iter(chunks.into_iter().map(Ok::<_, actix_web::Error>));
            builder.body(BoxBody::new(SizedStream::new(size as u64, pieces)))
        }
        Body::Stream(pieces) => {
            let end = Box::pin(async move {
                let mut stopped = stopped;
                // The sender going away means that the listener is gone, too.
                let _ = stopped.wait_for(|stop| *stop).await;
            });
            let pieces = pieces.take_until(end).map(|piece| piece.map_err(Broken));
            match known_length(&headers) {
                Some(length) => {
                    let pieces = pieces.map(|piece| piece.map_err(actix_web::Error::from));
                    builder.body(BoxBody::new(SizedStream::new(length, pieces)))
                }
                None => builder.body(BoxBody::new(BodyStream::new(pieces))),
            }
        }
    }
}

/// The length of a stream that the core knows.
fn known_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(http::header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Calls `put` with each header in actix' types.
pub(crate) fn copy_headers(headers: &HeaderMap, mut put: impl FnMut(Name, HeaderText)) {
    for (name, value) in headers {
        let name = Name::from_bytes(name.as_str().as_bytes());
        // Both libraries allow the same bytes.
        if let (Ok(name), Ok(value)) = (name, HeaderText::from_bytes(value.as_bytes())) {
            put(name, value);
        }
    }
}

/// A stream that cannot go on ends the connection: its status was sent long ago.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(ApiError);

impl actix_web::ResponseError for Broken {}
