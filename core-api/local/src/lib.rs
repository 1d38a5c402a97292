//! A `kube::Client` over [`Api::call`], for operators in the same process: no socket, no serialisation of headers, the
//! same filters as every request.
//!
//! The client's identity is fixed when it is made and travels as a field that only this process can build. Upgrades
//! (exec, attach, port-forward) are not possible here: kube needs a real connection for them, and operators need none.

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, Either, Full, StreamBody};
use proa_meta::{ApiError, User};
use proa_server::{Api, Body, Caller, Request, Switch};
use std::sync::Arc;

/// A client that acts as `user`. To be called inside the tokio runtime that its requests will run on.
pub fn client(api: &Api, user: User) -> kube::Client {
    let user = Arc::new(user.authenticated());
    let api = api.clone();
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (api, user) = (api.clone(), Arc::clone(&user));
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let http::request::Parts { method, uri, headers, .. } = parts;
            let caller = Caller::InProcess(user);
            let request = Request { method, uri, headers, body, caller, switch: Switch::Impossible };
            let response = api.call(request).await;
            let mut answer = http::Response::new(carried(response.body));
            *answer.status_mut() = response.status;
            *answer.headers_mut() = response.headers;
            Ok::<_, kube::Error>(answer)
        }
    });
    kube::Client::new(service, "default")
}

type Frames<S> = StreamBody<S>;

fn carried(
    body: Body,
) -> Either<Full<Bytes>, Frames<impl Stream<Item = Result<Frame<Bytes>, ApiError>> + Send + 'static>> {
    match body {
        Body::Whole(bytes) => Either::Left(Full::new(bytes)),
        Body::Chunks(chunks) => frames(stream::iter(chunks.into_iter().map(Ok)).boxed()),
        Body::Stream(pieces) => frames(pieces),
        // Never the answer to a request that cannot switch.
        Body::Upgrade(_) => Either::Left(Full::default()),
    }
}

fn frames(
    pieces: stream::BoxStream<'static, Result<Bytes, ApiError>>,
) -> Either<Full<Bytes>, Frames<impl Stream<Item = Result<Frame<Bytes>, ApiError>> + Send + 'static>> {
    Either::Right(StreamBody::new(pieces.map(|piece| piece.map(Frame::data))))
}
