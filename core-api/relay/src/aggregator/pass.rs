//! Passing a client's request on.
//!
//! Texts and codes as upstream, whose clients understand a 503 that is no Status.
//! Upstream: kube-aggregator `pkg/apiserver/handler_proxy.go`.

use super::{Aggregator, identity};
use crate::{
    dial::{DialError, Target},
    forward, headers,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use proa_meta::{ApiResult, User};
use proa_server::{Body, Request, Response, Switch};

const UNAVAILABLE: &str = "service unavailable";

impl Aggregator {
    pub(super) async fn pass_on(&self, service: &str, request: Request, user: &User) -> ApiResult<Response> {
        let Some(backend) = self.backend(service) else {
            return Ok(plain(StatusCode::NOT_FOUND, "404 page not found"));
        };
        if !backend.available {
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE));
        }
        if let Err(why) = &backend.tls {
            return Ok(plain(StatusCode::INTERNAL_SERVER_ERROR, why));
        }
        let target = match self.target(&backend) {
            Ok(target) => target,
            Err(why) => {
                tracing::warn!(service, why, "API server cannot be found");
                return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE));
            }
        };
        let mut to = headers::forwarded(&request.headers, forward::client(&request));
        to.remove(header::HOST);
        // Before the identity is added: what the client calls the business of its own connection goes, whatever it names.
        let protocol = to.get(header::UPGRADE).cloned().filter(|_| request.switch == Switch::Offered);
        headers::remove_hop_by_hop(&mut to);
        if let Some(protocol) = protocol {
            to.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            to.insert(header::UPGRADE, protocol);
        }
        if let Err(why) = identity::add(&mut to, user) {
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, &why.to_string()));
        }
        let path = request.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        if request.switch == Switch::Offered {
            let switched = self.relay.switch(target, &path, request.method, to).await;
            return Ok(
                switched.unwrap_or_else(|error| plain(StatusCode::SERVICE_UNAVAILABLE, error.message()))
            );
        }
        headers::set_forwarded_uri(&mut to, request.uri.path());
        self.exchange(target, &path, to, request).await
    }

    async fn exchange(
        &self,
        target: Target,
        path: &str,
        to: HeaderMap,
        request: Request,
    ) -> ApiResult<Response> {
        let out = forward::outgoing(&target, path, request.method, to, request.body)?;
        let failed = |error: DialError| {
            plain(StatusCode::SERVICE_UNAVAILABLE, &format!("error trying to reach service: {error}"))
        };
        let answer = match self.relay.dialer.send(target, out).await {
            Ok(answer) => answer,
            Err(error) => return Ok(failed(error)),
        };
        if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let text = "the backend switched protocols without being asked to";
            return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, text));
        }
        let mut response = forward::streamed(answer);
        headers::remove_cors(&mut response.headers);
        Ok(response)
    }
}

/// An error that is a line of text.
fn plain(status: StatusCode, text: &str) -> Response {
    const NOSNIFF: (HeaderName, HeaderValue) =
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(NOSNIFF.0, NOSNIFF.1);
    Response { status, headers, body: Body::Whole(Bytes::from(format!("{text}\n"))) }
}
