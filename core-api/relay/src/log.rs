//! `pods/log`: what a container has written, as its node agent reads it.
//!
//! Invariant: bytes go to the client as they come. Upstream: `pkg/registry/core/pod/rest/log.go`, apiserver
//! `pkg/registry/generic/rest/{streamer,response_checker}.go`.

mod options;
mod websocket;

use crate::{
    Relay, containers,
    dial::{Answer, Target},
    forward,
    objects::{self, PODS, Pod},
};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use options::Options;
use proa_meta::{ApiError, ApiResult, Reason, status::Details};
use proa_server::{
    Body, Response, Switch,
    connect::{Connect, ConnectRequest},
    query::Query,
};
use serde_json::Value;
use std::sync::Arc;

/// Bytes of an agent's error that are shown.
const ERROR_TEXT: usize = 50_000;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain");

/// The connector.
pub(crate) struct Log {
    pub(crate) relay: Arc<Relay>,
}

impl Connect for Log {
    fn options(&self, _: &ConnectRequest) -> Option<Value> {
        None
    }
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, ApiResult<Response>> {
        Box::pin(self.read(request))
    }
}

impl Log {
    async fn read(&self, asked: ConnectRequest) -> ApiResult<Response> {
        let (namespace, name) = (&asked.info.namespace, &asked.info.name);
        let options = Options::parse(&Query::parse(asked.request.uri.query()), name)?;
        let pod: Pod = objects::get(&self.relay.registry, &PODS, namespace, name)?;
        let container = containers::chosen(&pod, name, &options.container)?;
        if pod.spec.node_name.is_empty() {
            return Ok(nothing());
        }
        let path = options.path(namespace, name, container);
        let target = self.target(&pod, &options)?;
        let answer = self.ask(target, &path).await?;
        let status = answer.response.status();
        if status.is_redirection() {
            let why = format!("redirects are not allowed: the node agent answered {}", status.as_u16());
            return Err(forward::unknown(why));
        }
        if !status.is_success() {
            let text = forward::text(answer.response.into_body(), ERROR_TEXT).await;
            return Err(refused(status, text, name));
        }
        if asked.request.switch == Switch::Offered && proa_server::websocket::is_asked(&asked.request.headers)
        {
            return websocket::answer(&asked.request.headers, answer);
        }
        Ok(written(answer))
    }

    fn target(&self, pod: &Pod, options: &Options) -> ApiResult<Target> {
        let agent = self.relay.agent(&pod.spec.node_name)?;
        let target = self.relay.to_agent(agent);
        if options.unverified {
            let tls = Some(self.relay.trust.unverified_agents.clone());
            return Ok(Target { tls, ..target });
        }
        Ok(target)
    }

    async fn ask(&self, target: Target, path: &str) -> ApiResult<Answer> {
        let url = target.url(path);
        let request = forward::outgoing(&target, path, Method::GET, HeaderMap::new(), Bytes::new())?;
        let answer = self.relay.dialer.send(target, request).await;
        answer.map_err(|error| forward::unknown(format!("Get {url:?}: {error}")))
    }
}

/// The log of a pod that no node has yet.
fn nothing() -> Response {
    Response { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: Body::empty() }
}

fn written(answer: Answer) -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, TEXT);
    let Answer { response, driver } = answer;
    Response { status: StatusCode::OK, headers, body: forward::pieces(response.into_body(), driver) }
}

/// An agent's error as upstream tells it.
fn refused(status: StatusCode, text: String, name: &str) -> ApiError {
    let (reason, message) = match status.as_u16() {
        400 => return ApiError::bad_request(text),
        500 => return ApiError::internal(text),
        401 => {
            (Reason::Unauthorized, "the server has asked for the client to provide credentials".to_owned())
        }
        403 => (Reason::Forbidden, text),
        404 => (Reason::NotFound, "the server could not find the requested resource".to_owned()),
        503 => {
            (Reason::ServiceUnavailable, "the server is currently unable to handle the request".to_owned())
        }
        code => (
            Reason::Unknown,
            format!("the server responded with the status code {code} but did not return more information"),
        ),
    };
    let details = Details { name: name.to_owned(), kind: "pods/log".to_owned(), ..Details::default() };
    let error = ApiError::new(reason, format!("{message} ( pods/log {name})"));
    error.with_code(status.as_u16()).with_details(details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_agents_are_told_as_upstream_does() {
        let told = |code: u16| {
            let error = refused(StatusCode::from_u16(code).unwrap(), "why".to_owned(), "p");
            (error.code(), error.message().to_owned())
        };
        assert_eq!(told(400), (400, "why".to_owned()));
        assert_eq!(told(500), (500, "Internal error occurred: why".to_owned()));
        let gone = "the server could not find the requested resource ( pods/log p)";
        assert_eq!(told(404), (404, gone.to_owned()));
        assert_eq!(told(403), (403, "why ( pods/log p)".to_owned()));
        assert!(told(418).1.contains("status code 418 but"));
    }
}
